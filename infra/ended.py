"""Executions that have ended leave the file when nobody can ask for them any more: so many days after they began.

An ended execution's row is what a late duplicate of its cause is known by; how old the cause is counts, not when the execution
ended. Rows are numbered as executions begin, so one mark a day tells which are old enough, and the oldest go a slice a turn; one
that lives on is passed over, and goes when it ends. What was started by hand under an id of its flow is known for ever: its
public id has the time 0 in front.

State: a row a day, and how far the sweep has come. Cost: nothing a start; what goes costs about what its insertion did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infra.log_tables import day_of
from infra.sqlite import Connection, value
from schemas.ports import ChangedExecution, NewExecution

DAY_US: Final = 86_400_000_000
SLICE: Final = 500  # rows looked at in a turn, and two more for each execution that began in it
_TIMED: Final = "id >= x'00000000000100000000000000000000'"
_TABLES: Final = (
    "create table started_days(day integer primary key, first_row integer not null)",
    "create table swept(one integer primary key check (one = 1), below integer not null)",
    "insert into swept values (1, 1)",
)


def create(connection: Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)


class EndedSweep:
    """Takes ended executions away that began more than some days ago. None keeps them all."""

    def __init__(self, connection: Connection, days: int | None) -> None:
        """Look where the last sweep left off."""
        self._connection = connection
        self._days = days
        self._newest: int = value(connection, "select coalesce(max(day), 0) from started_days")
        self._below: int = value(connection, "select below from swept")  # all before this row were looked at
        self._aim = 0  # rows before this one are old enough
        self._aimed = 0  # on which day that was found

    def run(self, starts: Sequence[NewExecution], wall_us: int) -> None:
        """Mark where a day begins, and go on with the sweep, inside the caller's transaction."""
        day = day_of(wall_us)
        if day > self._newest and starts:
            self._newest = day
            self._connection.execute("insert into started_days values (?, ?)", (day, min(start.row for start in starts)))
        if self._days is None:
            return
        if day != self._aimed:
            self._aim, self._aimed = self._first_row_of(day_of(max(0, wall_us - self._days * DAY_US))), day
        if self._below < self._aim:
            self._sweep(min(self._aim, self._below + SLICE + 2 * len(starts)))

    def end(self, changes: Sequence[ChangedExecution], discarded: Sequence[int]) -> None:
        """Take those away that have just ended and were passed over, inside the caller's transaction."""
        ended = [*(one.row for one in changes if one.state is None), *discarded]
        gone = [(row,) for row in ended if row < self._below]
        if gone:
            self._connection.executemany(f"delete from executions where row = ? and {_TIMED}", gone)

    def _first_row_of(self, day: int) -> int:
        """Give the first row that began on a day or later; of the marks before it only the newest of all stays."""
        query = "select first_row from started_days where day >= ? order by day limit 1"
        found = value(self._connection, query, (day,))
        self._connection.execute("delete from started_days where day < min(?, (select max(day) from started_days))", (day,))
        return int(value(self._connection, "select next_row from engine") if found is None else found)

    def _sweep(self, until: int) -> None:
        where = f"row >= ? and row < ? and state is null and {_TIMED}"
        self._connection.execute(f"delete from executions where {where}", (self._below, until))
        self._connection.execute("update swept set below = ?", (until,))
        self._below = until
