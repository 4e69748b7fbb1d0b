"""How far executions have worked on a turn that is committed in parts: a death between two of them makes nothing happen twice.

Positions move with the last part, together with what windows and schedules made of all rows. So each earlier part says up to
where its records for executions, and its events, had their effect on executions; what is read again up to there, these pass over.
State: a position a slot, in the engine's file, until the positions themselves are beyond. Cost: nothing for a turn in one part.
While rows of a tenant wait for their share, what is done is no stretch of a slot: events are not noted then, and one that comes
too late may be told twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec

from flows.engine.part import Part
from flows.engine.work import JoinedWork, Taken
from operators.turn.incoming import Arrived, Input
from schemas.ports import Chunk, Slot
from schemas.topics import is_events


class Placed(NamedTuple):
    """A chunk of events and the row of its first record."""

    first_row: int
    chunk: Chunk


class Reached:
    """The marks of one engine."""

    def __init__(self, stored: Mapping[Slot, int]) -> None:
        self._marks = dict(stored)

    def left(self, work: JoinedWork) -> JoinedWork:
        """Give what is left of a turn that is read again."""
        if not self._marks:
            return work
        decoded = work.decoded
        inputs = [one for one in decoded.inputs if not self._is_done(one)]
        rows = {row for one in _placed(decoded.taken) for row in self._rows(one)}
        arrived = [_without(one, rows) for one in work.arrived] if rows else work.arrived
        return replace(work, decoded=replace(decoded, inputs=inputs), arrived=arrived)

    def behind(self, taken: Taken, part: Part, *, stretches: bool) -> dict[Slot, int]:
        """Give the marks as a part leaves them; `stretches` False: its events are not noted."""
        for one in part.inputs:
            slot, position = Slot(*one.position[:3]), one.position[3]
            if slot.source:
                self._marks[slot] = max(self._marks.get(slot, 0), position + 1)
        end = part.start if part.halfway else part.end
        for first_row, chunk in _placed(taken) if stretches else ():
            position = chunk.base + min(max(end - first_row, 0), len(chunk.records))
            if position > chunk.base:
                self._marks[chunk.slot] = max(self._marks.get(chunk.slot, 0), position)
        return dict(self._marks)

    def passed(self, positions: Mapping[Slot, int]) -> dict[Slot, int] | None:
        """Give the marks that are left when positions have moved; None where there was none."""
        if not self._marks:
            return None
        self._marks = {slot: mark for slot, mark in self._marks.items() if mark > positions.get(slot, 0)}
        return dict(self._marks)

    def _is_done(self, one: Input) -> bool:
        return one.position[3] < self._marks.get(Slot(*one.position[:3]), 0)

    def _rows(self, one: Placed) -> range:
        done = self._marks.get(one.chunk.slot, 0) - one.chunk.base
        return range(one.first_row, one.first_row + min(max(done, 0), len(one.chunk.records)))


def _placed(taken: Taken) -> Iterator[Placed]:
    """Give the chunks of events, but for those that had waited for their share: they stand behind the positions."""
    row = 0
    for at, chunk in enumerate(taken.chunks):
        if is_events(chunk.topic):
            if at >= taken.held:
                yield Placed(row, chunk)
            row += len(chunk.records)


def _without(arrived: Arrived, rows: set[int]) -> Arrived:
    keys = [() if row in rows else found for row, found in zip(arrived.rows, arrived.keys, strict=True)]
    return msgspec.structs.replace(arrived, keys=keys)
