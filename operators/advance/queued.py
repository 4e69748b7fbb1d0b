"""Starts that a limit keeps waiting: executions that have not begun and stand in the queue of a key (triggers/admission.py).

They have a row and a history from the moment they came, so nothing waits unseen; they begin when they are admitted, and fail with
`limit_exceeded` when they have waited for as long as the flow may take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from operators.advance.hidden import hide_verdict, unhide
from operators.advance.onward import begin_steps, timer_of
from operators.execution.asked_policies import use_asked
from operators.execution.execution import NOWHERE, Cause, Parked, Queueing
from operators.execution.run import Advanced, Moment, Run, advanced, begin, resume
from schemas.effects import Ended
from schemas.records import OperatorCommand

TOKEN: Final = 0
UNASKED: Final = 0  # the key of one that has not asked yet
VERB: Final = "limit"


def enqueue(moment: Moment, cause: Cause, env: Mapping[str, Any], place: Queueing) -> Advanced:
    """Let a start wait; `moment.state` is None. `env` holds the keys that the program reads."""
    run = begin(moment, cause, dict(env), moment.now_us)
    run.note("entered", "", VERB, {"limit": place.limit, "until": place.due_us})
    use_asked(run)
    run.timers_set.append(timer_of(TOKEN, run.deadline_us))
    hide_verdict(run)
    return _stand(run, place)


def skip(moment: Moment, cause: Cause, env: Mapping[str, Any]) -> Advanced:
    """Leave a slot of a schedule out, for the run before still lives: it is seen, and nothing follows it as if it had run."""
    run = begin(moment, cause, dict(env), moment.now_us)
    run.note("skipped", "", VERB, {"limit": "overlap", "slot": run.root.get("schedule.slot")})
    run.status = "cancelled"
    run.note("ended", "", "", run.status)
    return advanced(run, keep=False)


def stand_by(run: Run) -> Advanced:
    """Let a watch that has come to its verdict ask whether it may begin."""
    run.timers_set.append(timer_of(TOKEN, run.deadline_us))
    return _stand(run, Queueing(UNASKED, 0, ""))


def move(moment: Moment, place: Queueing) -> Advanced:
    """Let a start wait for another key, or up to another time."""
    run = resume(moment)
    before = run.more().queued
    if before is not None and before.key == UNASKED:
        run.note("entered", "", VERB, {"limit": place.limit, "until": place.due_us})
        run.note_policies()
    run.timers_gone += _times(run)
    return _stand(run, place)


def admit(moment: Moment) -> Advanced:
    """Let it begin, now."""
    run = resume(moment)
    before = run.more().queued
    _leave(run)
    run.started_us = run.now_us
    run.deadline_us = run.now_us + run.runnable.program.timeout_us
    run.note("started", "", "")
    if before is not None and before.key == UNASKED:
        run.note_policies()
    return begin_steps(run, run.runnable.program.entry)


def give_up(run: Run) -> Advanced:
    """Take that it has waited too long."""
    waited_s = run.runnable.program.timeout_us // 1_000_000
    message = f"a limit of flow '{run.runnable.program.flow}' did not let it begin within {waited_s} s"
    run.note("failed", "", VERB, {"code": "limit_exceeded", "message": message})
    return _end(run, Ended("failed", None, "limit_exceeded", message))


def turn_away(moment: Moment, why: str) -> Advanced:
    """End it: another limit of its flow drops what is over."""
    run = resume(moment)
    message = f"flow '{run.runnable.program.flow}' did not begin: {why}"
    run.note("failed", "", VERB, {"code": "limit_exceeded", "message": message})
    return _end(run, Ended("failed", None, "limit_exceeded", message))


def take_back_queued(run: Run) -> Advanced:
    """End what its verdict was taken back from before it began."""
    run.note("retracted", "", VERB)
    return _end(run, Ended("cancelled", None, "retracted", "its verdict was taken back before it began"))


def withdraw(run: Run, order: OperatorCommand) -> Advanced | None:
    """Cancel it before it has begun; None for any other order."""
    if order.command != "cancel":
        return None
    run.note("cancelled", "", "", {"by": order.by})
    return _end(run, Ended("cancelled", None, "cancelled", f"cancelled by {order.by or 'an operator'}"))


def _stand(run: Run, place: Queueing) -> Advanced:
    run.more().queued = place
    if place.due_us is not None:
        run.timers_set.append(Parked(TOKEN, NOWHERE, place.due_us))
    run.status = "waiting"
    return advanced(run, keep=True)


def _end(run: Run, ended: Ended) -> Advanced:
    _leave(run)
    hidden = run.more().hidden
    if hidden is not None:
        unhide(run, hidden)
    run.end(ended)
    return advanced(run, keep=False)


def _leave(run: Run) -> None:
    run.timers_gone += [*_times(run), timer_of(TOKEN, run.deadline_us)]
    run.more().queued = None


def _times(run: Run) -> list[Parked]:
    place = run.more().queued
    return [] if place is None or place.due_us is None else [Parked(TOKEN, NOWHERE, place.due_us)]
