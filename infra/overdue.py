"""What in an engine's file has outlived its time, and which live executions no time will wake: what a reaper would look for.

Reads: the file, beside its engine or without one, in one short transaction. Cost: one pass over timers and live executions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.sqlite import close, has_table, open_reader, rows, snapshot, value

TABLES: Final = ("timers", "deadlines")


@dataclass(frozen=True, slots=True)
class Untimed:
    """A live execution without timer and deadline."""

    id: bytes
    tenant: str
    flow: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Overdue:
    """What was found. `late` timers and deadlines fell due more than the margin before the last turn, the first at `first_us`."""

    now_us: int  # of the engine's last turn
    late: int = 0
    first_us: int | None = None
    untimed: tuple[Untimed, ...] = ()


def overdue(path: Path, margin_us: int, *, vfs: str | None = None) -> Overdue | None:
    """Look through an engine's file; None if there is none yet."""
    if not path.exists():
        return None
    connection = open_reader(path, vfs=vfs)
    try:
        if not all(has_table(connection, table) for table in ("engine", "executions", *TABLES)):
            return None
        with snapshot(connection):
            now_us: int = value(connection, "select now_us from engine")
            times = " union all ".join(f"select execution, due_us from {table}" for table in TABLES)
            query = f"select count(*), min(due_us) from ({times}) where due_us < ?"
            late, first_us = value(connection, query, (now_us - margin_us,))
            query = (
                "select id, tenant, flow, state from executions where state is not null and status <> 'watching' "
                f"and row not in (select execution from ({times}))"
            )
            return Overdue(now_us, late, first_us, tuple(Untimed(*row) for row in rows(connection, query)))
    finally:
        close(connection)
