"""How far executions have worked on a turn that is committed in parts: a death between two of them makes nothing happen twice.

Positions move with the last part, together with what windows and schedules made of all rows. So each earlier part says which
records for executions, and which events, had their effect on executions; what is read again of these, executions pass over.
State: stretches of slots, in the engine's file, until the positions themselves are beyond, and who waits for a share is too.
Cost: nothing for a turn in one part. While rows of a tenant wait for their share, a turn has pieces of a slot, and each is noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec

from flows.engine.part import Part
from flows.engine.work import JoinedWork, Taken
from operators.turn.incoming import Arrived
from schemas.ports import Chunk, HeldBack, Slot, Stretch
from schemas.topics import is_events


class Placed(NamedTuple):
    """A chunk of events and the row of its first record."""

    first_row: int
    chunk: Chunk


class Reached:
    """The stretches of one engine."""

    def __init__(self, stored: Iterable[Stretch]) -> None:
        self._ends = {(one.slot, one.since): one.next for one in stored}

    def left(self, work: JoinedWork) -> JoinedWork:
        """Give what is left of a turn that is read again."""
        if not self._ends:
            return work
        decoded = work.decoded
        inputs = [one for one in decoded.inputs if not self._is_done(Slot(*one.position[:3]), one.position[3])]
        rows = {row for one in _placed(decoded.taken) for row in self._rows(one)}
        arrived = [_without(one, rows) for one in work.arrived] if rows else work.arrived
        return replace(work, decoded=replace(decoded, inputs=inputs), arrived=arrived)

    def behind(self, taken: Taken, part: Part, *, waiting: bool) -> list[Stretch]:
        """Give the stretches as a part leaves them; `waiting`: not all that came before of a slot has been worked on."""
        for one in part.inputs:
            slot, position = Slot(*one.position[:3]), one.position[3]
            if slot.source:
                self._note(slot, 0, position + 1)
        end = part.start if part.halfway else part.end
        for first_row, chunk in _placed(taken):
            position = chunk.base + min(max(end - first_row, 0), len(chunk.records))
            if position > chunk.base:
                self._note(chunk.slot, chunk.base if waiting or taken.held else 0, position)
        return self._stretches()

    def passed(self, positions: Mapping[Slot, int], held: Mapping[HeldBack, int], taken: Taken) -> list[Stretch] | None:
        """Give the stretches that are left when a turn is done; None where there was none."""
        if not self._ends:
            return None
        oldest = dict(positions)
        for place, at in held.items():
            oldest[place.slot] = min(at, oldest.get(place.slot, 0))
        done = {(chunk.slot, chunk.base): chunk.end for chunk in taken.chunks}
        self._ends = {one: end for one, end in self._ends.items() if end > max(oldest.get(one[0], 0), done.get(one, 0))}
        return self._stretches()

    def _note(self, slot: Slot, since: int, end: int) -> None:
        self._ends[slot, since] = max(end, self._ends.get((slot, since), 0))

    def _stretches(self) -> list[Stretch]:
        return [Stretch(slot, since, end) for (slot, since), end in self._ends.items()]

    def _is_done(self, slot: Slot, position: int) -> bool:
        return any(since <= position < end for (of, since), end in self._ends.items() if of == slot)

    def _rows(self, one: Placed) -> Iterator[int]:
        chunk = one.chunk
        for (slot, since), end in self._ends.items():
            if slot == chunk.slot:
                yield from range(
                    one.first_row + max(0, since - chunk.base), one.first_row + min(len(chunk.records), end - chunk.base)
                )


def _placed(taken: Taken) -> Iterator[Placed]:
    """Give the chunks of events."""
    row = 0
    for chunk in taken.chunks:
        if is_events(chunk.topic):
            yield Placed(row, chunk)
            row += len(chunk.records)


def _without(arrived: Arrived, rows: set[int]) -> Arrived:
    keys = [() if row in rows else found for row, found in zip(arrived.rows, arrived.keys, strict=True)]
    return msgspec.structs.replace(arrived, keys=keys)
