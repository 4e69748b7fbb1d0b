"""The programs of the versions that executions run: stored with the first that stays, gone when none is left.

A sweep looks at a slice of the executions in each turn and notes which versions live; what begins meanwhile lies before it, what
is moved is noted as it comes. Behind the last row, programs that nobody was seen to run leave. The next sweep begins on another
day, or at the next start.

State: one row a version. Cost: 0.2 ms a turn while a sweep goes on.
"""

from __future__ import annotations

from typing import Final

from infra.log_tables import day_of
from infra.sqlite import Connection, rows, value
from schemas.ports import TurnCommit

SLICE: Final = 500  # executions looked at in a turn, and two more for each that began in it: so it comes to the end
_TABLE: Final = "create table programs(version text primary key, program blob not null) without rowid"


def create(connection: Connection) -> None:
    """Make the table, inside the caller's transaction."""
    connection.execute(_TABLE)


def find(connection: Connection, version: str) -> bytes | None:
    """Give the program of a version, if it is stored."""
    found: bytes | None = value(connection, "select program from programs where version = ?", (version,))
    return found


def versions(connection: Connection) -> list[str]:
    """Name the versions whose programs are stored."""
    return [version for (version,) in rows(connection, "select version from programs order by version")]


class Programs:
    """Writes programs, and takes those away that no execution runs any more."""

    def __init__(self, connection: Connection) -> None:
        """A sweep begins with the first turn."""
        self._connection = connection
        self._day = 0  # on which the last sweep began
        self._next: int | None = None  # the row to look at next; None: no sweep goes on
        self._live: set[str] = set()
        self._gone: list[str] = []

    def write(self, turn: TurnCommit, wall_us: int) -> None:
        """Store the programs of a turn whose executions are written, and go on with the sweep, inside its transaction."""
        self._connection.executemany("insert into programs values (?, ?) on conflict do nothing", turn.programs)
        if self._next is None and day_of(wall_us) > self._day:
            self._day, self._next, self._live = day_of(wall_us), 0, set()
        if self._next is not None:
            self._live.update(one.version for one in turn.changes if one.version is not None)
            self._look(self._next, SLICE + 2 * len(turn.starts))

    def take_gone(self) -> list[str]:
        """Give the versions whose programs have left since it was last asked."""
        gone, self._gone = self._gone, []
        return gone

    def _look(self, first: int, most: int) -> None:
        query = "select row, case when state is not null then version end from executions where row >= ? order by row limit ?"
        found = list(rows(self._connection, query, (first, most)))
        self._live.update(version for _, version in found if version is not None)
        self._next = found[-1][0] + 1 if len(found) == most else None
        if self._next is None:
            self._gone += [version for version in versions(self._connection) if version not in self._live]
            self._connection.executemany("delete from programs where version = ?", [(version,) for version in self._gone])
