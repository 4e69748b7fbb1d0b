"""Verdicts of absences by the key of what did not come: what comes after all is late, and counted.

State: a row a verdict, of some 80 bytes, for three years. Cost: nothing while there is none; else one look-up a key
that an absence may wait for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from infra.sqlite import Connection, rows, value
from schemas.ports import AbsenceVerdict

ASK: Final = 500  # keys a query
KEPT_US: Final = 1_100 * 86_400_000_000  # as long as an execution may live

_TABLES: Final = (
    "create table verdicts(key integer not null, execution blob not null, time_us integer not null, tenant text not null, "
    "flow text not null, primary key (key, execution)) without rowid",
    "create index verdicts_by_time on verdicts(time_us)",
)


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)


def any_there(connection: Connection) -> bool:
    """Tell whether there is one."""
    return bool(value(connection, "select exists (select 1 from verdicts)"))


def write(connection: Connection, given: Sequence[AbsenceVerdict], now_us: int) -> None:
    """Add verdicts and forget very old ones, inside the caller's transaction."""
    connection.execute("delete from verdicts where time_us < ?", (now_us - KEPT_US,))
    connection.executemany("insert or replace into verdicts values (?, ?, ?, ?, ?)", sorted(given))


def find(connection: Connection, keys: Collection[int]) -> list[AbsenceVerdict]:
    """Give the verdicts of any of the keys, sorted."""
    asked = sorted(keys)
    found: list[AbsenceVerdict] = []
    for at in range(0, len(asked), ASK):
        some = asked[at : at + ASK]
        marks = ", ".join("?" * len(some))
        query = f"select key, execution, time_us, tenant, flow from verdicts where key in ({marks}) order by key, execution"
        found.extend(AbsenceVerdict._make(row) for row in rows(connection, query, some))
    return found
