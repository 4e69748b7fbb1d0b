"""Commands that go together: those that gather for a batch, and those that queue for the places of their key.

Promise: a batch is a row of its own with its members' ids in its id; from its making to its end nothing joins or leaves it, and
only a batch of which surely nothing was sent is taken apart for a member that is withdrawn.
State: rows of `actions`; in memory which lanes to look at. Cost: a look reads at most as many rows as a batch may have.
"""

from __future__ import annotations

from typing import Any, Final

from infra.dispatch_rows import COLUMNS, Stage, stored
from infra.sqlite import Connection
from infra.wakes import Wakes
from schemas.dispatch import StoredAction
from schemas.ids import batch_id

SCANNED_MAX: Final = 2_000  # commands of a lane looked at for a batch
PROMOTED_MAX: Final = 256  # commands that get a place at a look
_ON_THEIR_WAY: Final = f"stage in ({Stage.WAITS.value}, {Stage.STARTED.value})"
_GATHERERS: Final = (
    "select row, lane, order_lane, blocked, due_us + gather_wait_us, gather_most, expires_us <= ?2 from actions "
    f"where stage = {Stage.GATHERS.value} and gather_lane = ?1 and due_us <= ?2 order by row limit {SCANNED_MAX}"
)
_MAKE: Final = (
    "insert into actions(id, tenant, connector, lane, rank, blocked, stage, attempts, due_us, expires_us, first, source, topic, "
    "partition, position, raw, places_lane, places_most, carries) "
    "select ?1, tenant, connector, 'batch' || char(0) || ?1, min(rank), 0, "
    f"case when places_lane is null then {Stage.WAITS.value} else {Stage.QUEUES.value} end, max(attempts), min(due_us), "
    "min(expires_us), 1, source, topic, partition, position, x'', places_lane, places_most, count(*) "
    "from actions where row in (select value from json_each(?2)) returning row, tenant, rank, places_lane"
)


class Groups:
    """Makes batches and gives places, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        """Look at every lane that has commands, and again when those are due that wait for another attempt."""
        self._connection = connection
        self.gathering = Wakes()
        self.places = Wakes()
        for wakes, column, stage in ((self.gathering, "gather_lane", Stage.GATHERS), (self.places, "places_lane", Stage.QUEUES)):
            waiting = f"select distinct {column}, due_us from actions where {column} is not null and stage = {stage.value}"
            for lane, due_us in connection.execute(waiting):
                wakes.add(lane)
                wakes.add_at(due_us, lane)

    def next_us(self) -> int | None:
        """Tell when there is something to look at."""
        times = [time for time in (self.gathering.next_us(), self.places.next_us()) if time is not None]
        return min(times, default=None)

    def look(self, now_us: int) -> list[tuple[str, int]]:
        """Make the batches and give the places whose time has come; give (tenant, rank) of each batch made."""
        made = [batch for lane in self.gathering.take(now_us) for batch in self._gather(lane, now_us)]
        for lane in self.places.take(now_us):
            self._promote(lane, now_us)
        return made

    def members(self, row: int) -> tuple[StoredAction, ...]:
        """Give the commands that a batch carries, in order."""
        rows = self._connection.execute(f"select {COLUMNS} from actions where batch = ? order by row", (row,))
        return tuple(stored(one) for one in rows)

    def postpone(self, row: int, due_us: int, *, doubt: bool) -> None:
        """Let a command wait for another attempt. What was withdrawn meanwhile gets none; a member leaves its batch."""
        attempts = "coalesce((select carrier.attempts from actions carrier where carrier.row = actions.batch), 0)"
        stage = (
            f"case when cancelled and not carries then {Stage.WITHDRAWN.value} "
            f"when gather_lane is not null then {Stage.GATHERS.value} "
            f"when places_lane is not null then {Stage.QUEUES.value} else {Stage.WAITS.value} end"
        )
        ((gather_lane, gather_us, places_lane),) = self._rows(
            f"update actions set attempts = max(attempts, {attempts}), stage = {stage}, batch = null, due_us = ?1, "
            "doubt = max(doubt, ?2) where row = ?3 returning gather_lane, due_us + coalesce(gather_wait_us, 0), places_lane",
            (due_us, doubt, row),
        )
        self.woken(gather_lane, places_lane)
        for wakes, lane in ((self.gathering, gather_lane), (self.places, places_lane)):
            if lane is not None:
                wakes.add_at(due_us, lane)
        if gather_lane is not None:
            self.gathering.add_at(gather_us, gather_lane)

    def woken(self, gather_lane: str | None, places_lane: str | None) -> None:
        """Note that something changed for the commands of these lanes."""
        self.gathering.add(gather_lane)
        self.places.add(places_lane)

    def _gather(self, lane: str, now_us: int) -> list[tuple[str, int]]:
        """Make the batches of a lane that are full or whose first command has waited long enough."""
        made: list[tuple[str, int]] = []
        while True:
            chosen, most, gather_us = self._choose(lane, now_us)
            if not chosen:
                return made
            if len(chosen) < most and gather_us > now_us:
                self.gathering.add_at(gather_us, lane)
                return made
            made.append(self._make(chosen))

    def _choose(self, lane: str, now_us: int) -> tuple[list[int], int, int]:
        """Choose the next members: those before which nothing is left in their lanes but members before them.

        Gives their rows, how many there may be, and when they go even if they are fewer. What has expired goes its own way.
        """
        chosen: dict[int, int] = {}
        most = 1
        for row, *lanes, blocked, gather_us, allowed, expired in self._rows(_GATHERERS, (lane, now_us)):
            if expired:
                self._connection.execute(
                    f"update actions set stage = {Stage.WAITS.value}, gather_lane = null where row = ?", (row,)
                )
                continue
            most = allowed
            if blocked and not self._follows(row, lanes, chosen):
                continue
            chosen[row] = gather_us
            if len(chosen) == most:
                break
        return list(chosen), most, min(chosen.values(), default=0)

    def _follows(self, row: int, lanes: list[str | None], chosen: dict[int, int]) -> bool:
        """Tell whether the command before this one, in each of its lanes, is among the chosen."""
        for column, lane in zip(("lane", "order_lane"), lanes, strict=True):
            sql = f"select max(row) from actions where {column} = ? and row < ?"
            before = None if lane is None else self._connection.execute(sql, (lane, row)).get
            if before is not None and before not in chosen:
                return False
        return True

    def _make(self, rows: list[int]) -> tuple[str, int]:
        listed = f"[{','.join(map(str, rows))}]"
        ids = self._connection.execute(
            "select id from actions where row in (select value from json_each(?)) order by row", (listed,)
        )
        name = batch_id([one for (one,) in ids])
        ((row, tenant, rank, places_lane),) = self._rows(_MAKE, (name, listed))
        self._connection.execute(
            f"update actions set stage = {Stage.CARRIED.value}, batch = ? where row in (select value from json_each(?))",
            (row, listed),
        )
        self.places.add(places_lane)
        return tenant, rank

    def _promote(self, lane: str, now_us: int) -> None:
        """Give the free places of a key to the commands that queue for them, high ranks first."""
        on_their_way = self._connection.execute(
            f"select count(*) from actions where places_lane = ? and {_ON_THEIR_WAY} and batch is null", (lane,)
        ).get
        queue = self._rows(
            f"select row, places_most from actions where places_lane = ? and stage = {Stage.QUEUES.value} and blocked = 0 "
            f"and due_us <= ? order by rank, due_us, row limit {PROMOTED_MAX}",
            (lane, now_us),
        )
        for row, most in queue:
            if on_their_way >= most:
                return
            self._connection.execute(f"update actions set stage = {Stage.WAITS.value} where row = ?", (row,))
            on_their_way += 1
        if len(queue) == PROMOTED_MAX:
            self.places.add(lane)

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()
