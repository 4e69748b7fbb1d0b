"""A part of a turn: what one transaction works on, and how it is divided before a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from operators.turn.incoming import Candidate, Input
from operators.turn.times import Times
from schemas.ports import Timer, Wait


@dataclass(frozen=True, slots=True)
class Part:
    """What one transaction works on: rows from `start` up to `end`, what falls due around them, the waits that they may meet."""

    times: Times
    start: int
    end: int
    candidates: Sequence[Candidate]
    inputs: Sequence[Input]
    due: Sequence[Timer]
    passing: Sequence[Timer]
    last: bool = False
    waits: Sequence[Wait] = ()
    halfway: bytes = b""  # key of the event of its one row, if more waits that it may meet come behind
    given: int = 0  # of a piece cut by waits: the last row whose records for executions are in it or before it


def times_before(times: Times, row: int) -> Times:
    """Give the times of a part that ends before a row."""
    now_us = times.now_us if times.clock is None else int(times.clock[row])
    until = times.before(row, now_us)
    return replace(times, now_us=until.due_us, past_us=until.past_us)


def up_to(part: Part, end: int, times: Times, given: int) -> Part:
    """Give what of a part comes before a row; of the records for executions those before the row `given`, and before it."""
    return replace(
        part,
        times=times,
        end=end,
        candidates=[one for one in part.candidates if _is_early(one, end, times)],
        inputs=[one for one in part.inputs if one.row <= given],
        given=given,
        due=[timer for timer in part.due if timer.due_us <= times.now_us],
        passing=[timer for timer in part.passing if timer.due_us <= times.past_us],
        last=False,
    )


def behind(part: Part, end: int, times: Times, given: int) -> Part:
    """Give the rest of it."""
    return replace(
        part,
        start=end,
        candidates=[one for one in part.candidates if not _is_early(one, end, times)],
        inputs=[one for one in part.inputs if one.row > given],
    )


def _is_early(candidate: Candidate, end: int, times: Times) -> bool:
    return candidate.row < end and (times.kind == "wall" or candidate.behind <= times.past_us)
