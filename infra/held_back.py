"""From where on a tenant's rows wait for their share, by slot: read behind the positions, and not worked on.

State: one row a waiting tenant and slot, in the engine's file, written in the turn's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.sqlite import Connection, has_table, rows
from schemas.ports import HeldBack, Slot

TABLE: Final = "held_back"
_TABLE: Final = (
    f"create table {TABLE}(tenant text not null, source text not null, topic text not null, partition integer not null, "
    "next integer not null, primary key (tenant, source, topic, partition)) without rowid"
)


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    connection.execute(_TABLE)


def write(connection: Connection, places: Mapping[HeldBack, int]) -> None:
    """Say anew who waits, inside the caller's transaction."""
    connection.execute(f"delete from {TABLE}")
    connection.executemany(
        f"insert into {TABLE} values (?, ?, ?, ?, ?)",
        [(place.tenant, *place.slot, position) for place, position in places.items()],
    )


def read(connection: Connection) -> dict[HeldBack, int]:
    """Give who waits, and from where on."""
    found = rows(connection, f"select tenant, source, topic, partition, next from {TABLE}")
    return {HeldBack(tenant, Slot(source, topic, partition)): position for tenant, source, topic, partition, position in found}


def least(connection: Connection) -> dict[Slot, int]:
    """Give the first position of each slot that somebody still waits for; {} in a file that knows nothing of it."""
    if not has_table(connection, TABLE):
        return {}
    found = rows(connection, f"select source, topic, partition, min(next) from {TABLE} group by source, topic, partition")
    return {Slot(source, topic, partition): position for source, topic, partition, position in found}
