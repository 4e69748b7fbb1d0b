"""Outcomes of awaited commands: bound as results, or the error of their step; those that no token waits for any more."""

from __future__ import annotations

from typing import Final

from operators.execution.closing import keep_unknown, settle, undone
from operators.execution.execution import Parked, Sent
from operators.execution.frames import keep_sent, withdraw
from operators.execution.noted import noted
from operators.execution.run import Run, StepFailed
from operators.execution.undo import keep_undo, undo_id
from schemas.effects import Ended
from schemas.errors import BrokenInvariant
from schemas.expression.findings import ExpressionError
from schemas.expression.read_json import read_json
from schemas.expression.template import MissingValue
from schemas.expression.type_text import print_type
from schemas.expression.types import Type
from schemas.ids import action_id
from schemas.program import Act, Call, Step
from schemas.records import Json, Result

_CODES: Final = {"failed": "rejected", "dead": "unavailable", "unknown": "unknown_outcome", "cancelled": "cancelled"}


def waiting_token(run: Run, result: Result) -> Parked | None:
    """Find the token that waits for a result."""
    steps = run.runnable.program.steps
    for parked in run.parked.values():
        step = steps[parked.step]
        if isinstance(step, Act) and step.name == result.step and _is(run, step.name, parked.about, result.action):
            return parked
    return None


def open_command(run: Run, result: Result) -> Sent | None:
    """Find the command of a result that no token waits for."""
    steps = run.runnable.program.steps
    for sent in run.rest.sent if run.rest is not None else ():
        name = steps[sent.step].name
        if name == result.step and _is(run, name, sent.occurrence, result.action):
            return sent
    return None


def _is(run: Run, step: str, occurrence: int | None, action: str) -> bool:
    return occurrence is not None and action_id(run.id, step, occurrence).hex() == action


def take_result(run: Run, parked: Parked, result: Result) -> int:
    """Give the step behind an awaited action; raises StepFailed."""
    step = run.runnable.program.steps[parked.step]
    if not isinstance(step, Act):
        raise BrokenInvariant(f"step '{step.name}' is no action")
    run.unpark(parked.token)
    run.note("answered", step.name, "action", {"status": result.status, "attempts": result.attempts})
    if result.status != "delivered":
        if result.status == "unknown":
            keep_sent(run, parked, unknown=True)
        raise _failed(result)
    value = bind_result(run, parked, step.result, result.data, step.name)
    run.note("completed", step.name, "action", noted(value, step.result))
    return step.next


def bind_result(run: Run, parked: Parked, want: Type | None, data: Json, name: str = "") -> Json:
    """Bind a result, and fix how its step is undone; raises StepFailed.

    What was done and cannot be read, or not be undone, is kept as unknown: a closing has to ask a person about it.
    """
    step = run.runnable.program.steps[parked.step]
    try:
        value = data if want is None else read_json(data, want)
        run.bind(name or step.name, value)
        if parked.about is not None:
            keep_undo(run, parked.step, parked.about)
    except ExpressionError as error:
        keep_sent(run, parked, unknown=True)
        way = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
        why = f"the result{way}: {error.message}" if data is not None else _nothing(step, want)
        raise StepFailed("invalid_result", why) from error
    except MissingValue:
        keep_sent(run, parked, unknown=True)
        raise
    return value


def _nothing(step: Step, want: Type | None) -> str:
    """Say that an action was carried out by what answers nothing."""
    wanted = "" if want is None else f" where {print_type(want)} is wanted"
    what = step.action if isinstance(step, Act) else step.name
    return f"nothing came back{wanted}; let a connector that answers carry '{what}' out: millrace connectors set"


def _failed(result: Result) -> StepFailed:
    code = "unknown_outcome" if result.status == "unknown" else result.code or _CODES[result.status]
    return StepFailed(code, f"{result.error or code} after {result.attempts} attempt{'' if result.attempts == 1 else 's'}")


def time_out_action(run: Run, parked: Parked) -> int:
    """Fail an awaited step whose time is over; its command or call is not wanted any more. Raises StepFailed."""
    run.unpark(parked.token)
    step = run.runnable.program.steps[parked.step]
    run.note("timed_out", step.name, "call" if isinstance(step, Call) else "action")
    sent = keep_sent(run, parked)
    run.more().sent[-1] = withdraw(run, sent)
    raise StepFailed("timeout", "no outcome came in time")


def settle_command(run: Run, sent: Sent, result: Result) -> None:
    """Take the outcome of a command that no token waited for."""
    name = run.runnable.program.steps[sent.step].name
    run.note("answered", name, "action", {"status": result.status, "attempts": result.attempts})
    if result.status == "delivered":
        _settle_done(run, sent, result.data)
    elif result.status == "unknown":
        keep_unknown(run, sent)
    else:
        settle(run, sent, None)


def _settle_done(run: Run, sent: Sent, data: Json) -> None:
    step = run.runnable.program.steps[sent.step]
    want = step.result if isinstance(step, Act | Call) else None
    try:
        settle(run, sent, {step.name: data if want is None else read_json(data, want)})
    except ExpressionError as error:
        run.note("failed", step.name, "", {"code": "invalid_result", "message": f"the result: {error.message}"})
        keep_unknown(run, sent)


def settle_call(run: Run, sent: Sent, ended: Ended) -> None:
    """Take the end of a called flow that no token waited for."""
    run.note("answered", run.runnable.program.steps[sent.step].name, "call", {"status": ended.status})
    if ended.status == "completed":
        _settle_done(run, sent, {} if ended.output is None else ended.output)
    else:
        settle(run, sent, None)


def take_undo(run: Run, result: Result) -> bool:
    """Take the outcome of a compensation; False if it is not that."""
    closing = run.rest.closing if run.rest is not None else None
    if closing is None or closing.current is None or closing.stuck or undo_id(run, closing) != result.action:
        return False
    name = run.runnable.program.steps[closing.current.step].name
    if result.status == "delivered":
        undone(run, name)
    else:
        failure = _failed(result)
        closing.stuck = True
        run.note("failed", name, "compensation", {"code": failure.code, "message": failure.message})
    return True
