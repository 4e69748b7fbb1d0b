"""The reference runner under the wall clock: moved from turn to turn as the engine's clock was, with what was due in each.

Delays that are due end before the first record of a turn; a deadline passes before the first record in front of which nothing is
unread that was appended by then. What falls due happens at the turn's now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flows.local.run_local import LocalRun
from schemas.registry import Registry
from schemas.topics import CONTROL
from tests.laws.recorded import give
from tests.simulation.recorder import Recorder, UpTo

BEHIND: Final = 1 << 62  # the row of an execution that begins and is discarded in one transaction


class WallRun(LocalRun):
    """The reference runner, with a clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__(Registry(), "wall")

    def follow(self, recorder: Recorder) -> None:
        """Do what an engine did, transaction by transaction."""
        for piece in recorder.pieces:
            self.now_us = max(self.now_us, piece.now_us)
            for taken in piece.taken:
                if taken.topic != CONTROL:  # what is deployed heads its turn, and holds for what is due in it
                    self.let_time_pass(self.now_us, taken.past_us)
                give(self, taken.topic, taken.data)
            if piece.up_to is None:
                self.let_time_pass(self.now_us, piece.past_us)
            else:
                self._let_pass_up_to(piece.up_to, piece.past_us, recorder.rows)

    def _let_pass_up_to(self, last: UpTo, past_us: int, rows: Mapping[str, int]) -> None:
        """Let pass what is due, but nothing behind a certain delay or deadline: the next transaction does that."""
        while (due := self._first_due(self.now_us, past_us)) is not None:
            (due_us, deadline, _, token), one = due
            if (due_us, deadline, rows.get(one.id.hex(), BEHIND), token) > last:
                return
            self._let_pass(*due)
