"""Up to where executions have worked on inputs that their positions are not behind yet: a turn is committed in parts.

State: one row a slot, and one an event that has met only some of its waits, in the engine's file, while a turn is in flight;
written in the transaction of each of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.sqlite import Connection, rows
from schemas.ports import Slot

_TABLE: Final = (
    "create table reached(source text not null, topic text not null, partition integer not null, next integer not null, "
    "primary key (source, topic, partition)) without rowid"
)
_MET: Final = "create table met(event blob primary key, tenant text not null) without rowid"


def create(connection: Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    connection.execute(_TABLE)
    connection.execute(_MET)


def write(connection: Connection, marks: Mapping[Slot, int]) -> None:
    """Say anew how far it is, inside the caller's transaction."""
    connection.execute("delete from reached")
    connection.executemany("insert into reached values (?, ?, ?, ?)", [(*slot, mark) for slot, mark in marks.items()])


def read(connection: Connection) -> dict[Slot, int]:
    """Give how far it is."""
    found = rows(connection, "select source, topic, partition, next from reached")
    return {Slot(source, topic, partition): mark for source, topic, partition, mark in found}


def write_met(connection: Connection, met: Mapping[bytes, str]) -> None:
    """Say anew which events have met some of their waits, inside the caller's transaction."""
    connection.execute("delete from met")
    connection.executemany("insert into met values (?, ?)", list(met.items()))


def read_met(connection: Connection) -> dict[bytes, str]:
    """Give the events that have met some of their waits: tenants by key."""
    return dict(rows(connection, "select event, tenant from met"))
