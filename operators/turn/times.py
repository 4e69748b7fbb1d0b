"""When delays end and deadlines pass between the rows of a turn (contracts.md section 4).

Under the event clock the clock runs from row to row: a delay ends before a row whose clock has reached it, a deadline before a
row whose clock is beyond it, for what comes at that very time still counts. Under the wall clock a turn has one now: delays end
before its rows, a deadline passes where every input has been read past it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.ports import Timer

BEHIND: Final = 1 << 62  # all rows
END_OF_TIME: Final = 1 << 62


class Until(NamedTuple):
    """Delays due by the one time end, deadlines due by the other pass."""

    due_us: int
    past_us: int

    def no_later(self, past_us: int) -> Until:
        """Let deadlines pass only up to a time."""
        return self if self.past_us <= past_us else Until(self.due_us, past_us)


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a turn. `now_us` is the clock at its end; `past_us` the time up to which deadlines pass at its end.

    `clock` is the event clock at each row; `bounds` say under the wall clock from which row on deadlines up to which time pass,
    both rising.
    """

    now_us: int
    past_us: int
    kind: Literal["wall", "events"] = "wall"
    clock: npt.NDArray[np.int64] | None = None
    bounds: Sequence[tuple[int, int]] = ()
    last_delay: Timer | None = None  # of a turn that fires in parts: what is set meanwhile and comes behind it is the next part's
    last_deadline: Timer | None = None

    def before(self, row: int, now_us: int) -> Until:
        """Tell what is over before a row, at which the clock shows `now_us`."""
        if self.kind == "events":
            return Until(now_us, now_us - 1)
        at = (
            bisect_right(self.bounds, row, key=_row) - 1
        )  # what the clock sets going comes before all rows, behind what is due there
        return Until(self.now_us, self.bounds[max(at, 0)][1] if self.bounds else self.past_us)

    def at_end(self) -> Until:
        """Tell what is over behind the last row; of a part that ends with a deadline, no delay that comes behind it."""
        last = self.last_deadline
        return Until(self.now_us if last is None else min(self.now_us, last.due_us), self.past_us)

    def has(self, timer: Timer, *, deadline: bool) -> bool:
        """Tell whether a delay or a deadline that is due belongs here: others that the store holds may come before it."""
        last = self.last_deadline if deadline else self.last_delay
        return last is None or timer <= last

    def fired_at(self, due_us: int) -> int:
        """Give the time at which what is due by a time happens."""
        return due_us if self.kind == "events" else self.now_us

    def row_of(self, due_us: int, *, deadline: bool) -> int:
        """Give the first row that comes behind a delay or a deadline."""
        if self.kind == "wall":
            at = bisect_left(self.bounds, due_us, key=_past) if deadline else len(self.bounds)
            return self.bounds[at][0] if at < len(self.bounds) else BEHIND if deadline else 0
        return 0 if self.clock is None else int(np.searchsorted(self.clock, due_us, "right" if deadline else "left"))


def _row(bound: tuple[int, int]) -> int:
    return bound[0]


def _past(bound: tuple[int, int]) -> int:
    return bound[1]
