"""The execution core: what comes in for one execution carries it as far as it can go now.

Reads: a runnable program, the state, what happened and the time. Emits: the next state and all that the execution wants of the
world. State: none of its own; the argument is never changed. Cost: a few microseconds a step.
Law: replaying the same inputs at the same times gives the same effects, on every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, ParamSpec

from operators.advance.hidden import hide_verdict
from operators.advance.onward import begin_steps, carry, fail, go
from operators.advance.operate import operate, standing
from operators.advance.queued import admit, enqueue, give_up, move, withdraw
from operators.advance.watch_for import (
    TOKEN,
    discard,
    disproves,
    end_watch,
    forget,
    meet_watch,
    start_watch,
    take_back,
)
from operators.execution.answers import (
    open_command,
    settle_call,
    settle_command,
    take_result,
    take_undo,
    time_out_action,
    waiting_token,
)
from operators.execution.asked_policies import use_asked
from operators.execution.closing import close
from operators.execution.execution import Cause, Parked, Rest, State
from operators.execution.run import Advanced, Moment, Run, Runnable, StepFailed, advanced, after, begin, resume
from operators.steps.approve import find_ballot, give_notice, refusal, take_decision, time_out_asking
from operators.steps.call_flow import open_call, take_end, waiting_call
from operators.steps.for_each import go_on
from operators.steps.wait_for import take_event, time_out
from schemas.effects import Ended, MetEvent
from schemas.expression.template import MissingValue
from schemas.program import Act, Approve, Call, ForEach, Wait
from schemas.records import Decision, OperatorCommand, Result

P = ParamSpec("P")
_NOTHING = Rest()


def start(runnable: Runnable, tenant: str, execution: bytes, cause: Cause, env: Mapping[str, Any], now_us: int) -> Advanced:
    """Begin an execution. `env` holds the keys that the program reads, and its policies (Moment); it is not changed.

    With the key `trigger.retract_until` the verdict that started it may be taken back until that time (`retract`).
    """
    run = begin(Moment(runnable, tenant, execution, None, now_us), cause, dict(env), now_us)
    run.note("started", "", "")
    use_asked(run)
    hide_verdict(run)
    return begin_steps(run, runnable.program.entry)


def watch(moment: Moment, cause: Cause, env: Mapping[str, Any], trigger: int) -> Advanced | None:
    """Watch for what an absence or a sequence (the trigger of that place) waits for; `moment.state` is None.

    None if the time of an absence has no value: there is nothing to wait for.
    """
    return start_watch(moment, cause, env, trigger)


def fire(moment: Moment, token: int) -> Advanced | None:
    """Let a token whose time has come go on; None if it does not wait any more (a timer that was taken back)."""
    run = resume(moment)
    rest = run.rest or _NOTHING
    if rest.watch is not None:
        return end_watch(run, rest.watch) if token == TOKEN else None
    if rest.queued is not None and token == TOKEN:
        return give_up(run) if run.now_us >= run.deadline_us else None
    if rest.hidden is not None and token == rest.hidden.token:
        return forget(run, rest.hidden)
    parked = run.parked.get(token)
    if parked is None:
        return None
    if parked.due_us >= run.deadline_us:
        return _time_out_all(run, parked)
    if parked.kind == "notice":
        give_notice(run, parked)
        return carry(run)
    return _go_on(run, _DUE.get(type(run.runnable.program.steps[parked.step]), _end_delay), parked)


def _end_delay(run: Run, parked: Parked) -> int:
    run.unpark(parked.token)
    run.note("completed", run.runnable.program.steps[parked.step].name, "delay")
    return after(run.runnable.program, parked.step)


_DUE: Final[Mapping[type, Callable[[Run, Parked], int]]] = {  # the step that a token goes on with whose time has come
    Wait: time_out,
    Approve: time_out_asking,
    Act: time_out_action,
    Call: time_out_action,
    ForEach: go_on,
}


def _time_out_all(run: Run, parked: Parked) -> Advanced:
    """End an execution that takes too long."""
    name = run.runnable.program.steps[parked.step].name
    message = f"the execution did not end within {run.runnable.program.timeout_us // 1_000_000} s"
    run.note("failed", name, "", {"code": "timeout", "message": f"step '{name}': {message}"})
    close(run, StepFailed("timeout", message), name, "failed")
    return carry(run)


def meet(moment: Moment, token: int, event: MetEvent) -> Advanced | None:
    """Give an event to a token that waits for it (of whatever kind); None if it does not fit, or is waited for no more."""
    run = resume(moment)
    rest = run.rest or _NOTHING
    if rest.watch is not None:
        return meet_watch(run, rest.watch, event)
    if rest.hidden is not None and token == rest.hidden.token:
        return take_back(run, event) if disproves(run, rest.hidden, event) else None
    parked = run.parked.get(token)
    following = None if parked is None else take_event(run, parked, event)
    if following is None:
        return None
    go(run, following)
    return carry(run)


def answer(moment: Moment, result: Result) -> Advanced | None:
    """Take the outcome of a command; None if nothing waits for it."""
    run = resume(moment)
    parked = waiting_token(run, result)
    if parked is not None:
        return _go_on(run, take_result, parked, result)
    sent = open_command(run, result)
    if sent is not None:
        settle_command(run, sent, result)
    elif not take_undo(run, result):
        return None
    return carry(run)


def decide(moment: Moment, decision: Decision) -> Advanced:
    """Take a decision; one that does not count is noted as refused, and changes nothing else."""
    run = resume(moment)
    parked = find_ballot(run, decision)
    why = decision.refused or ("not_open" if parked is None else refusal(run, parked, decision))
    if parked is None or why:
        said = {"occurrence": decision.occurrence, "outcome": decision.outcome, "by": decision.by, "why": why}
        run.note("refused", decision.step, "approval", said)
        return standing(run)
    following = take_decision(run, parked, decision)
    if following is not None:
        go(run, following)
    return carry(run)


def child_ended(moment: Moment, token: int, ended: Ended) -> Advanced | None:
    """Take the end of a called flow; None if nothing waits for it."""
    run = resume(moment)
    parked = waiting_call(run, token)
    if parked is not None:
        return _go_on(run, take_end, parked, ended)
    sent = open_call(run, token)
    if sent is None:
        return None
    settle_call(run, sent, ended)
    return carry(run)


def command(moment: Moment, order: OperatorCommand) -> Advanced | None:
    """Do what an operator wants: cancel, skip, retry or resume; what cannot be done is noted as refused."""
    run = resume(moment)
    rest = run.rest or _NOTHING
    if rest.watch is not None:
        return discard(run, rest.watch) if order.command == "cancel" else None
    if rest.queued is not None:
        return withdraw(run, order)
    return operate(run, order)


def retract(moment: Moment, event: MetEvent) -> Advanced | None:
    """Take back the verdict that started an execution: cancel its waits and run its on_retract steps.

    None if the event does not disprove it, or it cannot be taken back any more.
    """
    run = resume(moment)
    hidden = (run.rest or _NOTHING).hidden
    if hidden is None or not disproves(run, hidden, event):
        return None
    return take_back(run, event)


def _go_on(run: Run, following: Callable[Concatenate[Run, P], int], *told: P.args, **named: P.kwargs) -> Advanced:
    """Carry the current token on with what its step says now; it may fail."""
    try:
        at = following(run, *told, **named)
    except StepFailed as failure:
        fail(run, failure)
    except MissingValue as missing:
        fail(run, StepFailed("missing_value", str(missing)))
    else:
        go(run, at)
    return carry(run)


__all__ = [
    "Advanced",
    "Moment",
    "Runnable",
    "State",
    "admit",
    "advanced",
    "answer",
    "child_ended",
    "command",
    "decide",
    "enqueue",
    "fire",
    "meet",
    "move",
    "retract",
    "start",
    "watch",
]
