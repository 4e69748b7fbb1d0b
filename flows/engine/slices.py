"""Cut a turn with much to fire into transactions, in its total order: none grows without bound, and nothing changes its place.

Reads: a turn's rows, the store's timers and deadlines. Emits: parts, each to be run and committed before the next is asked for.
Law: the parts one after the other do what the turn would do as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from flows.engine.masses import Meetings
from flows.engine.part import Part, behind
from flows.engine.progress import bounds
from flows.engine.work import JoinedWork
from operators.turn.incoming import STARTS, Candidate
from operators.turn.times import END_OF_TIME, Times
from schemas.ports import StateStore, Timer

DUE_MAX: Final = 20_000  # timers or deadlines fired in one transaction
BEHIND: Final = 1 << 62


def parts(work: JoinedWork, store: StateStore, times: Times, meetings: Meetings) -> Iterator[Part]:
    """Give the parts of a turn; each must be committed before the next is taken."""
    rest = Part(times, 0, BEHIND, work.candidates, work.decoded.inputs, (), (), last=True)
    while True:
        part, after = _next(rest, store)
        waits = meetings.waits(part)
        if waits is None:
            for piece in meetings.cut(part):
                yield piece
                last = piece
            rest = behind(rest, last.end, last.times, last.given)
            continue
        yield replace(part, waits=waits)
        if part.last:
            return
        rest = after


def _next(rest: Part, store: StateStore) -> tuple[Part, Part]:
    """Give what goes into one transaction by what falls due, and the rest."""
    times = rest.times
    due = store.due(times.now_us, DUE_MAX)
    passing = store.deadlines(times.past_us, DUE_MAX)
    if len(due) < DUE_MAX and len(passing) < DUE_MAX:
        return replace(rest, due=due, passing=passing), rest
    return (_cut_events if times.kind == "events" else _cut_wall)(rest, due, passing)


def wall_times(work: JoinedWork, store: StateStore, now_us: int) -> Times:
    """Give the times of a turn under the wall clock; bounds are looked for only where a deadline is near, or may be set."""
    taken = work.decoded.taken
    deadline_us = store.next_deadline_us()
    watches = any(one.watch != STARTS for one in work.candidates)
    if not watches and (deadline_us is None or deadline_us > now_us):
        return Times(now_us, min(taken.past_us, now_us))
    return Times(now_us, min(taken.past_us, now_us), bounds=bounds(taken.chunks, taken.past_us, taken.from_us))


def event_times(work: JoinedWork, now_us: int) -> Times:
    """Give the times of a turn under the event clock: at its end more may come at that very time, unless all is read."""
    decoded = work.decoded
    past_us = now_us if decoded.taken.past_us == END_OF_TIME else now_us - 1
    return Times(now_us, past_us, "events", clock=decoded.clock)


def _cut_events(rest: Part, due: Sequence[Timer], passing: Sequence[Timer]) -> tuple[Part, Part]:
    """Split before the rows that come behind the last of the timers, or of the deadlines, whichever list is full first."""
    deadlines_first = len(passing) == DUE_MAX and (len(due) < DUE_MAX or passing[-1].due_us < due[-1].due_us)
    bound_us = (passing if deadlines_first else due)[-1].due_us
    row_us = bound_us if deadlines_first else bound_us - 1  # the clock of the last row that comes before it
    clock = rest.times.clock
    end = 0 if clock is None else int(np.searchsorted(clock, row_us, "right"))
    first = replace(
        rest,
        times=replace(_until_last(rest.times, due, passing), now_us=bound_us, past_us=row_us),
        end=end,
        candidates=[one for one in rest.candidates if _is_early(one, end, row_us)],
        inputs=[one for one in rest.inputs if one.now_us <= row_us],
        due=[timer for timer in due if timer.due_us <= bound_us],
        passing=[timer for timer in passing if timer.due_us <= row_us],
        last=False,
    )
    behind = [one for one in rest.candidates if not _is_early(one, end, row_us)]
    return first, replace(rest, start=end, candidates=behind, inputs=[one for one in rest.inputs if one.now_us > row_us])


def _until_last(times: Times, due: Sequence[Timer], passing: Sequence[Timer]) -> Times:
    """Let a part end with the last of a full list: what it sets itself may come behind others that are in the store still."""
    last_delay = due[-1] if len(due) == DUE_MAX else None
    return replace(times, last_delay=last_delay, last_deadline=passing[-1] if len(passing) == DUE_MAX else None)


def _is_early(candidate: Candidate, end: int, row_us: int) -> bool:
    return candidate.row < end and candidate.behind <= row_us


def _cut_wall(rest: Part, due: Sequence[Timer], passing: Sequence[Timer]) -> tuple[Part, Part]:
    """Fire what comes before the first row, in order of time, as far as a full list goes; then what passes among the rows."""
    before_us = _past_first(rest)
    early = [timer for timer in passing if timer.due_us <= before_us]
    if len(due) < DUE_MAX and len(early) < DUE_MAX:
        return _cut_rows(rest, due, passing)
    deadlines_first = len(early) == DUE_MAX and (len(due) < DUE_MAX or early[-1].due_us < due[-1].due_us)
    last_us = (early if deadlines_first else due)[-1].due_us
    until_us = last_us if deadlines_first else last_us - 1  # of two at one time the delay comes first
    times = replace(
        rest.times,
        past_us=min(before_us, until_us),
        bounds=(),
        last_delay=None if deadlines_first else due[-1],
        last_deadline=early[-1] if deadlines_first else None,
    )
    fires = replace(
        rest,
        times=times,
        end=rest.start,
        candidates=(),
        inputs=(),
        due=[timer for timer in due if timer.due_us <= last_us],
        passing=[timer for timer in early if timer.due_us <= until_us],
        last=False,
    )
    return fires, rest


def _cut_rows(rest: Part, due: Sequence[Timer], passing: Sequence[Timer]) -> tuple[Part, Part]:
    """Split before the row before which the last of a full list of deadlines passes."""
    last = passing[-1]
    end = rest.times.row_of(last.due_us, deadline=True)
    early = [one for one in rest.inputs if one.row < end or (one.row == end and one.past_us < last.due_us)]
    first = replace(
        rest,
        times=replace(rest.times, past_us=last.due_us, last_deadline=last),
        end=end,
        candidates=[one for one in rest.candidates if one.row < end],
        inputs=early,
        due=due,
        passing=passing,
        last=False,
    )
    left = [one for one in rest.candidates if one.row >= end]
    return first, replace(rest, start=end, candidates=left, inputs=rest.inputs[len(early) :])


def _past_first(rest: Part) -> int:
    """Give up to which time deadlines pass before all that is left."""
    bounds = rest.times.bounds
    past_us = rest.times.before(rest.start, rest.times.now_us).past_us if bounds and rest.start < BEHIND else rest.times.past_us
    return min(past_us, rest.inputs[0].past_us) if rest.inputs else past_us
