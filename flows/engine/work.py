"""What travels between the stages of a turn: frames and records, never lists of dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flows.engine.sightings import Sightings
from operators.turn.incoming import Arrived, Candidate, Input
from schemas.decode import Decoded, EventFrame
from schemas.ports import Chunk, Slot
from schemas.records import Control, DeadLetter, Late, Mistyped


@dataclass(frozen=True, slots=True)
class Taken:
    """Records taken from the inputs, in total order. Positions are those behind them."""

    chunks: Sequence[Chunk]
    positions: Mapping[Slot, int]
    poison: Sequence[DeadLetter]
    now_us: int  # the clock before the first row (event clock), or of the turn (wall clock)
    past_us: int = 0  # up to when every input has been read, behind the last row
    from_us: int = 0  # and before the first one: what passed in an earlier turn stays so
    held: int = 0  # chunks at the head that had waited for their tenant's share
    reached_us: int = 0  # where executions are: of a turn that is read again after a death they went on, windows did not


@dataclass(frozen=True, slots=True)
class Segment:
    """Events between two changes of what is deployed: `controls` hold for them and what follows."""

    controls: Sequence[Control]
    decoded: Decoded


@dataclass(frozen=True, slots=True)
class DecodedWork:
    """A turn's records as columns. `clock` is the time at each row of all segments together, `trigger_clock` for windows."""

    taken: Taken
    segments: Sequence[Segment]
    clock: npt.NDArray[np.int64]
    dead: Sequence[DeadLetter]
    outcomes: int  # commands that got their first outcome
    now_us: int  # the clock behind the last row
    trigger_clock: npt.NDArray[np.int64]  # the same as `clock`, but of a turn that is read again: as it was the first time
    inputs: Sequence[Input] = ()  # records for executions


@dataclass(frozen=True, slots=True)
class Matched:
    """What the events of one type in one segment start: an entry a row, of which one may come several times.

    `first_row` is the segment's.
    """

    first_row: int
    events: EventFrame
    entries: Sequence[int]


@dataclass(frozen=True, slots=True)
class MatchedWork:
    """A turn after the join with the trigger tables."""

    decoded: DecodedWork
    matched: Sequence[Matched]
    arrived: Sequence[Arrived] = ()  # events that waits may be found for
    sightings: Sightings = field(default_factory=Sightings)
    mistyped: Sequence[Mistyped] = ()


@dataclass(frozen=True, slots=True)
class JoinedWork:
    """A turn whose candidates have all the values that their programs read; sorted by (row, behind, flow)."""

    decoded: DecodedWork
    candidates: Sequence[Candidate]
    arrived: Sequence[Arrived] = ()
    late: Sequence[Late] = ()
    dead: Sequence[DeadLetter] = ()  # slots that cannot start
    mistyped: Sequence[Mistyped] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A turn that was committed."""

    turn: int
    rows: int
    started: int
    actions: int
    dead: int


class Counts(NamedTuple):
    """What an engine process has done so far."""

    turns: int = 0
    events: int = 0
    executions: int = 0
    actions: int = 0
    dead_letters: int = 0

    def behind(self, done: Done) -> Counts:
        """Give the counts behind one more turn."""
        return Counts(
            self.turns + 1,
            self.events + done.rows,
            self.executions + done.started,
            self.actions + done.actions,
            self.dead_letters + done.dead,
        )
