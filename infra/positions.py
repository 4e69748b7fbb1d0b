"""How far a reader has come, kept in the reader's own file, in the transaction that holds what it made of it.

Beside the positions stands to which life of each file they belong: in a file made anew the same numbers are other records.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra import held_back
from infra.sqlite import Connection, close, has_table, open_reader, snapshot, transaction
from schemas.ports import Slot

_TABLE = """create table if not exists positions(
    source text not null, topic text not null, partition integer not null, next integer not null,
    primary key (source, topic, partition)) without rowid"""
_SOURCES = "create table if not exists sources(source text primary key, incarnation text not null) without rowid"


def create(connection: Connection) -> None:
    """Make the tables where they are missing, inside the caller's transaction."""
    connection.execute(_TABLE)
    connection.execute(_SOURCES)


def upgrade(connection: Connection) -> None:
    """Give a file of an older version the table of sources; each is filled in with its next positions."""
    if not has_table(connection, "sources"):
        with transaction(connection):
            connection.execute(_SOURCES)


def write(connection: Connection, positions: Mapping[Slot, int], sources: Mapping[str, str]) -> None:
    """Set the next positions to read of p slots, inside the caller's transaction.

    `sources` names the incarnations of the files read; it is stored with the first positions of each file, and stays.
    """
    connection.executemany(
        "insert into positions values (?, ?, ?, ?) on conflict do update set next = excluded.next",
        [(slot.source, slot.topic, slot.partition, following) for slot, following in positions.items()],
    )
    read = {slot.source for slot in positions}
    fresh = [(source, incarnation) for source, incarnation in sources.items() if source in read]
    connection.executemany("insert into sources values (?, ?) on conflict do nothing", fresh)


def read(connection: Connection) -> dict[Slot, int]:
    """Give the next position of every slot that was ever read."""
    rows = connection.execute("select source, topic, partition, next from positions")
    return {Slot(source, topic, partition): following for source, topic, partition, following in rows}


def read_sources(connection: Connection) -> dict[str, str]:
    """Give the incarnation of each file that the positions belong to."""
    return dict(connection.execute("select source, incarnation from sources"))


def read_file(path: Path, *, vfs: str | None = None) -> dict[Slot, int]:
    """Give the positions that another role's file holds, {} where it has none yet: what retention must not pass.

    What an engine has read and holds back for a tenant's share is not behind them.
    """
    if not path.exists():
        return {}
    connection = open_reader(path, vfs=vfs)
    try:
        if not has_table(connection, "positions"):
            return {}
        with snapshot(connection):
            waiting = held_back.least(connection)
            return {slot: min(following, waiting.get(slot, following)) for slot, following in read(connection).items()}
    finally:
        close(connection)
