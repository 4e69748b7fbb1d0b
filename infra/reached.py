"""Up to where executions have worked on inputs that their positions are not behind yet: a turn is committed in parts.

State: one row a stretch of a slot, and one an event that has met only some of its waits, in the engine's file, while a turn is in
flight; written in the transaction of each of its parts. A file of an older version gets the table with the first of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from infra.sqlite import Connection, has_table, rows
from schemas.ports import Slot, Stretch

_TABLE: Final = (
    "create table if not exists stretches(source text not null, topic text not null, partition integer not null, "
    "since integer not null, next integer not null, primary key (source, topic, partition, since)) without rowid"
)
_MET: Final = "create table met(event blob primary key, tenant text not null) without rowid"


def create(connection: Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    connection.execute(_TABLE)
    connection.execute(_MET)


def write(connection: Connection, marks: Iterable[Stretch]) -> None:
    """Say anew how far it is, inside the caller's transaction."""
    connection.execute(_TABLE)
    connection.execute("delete from stretches")
    connection.executemany("insert into stretches values (?, ?, ?, ?, ?)", [(*one.slot, one.since, one.next) for one in marks])


def read(connection: Connection) -> list[Stretch]:
    """Give how far it is."""
    if not has_table(connection, "stretches"):
        return []
    found = rows(connection, "select source, topic, partition, since, next from stretches")
    return [Stretch(Slot(source, topic, partition), since, end) for source, topic, partition, since, end in found]


def write_met(connection: Connection, met: Mapping[bytes, str]) -> None:
    """Say anew which events have met some of their waits, inside the caller's transaction."""
    connection.execute("delete from met")
    connection.executemany("insert into met values (?, ?)", list(met.items()))


def read_met(connection: Connection) -> dict[bytes, str]:
    """Give the events that have met some of their waits: tenants by key."""
    return dict(rows(connection, "select event, tenant from met"))
