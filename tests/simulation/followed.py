"""The reference runner, moved from transaction to transaction as the engine was, with what was due in each.

What a transaction could not hold is the next one's, and behind a death something else may come before that. Under the wall clock
the runner's clock is moved as the engine's was: delays that are due end before the first record of a turn, a deadline before
the first record in front of which nothing is unread that was appended by then. What falls due happens at the turn's now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flows.local.run_local import LocalRun
from schemas.registry import Registry
from schemas.topics import COMMANDS, CONTROL, DECISIONS, RESULTS
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
                _let_pass_up_to(self, piece.up_to, (self.now_us, piece.past_us), recorder.rows)


def followed(recorder: Recorder) -> LocalRun:
    """Give the reference runner under the event clock, behind all that an engine did, transaction by transaction."""
    run = LocalRun(Registry())
    for piece in recorder.pieces:
        for taken in piece.taken:
            if taken.topic in (RESULTS, DECISIONS, COMMANDS):
                run.let_time_pass(run.now_us, run.now_us - 1)  # what was over when the event before it set it going
            give(run, taken.topic, taken.data)
        if piece.up_to is None:
            run.let_time_pass(piece.now_us, piece.past_us)
        else:
            _let_pass_up_to(run, piece.up_to, (piece.now_us, piece.past_us), recorder.rows)
        run.now_us = max(run.now_us, piece.now_us)
    return run


def _let_pass_up_to(run: LocalRun, last: UpTo, until: tuple[int, int], rows: Mapping[str, int]) -> None:
    """Let pass what is due, but nothing behind a certain delay or deadline: the next transaction does that."""
    while (due := run._first_due(*until)) is not None:
        (due_us, deadline, _, token), one = due
        if (due_us, deadline, rows.get(one.id.hex(), BEHIND), token) > last:
            return
        run._let_pass(*due)
