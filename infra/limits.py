"""Who holds a limit's key, who waits for it, and what was spent of it: three small tables of the engine's file.

State: a hold lives as long as its execution does, so how many live is counted, never added up; what was spent goes when it counts
no more. Cost: one look-up a key.
"""

from __future__ import annotations

from typing import Final

import msgspec

from infra.sqlite import Connection, rows, value
from schemas.limits import LimitChanges, Spent

_TABLES: Final = (
    "create table limit_holds(key integer not null, execution integer not null, primary key (key, execution)) without rowid",
    "create index limit_holds_execution on limit_holds(execution)",
    "create table limit_queue(key integer not null, rank integer not null, execution integer not null, "
    "primary key (key, rank, execution)) without rowid",
    "create table limit_spent(key integer primary key, spent blob not null, until_us integer not null)",
    "create index limit_spent_until on limit_spent(until_us)",
)
FORGET: Final = 100  # rows a turn, and two more for each that it writes


def create(connection: Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)


def write(connection: Connection, changes: LimitChanges, now_us: int) -> None:
    """Write what a turn changed, and forget what was spent long ago, inside its transaction."""
    connection.executemany("delete from limit_holds where key = ? and execution = ?", changes.holds_gone)
    connection.executemany("insert into limit_holds values (?, ?)", changes.holds_set)
    connection.executemany("delete from limit_queue where key = ? and rank = ? and execution = ?", changes.queued_gone)
    connection.executemany("insert into limit_queue values (?, ?, ?)", changes.queued_set)
    spent = [(key, _encoder.encode(one), one.until_us) for key, one in changes.spent.items()]
    keep = "on conflict do update set spent = excluded.spent, until_us = excluded.until_us"
    connection.executemany(f"insert into limit_spent values (?, ?, ?) {keep}", spent)
    old = "select key from limit_spent where until_us <= ? order by until_us limit ?"
    connection.execute(f"delete from limit_spent where key in ({old})", (now_us, FORGET + 2 * len(spent)))


class StoredLimits:
    """Answers what the admission point asks, from the engine's own connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def holders(self, key: int) -> list[int]:
        """Give the rows of the executions that hold a key, oldest first."""
        query = "select execution from limit_holds where key = ? order by execution"
        return [row[0] for row in rows(self._connection, query, (key,))]

    def held(self, execution: int) -> list[int]:
        """Give the keys that an execution holds."""
        return [row[0] for row in rows(self._connection, "select key from limit_holds where execution = ?", (execution,))]

    def queued(self, key: int, behind: tuple[int, int], most: int) -> list[tuple[int, int]]:
        """Give the first (rank, row) that wait for a key behind a place, in order."""
        query = (
            "select rank, execution from limit_queue where key = ? and (rank, execution) > (?, ?) "
            "order by rank, execution limit ?"
        )
        return [(one[0], one[1]) for one in rows(self._connection, query, (key, *behind, most))]

    def queue_length(self, key: int) -> int:
        """Tell how many wait for a key."""
        return int(value(self._connection, "select count(*) from limit_queue where key = ?", (key,)))

    def spent(self, key: int) -> Spent | None:
        """Give what was spent of a key."""
        found = value(self._connection, "select spent from limit_spent where key = ?", (key,))
        return None if found is None else _decoder.decode(found)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Spent)
