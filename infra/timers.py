"""Pending timers, delays and deadlines alike: on the disk in buckets of time, in memory only those whose bucket has begun.

State: (bucket, execution, token, due) rows, so that insertion does not slow down with their number (random keys cost a factor of
five), and a heap of the loaded buckets. A timer goes into a bucket of a minute, an hour or a day, by how far off it is: were
all of a minute, delays spread over weeks would touch a page of their own each, at eight times the cost.
Cost: a few µs a timer; memory for the buckets that have begun, whatever the number pending. The heap changes only after the
commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from infra.sqlite import Connection, rows, value
from schemas.ports import Timer

MINUTE_US: Final = 60_000_000
MINUTES_WITHIN_US: Final = 3_600_000_000  # timers closer than this go into buckets of a minute,
HOURS_WITHIN_US: Final = 2 * 86_400_000_000  # closer than this of an hour, others of a day
_MINUTES: Final = (1, 60, 1440)  # of a bucket, by level

END_OF_TIME: Final = 1 << 62
MANY: Final = 64  # timers taken one by one, before
LOOK: Final = 32  # times as many are looked through to take all that are due at once
TIMERS: Final = "timers"
DEADLINES: Final = "deadlines"
_TABLE: Final = """create table {}(
    bucket integer not null, execution integer not null, token integer not null, due_us integer not null,
    primary key (bucket, execution, token, due_us)) without rowid"""


def create(connection: Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    for table in (TIMERS, DEADLINES):
        connection.execute(_TABLE.format(table))


class TimerIndex:
    """The timers (or deadlines: `table`) of one store in the order (due_us, execution, token)."""

    def __init__(self, connection: Connection, table: str = TIMERS) -> None:
        """Load nothing yet: a million pending timers open as fast as none."""
        self._connection = connection
        self._table = table
        self._loaded = -(1 << 62)  # every bucket up to this one is in memory
        self._next: int | None = None  # the first bucket behind it that holds a timer
        self._stale = True  # whether that has to be read again
        self._front: list[Timer] = []  # the first few, sorted; none of the heap comes before them
        self._heap: list[tuple[int, int, int]] = []  # as they come out of the file; a Timer equals its tuple
        self._gone: set[tuple[int, int, int]] = set()  # taken away, perhaps in the heap still

    def write(self, gone: Iterable[Timer], timers: Iterable[Timer], now_us: int) -> None:
        """Take timers away, then set timers, inside the caller's transaction; memory follows with `committed`."""
        self._delete(gone, now_us)
        self._connection.executemany(
            f"insert into {self._table} values (?, ?, ?, ?)",
            sorted((_bucket(due_us, now_us), execution, token, due_us) for due_us, execution, token in timers),
        )

    def _delete(self, gone: Iterable[Timer], now_us: int) -> None:
        """Delete timers: each lies in its bucket as of now or, for it was set before, in a coarser one."""
        fresh: list[list[Timer]] = [[], [], []]
        for timer in gone:
            fresh[_level(timer[0] - now_us)].append(timer)
        left: list[Timer] = []
        for level, some in enumerate(fresh):
            left += some
            before = self._connection.total_changes()
            self._connection.executemany(
                f"delete from {self._table} where bucket = ? and execution = ? and token = ? and due_us = ?",
                [(_numbered(due_us, level), execution, token, due_us) for due_us, execution, token in left],
            )
            if self._connection.total_changes() - before == len(left):
                left = []

    def committed(self, gone: Sequence[Timer], timers: Iterable[Timer], now_us: int) -> None:
        """Follow what `write` wrote, once it is durable."""
        self._stale = True
        if gone:
            self._take_away(gone)
        for timer in timers:
            if timer in self._gone or _bucket(timer.due_us, now_us) <= self._loaded:
                self._set(timer)

    def due(self, until_us: int, limit: int) -> list[Timer]:
        """Give the first `limit` timers with due_us <= until_us, in order, and keep them."""
        self._settle_front()
        popped = 0
        while len(self._front) < limit and self._advance(until_us):
            popped += 1
            if popped > MANY and popped * LOOK > len(self._heap):
                self._advance_many(until_us, limit - len(self._front))
        return [timer for timer in self._front[:limit] if timer.due_us <= until_us]

    def next_due_us(self) -> int | None:
        """Tell when the next timer falls due; None if none is pending."""
        self._settle_front()
        if not self._front:
            self._advance(None)
        return self._front[0].due_us if self._front else None

    def _settle_front(self) -> None:
        """Keep the front first: a bucket that begins before its last timer is not loaded yet only if it is new."""
        if self._front and self._load_up_to(self._front[-1].due_us):
            self._dissolve_front()

    def _advance(self, until_us: int | None) -> bool:
        """Move one more timer to the front; False if there is none, or none that is due."""
        while True:
            self._drop_gone()
            first_us = self._heap[0][0] if self._heap else None
            if first_us is not None and until_us is not None:
                first_us = min(first_us, until_us)
            if not self._load_up_to(until_us if first_us is None else first_us):
                break
        if not self._heap or (until_us is not None and self._heap[0][0] > until_us):
            return False
        self._front.append(Timer._make(self._pop()))
        return True

    def _advance_many(self, until_us: int, most: int) -> None:
        """Move to the front what is due before the next bucket begins: where much is, one sort is cheaper than a heap."""
        if self._stale:
            self._load_up_to(until_us)
        next_us = END_OF_TIME if self._next is None else (self._next >> 2) * MINUTE_US
        ready = sorted({timer for timer in self._heap if timer[0] <= until_us and timer[0] < next_us} - self._gone)
        taken = ready[:most]
        if taken:
            last = taken[-1]
            self._front.extend(map(Timer._make, taken))
            self._heap = [timer for timer in self._heap if timer > last]
            self._gone = {timer for timer in self._gone if timer > last}
            heapify(self._heap)

    def _load_up_to(self, at_us: int | None) -> bool:
        """Load the next bucket if it begins by a time (None: whenever it begins); tell whether it did."""
        if self._stale:
            self._next = value(self._connection, f"select min(bucket) from {self._table} where bucket > ?", (self._loaded,))
            self._stale = False
        if self._next is None or (at_us is not None and (self._next >> 2) * MINUTE_US > at_us):
            return False
        query = f"select due_us, execution, token from {self._table} where bucket = ?"
        self._heap += rows(self._connection, query, (self._next,))
        heapify(self._heap)
        self._loaded, self._stale = self._next, True
        return True

    def _pop(self) -> tuple[int, int, int]:
        """Take the first timer off the heap; one that was taken away and set again may lie there twice."""
        timer = heappop(self._heap)
        while self._heap and self._heap[0] == timer:
            heappop(self._heap)
        return timer

    def _drop_gone(self) -> None:
        while self._heap and self._heap[0] in self._gone:
            self._gone.discard(self._pop())

    def _take_away(self, gone: Sequence[Timer]) -> None:
        lost = set(gone)
        kept = [timer for timer in self._front if timer not in lost]
        self._gone |= lost.difference(self._front)
        self._front = kept
        if len(self._gone) > len(self._heap) + 1000:
            self._heap = [timer for timer in self._heap if timer not in self._gone]
            heapify(self._heap)
            self._gone.clear()

    def _set(self, timer: Timer) -> None:
        self._gone.discard(timer)
        heappush(self._heap, timer)
        if self._front and timer < self._front[-1]:
            self._dissolve_front()

    def _dissolve_front(self) -> None:
        for timer in self._front:
            heappush(self._heap, timer)
        self._front = []


def _bucket(due_us: int, now_us: int) -> int:
    """Choose the bucket of a timer by how far off it is."""
    if due_us - now_us < MINUTES_WITHIN_US:  # most of them
        return due_us // MINUTE_US << 2
    return _numbered(due_us, _level(due_us - now_us))


def _level(off_us: int) -> int:
    if off_us < MINUTES_WITHIN_US:
        return 0
    return 1 if off_us < HOURS_WITHIN_US else 2


def _numbered(due_us: int, level: int) -> int:
    """Give the bucket of a level; it is numbered by its first minute * 4 + level."""
    minute = due_us // MINUTE_US
    return ((minute - minute % _MINUTES[level]) << 2) + level
