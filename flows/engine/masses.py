"""Cut a turn whose events meet masses of waits: no transaction meets more than so many, and nothing changes its place.

Reads: a part of a turn, the waits that its events may meet. Emits: parts that end before the row at which there are too many; a
row that has too many by itself is met in slices, in the order of its waits. Cost: nothing where there are few; else a query a
row. A slice moves no position, and its event counts as seen only behind the last one: after a crash in between the event is read
again, and finds those that still wait; that it met others is in the engine's file. What a slice opens is found by the next ones,
and refuses the event (operators/turn/book.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from typing import Final

from flows.engine.part import Part, behind, times_before, up_to
from operators.turn.incoming import Arrivals, Arrived
from schemas.errors import BrokenInvariant
from schemas.ports import MetPlace, StateStore, Wait

MEET_MAX: Final = 20_000  # waits that are met in one transaction
_FIRST: Final[MetPlace] = (-1, -1, -1)
Here = tuple[int, Arrived, int]  # row, events, place in them


@dataclass(frozen=True, slots=True)
class Meetings:
    """What the events of a turn may meet."""

    arrivals: Arrivals
    store: StateStore
    seen: Callable[[Set[bytes]], Set[bytes]]  # those of the events' keys that had their effect

    def waits(self, part: Part) -> list[Wait] | None:
        """Give the waits that a part may meet; None if they are too many for one transaction."""
        if not self.arrivals or part.end <= part.start:
            return []
        keys = self.arrivals.keys() if not part.start else self._keys(part)
        found = self.store.waiting(keys, MEET_MAX + 1)
        if len(found) > MEET_MAX:
            found, hot = self._up_to_masses(part)
            return found if hot is None else None  # what was too much may be of events that had their effect
        return found

    def cut(self, part: Part) -> Iterator[Part]:
        """Give the first pieces of a part that meets too many, each to be committed; at least one row is done behind them."""
        found, hot = self._up_to_masses(part)
        if hot is None:
            raise BrokenInvariant("a turn was to be cut at a row that meets masses of waits, and none does")
        row = hot[0]
        yield replace(up_to(part, row, times_before(part.times, row), row), waits=found)
        if not found:
            yield from self._slices(part, hot)

    def _slices(self, part: Part, hot: Here) -> Iterator[Part]:
        """Meet the waits of one row in order; with the last of them, do what else belongs to it."""
        row, arrived, at = hot
        times = times_before(part.times, row)
        empty = replace(part, times=times, start=row, end=row + 1, candidates=(), inputs=(), due=(), passing=(), last=False)
        place = _FIRST
        while len(found := self.store.waiting_behind(arrived.keys[at], place, MEET_MAX + 1)) > MEET_MAX:
            last = found[MEET_MAX - 1]
            place = (not last.retract, last.execution, last.token)
            yield replace(empty, waits=found[:MEET_MAX], halfway=arrived.events[at])
        whole = up_to(behind(part, row, times, row), row + 1, times, row)
        yield replace(whole, due=(), passing=(), waits=found)

    def _up_to_masses(self, part: Part) -> tuple[list[Wait], Here | None]:
        """Give the waits of the rows before the first with which they would be too many, and that row."""
        known: set[int] = set()
        found: list[Wait] = []
        rows = [one for one in self.arrivals.from_row(part.start) if one[0] < part.end]
        seen = self.seen({arrived.events[at] for _, arrived, at in rows})
        for here in rows:
            _, arrived, at = here
            keys = set() if arrived.events[at] in seen else set(arrived.keys[at]) - known
            more = self.store.waiting(keys, MEET_MAX + 1) if keys else []
            if len(found) + len(more) > MEET_MAX:
                return found, here
            known |= keys
            found += more
        return found, None

    def _keys(self, part: Part) -> set[int]:
        rows = self.arrivals.from_row(part.start)
        return {key for row, arrived, at in rows if row < part.end for key in arrived.keys[at]}
