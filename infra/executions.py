"""The executions of one engine, as rows under integer keys; the public id has a unique index and is ordered by time.

State: a live execution has its packed state; an ended one, or a watch that was discarded, keeps its row without it, so that a
late duplicate of its cause is still known, until infra.ended takes it. Cost: 3-4 µs an insertion, of which a tenth keeps the live
ones apart; random keys would cost a factor of five.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from infra.sqlite import Connection, close, has_table, open_reader, rows, snapshot
from schemas.ports import ChangedExecution, NewExecution, StoredExecution

T = TypeVar("T")

ASK: Final = 500  # ids or rows a query
DISCARDED: Final = "discarded"
_BEGUN: Final = f"status <> '{DISCARDED}'"
_BEYOND: Final = (1 << 63) - 1

_TABLES: Final = (
    "create table executions(row integer primary key, shard integer not null, id blob not null, tenant text not null, "
    "flow text not null, version text not null, status text not null, started_us integer not null, state blob, "
    "parent integer, parent_token integer)",
    "create unique index executions_id on executions(id)",
)
INDEX_LIVE: Final = "create index if not exists executions_live on executions(row) where state is not null"
_LIVE: Final = "row, shard, id, tenant, flow, version, started_us, state, parent, parent_token"
_COLUMNS: Final = "row, shard, id, tenant, flow, version, status, started_us, state"
LIST_LIVE: Final = (
    f"select {_COLUMNS} from executions where state is not null and row < ? and flow in (select value from json_each(?)) "
    "order by row desc limit ?"
)
COUNT_LIVE: Final = "select flow, version, count(*) from executions where state is not null group by flow, version"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions to list, newest first; None means any. `before` is the last row of the page before."""

    tenant: str | None = None
    flow: str | None = None
    status: str | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """An execution as its row shows it; `state` is None once it has ended."""

    row: int
    shard: int
    id: bytes
    tenant: str
    flow: str
    version: str
    status: str
    started_us: int
    state: bytes | None


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    for statement in (*_TABLES, INDEX_LIVE):
        connection.execute(statement)


def write(connection: Connection, starts: Sequence[NewExecution], changes: Sequence[ChangedExecution]) -> None:
    """Insert and update executions, inside the caller's transaction."""
    connection.executemany("insert into executions values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", starts)
    change = "update executions set status = ?2, state = ?3, version = coalesce(?4, version) where row = ?1"
    connection.executemany(change, changes)


def discard(connection: Connection, gone: Sequence[int]) -> None:
    """End executions that never began, inside the caller's transaction: only a duplicate of their cause meets them again."""
    if gone:
        end = f"update executions set status = '{DISCARDED}', state = null where row = ?"
        connection.executemany(end, [(row,) for row in gone])


def existing(connection: Connection, ids: Sequence[bytes], *, begun: bool = False) -> set[bytes]:
    """Give those of the ids that have a row; `begun`: and are no watches that were discarded."""
    found: set[bytes] = set()
    only = f" and {_BEGUN}" if begun else ""
    for some in _cut(ids):
        found.update(row[0] for row in rows(connection, f"select id from executions where id in ({_marks(some)}){only}", some))
    return found


def load(connection: Connection, wanted: Sequence[int]) -> dict[int, StoredExecution]:
    """Read live executions by row."""
    loaded: dict[int, StoredExecution] = {}
    for some in _cut(wanted):
        query = f"select {_LIVE} from executions where row in ({_marks(some)}) and state is not null"
        for found in rows(connection, query, some):
            loaded[found[0]] = StoredExecution(*found)
    return loaded


def find(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, StoredExecution]:
    """Read live executions by public id."""
    found: dict[bytes, StoredExecution] = {}
    for some in _cut(ids):
        query = f"select {_LIVE} from executions where id in ({_marks(some)}) and state is not null"
        found.update((one[2], StoredExecution(*one)) for one in rows(connection, query, some))
    return found


def list_executions(path: Path, which: Filter, *, vfs: str | None = None) -> list[ExecutionRow]:
    """List executions of an engine's file, newest first, beside its running engine or without one; [] if there is no file."""
    conditions = {"tenant = ?": which.tenant, "flow = ?": which.flow, "status = ?": which.status, "row < ?": which.before}
    used = {condition: wanted for condition, wanted in conditions.items() if wanted is not None}
    where = " and ".join((_BEGUN, *used))
    return _read(
        path, f"select {_COLUMNS} from executions where {where} order by row desc limit ?", [*used.values(), which.limit], vfs
    )


def list_live(path: Path, flows: Collection[str], before: int | None, limit: int) -> list[ExecutionRow]:
    """List a page of what is in flight of some flows, newest first: one pass over all that is in flight, however many flows.

    `before` is the last row of the page before; [] if there is no file.
    """
    bindings: list[str | int] = [_BEYOND if before is None else before, json.dumps(sorted(flows)), limit]
    return _read(path, LIST_LIVE, bindings, None)


def live_versions(path: Path) -> dict[tuple[str, str], int]:
    """Count what is in flight by (flow, version), in one pass over it; {} if there is none."""
    connection = _open(path, None)
    if connection is None:
        return {}
    try:
        with snapshot(connection):
            return {(flow, version): count for flow, version, count in rows(connection, COUNT_LIVE)}
    finally:
        close(connection)


def show_execution(path: Path, execution: bytes, *, vfs: str | None = None) -> ExecutionRow | None:
    """Find one execution by its 16-byte id in an engine's file."""
    found = _read(path, f"select {_COLUMNS} from executions where id = ? and {_BEGUN}", [execution], vfs)
    return found[0] if found else None


def show_with_program(path: Path, execution: bytes, *, vfs: str | None = None) -> tuple[ExecutionRow, bytes | None] | None:
    """Find one execution by its 16-byte id in an engine's file, and the program of its version while that is stored."""
    connection = _open(path, vfs)
    if connection is None:
        return None
    program = "(select program from programs where programs.version = executions.version)"
    try:
        with snapshot(connection):
            found = next(
                rows(connection, f"select {_COLUMNS}, {program} from executions where id = ? and {_BEGUN}", [execution]), None
            )
            return None if found is None else (ExecutionRow(*found[:-1]), found[-1])
    finally:
        close(connection)


def count_by_status(path: Path, *, vfs: str | None = None) -> dict[str, int]:
    """Count the executions of an engine's file by status."""
    connection = _open(path, vfs)
    if connection is None:
        return {}
    try:
        with snapshot(connection):
            return dict(rows(connection, f"select status, count(*) from executions where {_BEGUN} group by status"))
    finally:
        close(connection)


def _read(path: Path, query: str, bindings: Sequence[str | int | bytes], vfs: str | None) -> list[ExecutionRow]:
    connection = _open(path, vfs)
    if connection is None:
        return []
    try:
        with snapshot(connection):
            return [ExecutionRow(*found) for found in rows(connection, query, bindings)]
    finally:
        close(connection)


def _open(path: Path, vfs: str | None) -> Connection | None:
    if not path.exists():
        return None
    connection = open_reader(path, vfs=vfs)
    if has_table(connection, "executions"):
        return connection
    close(connection)
    return None


def _cut(many: Sequence[T]) -> Iterator[Sequence[T]]:
    return (many[at : at + ASK] for at in range(0, len(many), ASK))


def _marks(some: Sequence[object]) -> str:
    return ", ".join("?" * len(some))
