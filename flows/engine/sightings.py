"""What a turn brought to windows and schedules, with its place among the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from operators.schedules.schedule_book import DueSlot
from operators.windows.fired import TakenBack
from operators.windows.verdicts import Verdicts
from schemas.effects import MetEvent
from schemas.records import Late

NEVER: Final = -1


class Verdict(NamedTuple):
    """What windows of one event type said. `first_row` is the segment's, -1 where there is none: all by the clock."""

    event: str
    first_row: int
    rows: npt.NDArray[np.int64]  # of the turn, by row of `said.events`: behind which starts it comes
    clock_us: npt.NDArray[np.int64]  # NEVER: at its row
    said: Verdicts


class Disproof(NamedTuple):
    """A verdict of a window that an event takes back, at its row of the turn."""

    row: int
    now_us: int
    started: TakenBack
    event: MetEvent


@dataclass(slots=True)
class Sightings:
    """What a turn brought to windows and schedules."""

    verdicts: list[Verdict] = field(default_factory=list)
    slots: list[tuple[int, DueSlot]] = field(default_factory=list)  # (row behind whose starts it comes, slot)
    late: list[Late] = field(default_factory=list)
    disproofs: list[Disproof] = field(default_factory=list)
    start_us: int = 0  # the clock before the first row
    now_us: int | None = None  # of the turn, under the wall clock: all is now
