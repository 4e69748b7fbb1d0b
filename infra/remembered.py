"""Events kept for waits that look back: found by the wait's key, dropped when no wait can look so far back.

State: rows in buckets of an hour, so that new ones lie together and old ones go as a range. Cost: a look-up an hour looked back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infra.sqlite import Connection, rows, value
from schemas.ports import Remembered

BUCKET_US: Final = 3_600_000_000

_TABLE: Final = """create table remembered(
    bucket integer not null, key integer not null, at_us integer not null, place integer not null, event blob not null,
    primary key (bucket, key, at_us, place)) without rowid"""


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    connection.execute(_TABLE)


def write(connection: Connection, events: Sequence[Remembered], since_us: int) -> None:
    """Add events and drop the buckets that end before a time, inside the caller's transaction."""
    if events:
        connection.executemany(
            "insert into remembered values (?, ?, ?, ?, ?)",
            sorted((one.at_us // BUCKET_US, one.key, one.at_us, one.order, one.event) for one in events),
        )
    if since_us > 0:
        connection.execute("delete from remembered where bucket < ?", (since_us // BUCKET_US,))


def find(connection: Connection, key: int, since_us: int) -> list[Remembered]:
    """Give the events of a key that came at or after a time, the latest first."""
    newest = value(connection, "select max(bucket) from remembered")
    found: list[Remembered] = []
    for bucket in range(-1 if newest is None else newest, max(since_us, 0) // BUCKET_US - 1, -1):
        query = (
            "select key, at_us, place, event from remembered where bucket = ? and key = ? and at_us >= ? "
            "order by at_us desc, place desc"
        )
        found.extend(map(Remembered._make, rows(connection, query, (bucket, key, since_us))))
    return found
