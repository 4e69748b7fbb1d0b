"""Event keys seen, one packed blob a shard and turn: a row a key would cost most of a core.

State: `row` = turn * 64 + shard, so rows are in the order of turns and of time. Rows older than the window go, a minute's worth
at a time, and the oldest go early where more keys are held than the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from infra.sqlite import Connection, rows, value
from schemas.ids import SHARDS

KEY_BYTES: Final = 16
WINDOW_US: Final = 24 * 3_600_000_000
KEYS_MOST: Final = 20_000_000
PURGE_US: Final = 60_000_000  # between two purges


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """How long, and how many at most, event keys are kept."""

    window_us: int = WINDOW_US
    keys_most: int = KEYS_MOST


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    connection.execute("create table seen(row integer primary key, at_us integer not null, keys blob not null)")


def write(connection: Connection, turn: int, at_us: int, seen: Mapping[int, bytes]) -> None:
    """Add the keys of a turn, inside the caller's transaction."""
    packed = [(turn * SHARDS + shard, at_us, keys) for shard, keys in seen.items()]
    connection.executemany("insert into seen values (?, ?, ?)", packed)


def since(connection: Connection, at_us: int) -> Iterator[tuple[int, int, bytes]]:
    """Give (shard, at_us, keys) of the turns at or after a time, oldest first."""
    for row, at, keys in rows(connection, "select row, at_us, keys from seen where at_us >= ? order by row", (at_us,)):
        yield row % SHARDS, at, keys


class SeenPurge:
    """Decides when old rows go; what it remembers between turns can be read again from the table."""

    def __init__(self, connection: Connection, window: SeenWindow) -> None:
        """Count the keys that are held."""
        self._connection = connection
        self._window = window
        self._keys: int = value(connection, "select coalesce(sum(length(keys)), 0) from seen") // KEY_BYTES
        self._next_us = 0

    def run(self, now_us: int, seen: Mapping[int, bytes]) -> None:
        """Count the keys of a turn; now and then delete what is too old or too much, inside the caller's transaction."""
        self._keys += sum(map(len, seen.values())) // KEY_BYTES
        if now_us < self._next_us and self._keys <= self._window.keys_most:
            return
        self._next_us = now_us + PURGE_US
        oldest_us = now_us - self._window.window_us
        kept = value(self._connection, "select row from seen where at_us >= ? order by row limit 1", (oldest_us,))
        self._delete("row < ?", kept if kept is not None else 1 << 62)
        while self._keys > self._window.keys_most:
            self._delete("row <= ?", value(self._connection, "select min(row) from seen"))

    def _delete(self, which: str, row: int) -> None:
        gone = value(self._connection, f"select coalesce(sum(length(keys)), 0) from seen where {which}", (row,))
        if gone:
            self._connection.execute(f"delete from seen where {which}", (row,))
            self._keys -= gone // KEY_BYTES
