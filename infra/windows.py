"""What windows hold: blocks of columns by shape, some a turn, dropped when no window needs them.

State: whole blobs, never read but at the start. Cost: that of writing them.
"""

from __future__ import annotations

from typing import Final

from infra.sqlite import Connection, rows
from schemas.ports import StoredWindows, WindowBlock, WindowChanges

_TABLES: Final = (
    "create table window_tenants(number integer primary key, tenant text not null)",
    "create table window_marks(shape text primary key, marks blob not null) without rowid",
    "create table window_blocks(row integer primary key, shape text not null, kind integer not null, block integer not null, "
    "data blob not null, unique (shape, kind, block))",
)


def create(connection: Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)


def write(connection: Connection, changes: WindowChanges) -> None:
    """Store what a turn changed, inside the caller's transaction."""
    for table in ("window_marks", "window_blocks"):
        connection.executemany(f"delete from {table} where shape = ?", [(shape,) for shape in changes.dropped])
    connection.executemany("delete from window_blocks where shape = ? and kind = ? and block = ?", changes.gone)
    connection.executemany("insert into window_tenants values (?, ?)", changes.tenants)
    connection.executemany("insert or replace into window_marks values (?, ?)", changes.marks)
    connection.executemany("insert or replace into window_blocks(shape, kind, block, data) values (?, ?, ?, ?)", changes.blocks)


def read(connection: Connection) -> StoredWindows:
    """Give everything."""
    stored = StoredWindows(
        tenants=list(rows(connection, "select number, tenant from window_tenants order by number")),
        marks=dict(rows(connection, "select shape, marks from window_marks")),
    )
    for row in rows(connection, "select shape, kind, block, data from window_blocks order by shape, kind, block"):
        block = WindowBlock._make(row)
        stored.blocks.setdefault(block.shape, []).append(block)
    return stored
