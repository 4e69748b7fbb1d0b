"""What an operator may do to one execution: cancel it, skip or retry a step, say what became of a command.

A step that failed for good has led the execution on, to its handler or into the closing: nothing brings it back, but another
execution may be forked from there. Tried again is what still waits: a command between two attempts, a compensation that failed.
"""

from __future__ import annotations

from operators.advance.onward import carry, go
from operators.execution.closing import close, settle, undone
from operators.execution.execution import Parked, Sent
from operators.execution.frames import drop, withdraw
from operators.execution.run import Advanced, Run, StepFailed, advanced, after
from operators.execution.undo import issue_undo
from schemas.effects import Unwanted
from schemas.ids import action_id
from schemas.program import Act, ForEach
from schemas.records import OperatorCommand


def operate(run: Run, order: OperatorCommand) -> Advanced:
    """Do what an operator wants; what cannot be done is noted as refused, with why."""
    refused = _ORDERS[order.command](run, order) if order.command in _ORDERS else f"{order.command} is nothing an execution does"
    if refused:
        run.note("refused", order.step, "operator", {"command": order.command, "by": order.by, "why": refused})
        return standing(run)
    return carry(run)


def standing(run: Run) -> Advanced:
    """Give an execution that stays as it is."""
    rest = run.rest
    closing = rest is not None and rest.closing is not None
    run.status = "closing" if closing else (rest is not None and rest.over) or "waiting"
    return advanced(run, keep=True)


def _cancel(run: Run, order: OperatorCommand) -> str:
    if run.rest is not None and (run.rest.closing is not None or run.rest.over):
        return "it is ending already"
    run.note("cancelled", "", "", {"by": order.by})
    close(run, StepFailed("cancelled", f"cancelled by {order.by or 'an operator'}"), "", "cancelled")
    return ""


def _skip(run: Run, order: OperatorCommand) -> str:
    closing = run.rest.closing if run.rest is not None else None
    if closing is not None and closing.current is not None:
        name = run.runnable.program.steps[closing.current.step].name
        if not closing.stuck or order.step not in ("", name):
            return "no compensation of that step has failed"
        run.note("skipped", name, "compensation", {"by": order.by})
        closing.current, closing.stuck = None, False
        return ""
    parked = _waiting(run, order)
    if isinstance(parked, str):
        return parked
    run.note("skipped", run.runnable.program.steps[parked.step].name, "", {"by": order.by})
    run.switch(parked.token, parked.frame)
    _drop(run, parked)
    go(run, after(run.runnable.program, parked.step))
    return ""


def _drop(run: Run, parked: Parked) -> None:
    """Take a waiting token away, and the notice that is planned for it; its command is not wanted any more."""
    for notice in [one for one in run.parked.values() if one.kind == "notice" and one.about == parked.token]:
        drop(run, notice)
    drop(run, parked)
    if isinstance(run.runnable.program.steps[parked.step], Act):
        run.more().sent[-1] = withdraw(run, run.more().sent[-1])


def _waiting(run: Run, order: OperatorCommand) -> Parked | str:
    """Find the token that waits at a step, or the only one that waits; of several passes the one named. Else say why not."""
    steps = run.runnable.program.steps
    waits = [one for one in run.parked.values() if one.kind != "notice" and not isinstance(steps[one.step], ForEach)]
    found = [one for one in waits if order.step in ("", steps[one.step].name)]
    names = ", ".join(dict.fromkeys(steps[one.step].name for one in waits)) or "nothing"
    if not found:
        return f"that step does not wait; {names} does"
    if not order.step and len(found) > 1:
        return f"several steps wait: say which, {names}"
    return next((one for one in found if one.about == order.occurrence), found[0])


def _retry(run: Run, order: OperatorCommand) -> str:
    closing = run.rest.closing if run.rest is not None else None
    if closing is None:
        return _try_now(run, order)
    if closing.current is None or not closing.stuck:
        failed = closing.step or "the execution"
        return f"it is closing, and {failed} is not tried again in it; fork it when it has ended: millrace executions fork"
    name = run.runnable.program.steps[closing.current.step].name
    run.note("retried", name, "compensation", {"by": order.by})
    closing.attempt += 1
    closing.stuck = False
    issue_undo(run, closing)
    return ""


def _try_now(run: Run, order: OperatorCommand) -> str:
    """Let a command that waits for its next attempt have it now."""
    parked = _waiting(run, order)
    if isinstance(parked, str):
        return parked
    step = run.runnable.program.steps[parked.step]
    if not isinstance(step, Act) or parked.about is None:
        return f"'{step.name}' waits, and is not tried: skip it to go on without it"
    run.note("retried", step.name, "action", {"by": order.by})
    run.cancels = (*run.cancels, Unwanted(action_id(run.id, step.name, parked.about).hex(), step.action, step.name, hurry=True))
    return ""


def _resume(run: Run, order: OperatorCommand) -> str:
    if order.outcome not in ("done", "not_done"):
        return "say whether it is done or not_done"
    closing = run.rest.closing if run.rest is not None else None
    if closing is not None and closing.current is not None and closing.stuck:
        return _resume_undo(run, order)
    sent = _unknown(run, order)
    if sent is None:
        return "no outcome of that step is unknown"
    run.note("resumed", run.runnable.program.steps[sent.step].name, "", {"by": order.by, "outcome": order.outcome})
    settle(run, sent, {} if order.outcome == "done" else None)
    return ""


def _resume_undo(run: Run, order: OperatorCommand) -> str:
    closing = run.more().closing
    assert closing is not None
    assert closing.current is not None
    name = run.runnable.program.steps[closing.current.step].name
    if order.step not in ("", name):
        return "no outcome of that step is unknown"
    if order.outcome == "not_done":
        return _retry(run, order)
    run.note("resumed", name, "compensation", {"by": order.by, "outcome": order.outcome})
    undone(run, name)
    return ""


def _unknown(run: Run, order: OperatorCommand) -> Sent | None:
    """Find a command that nobody knows the end of; one whose outcome is awaited is none: what comes would contradict the word."""
    steps = run.runnable.program.steps
    unknown = [one for one in run.more().sent if one.unknown]
    found = [one for one in unknown if steps[one.step].name == order.step] if order.step else unknown[: len(unknown) == 1]
    exact = [one for one in found if one.occurrence == order.occurrence]
    return next(iter(exact or found), None)


_ORDERS = {"cancel": _cancel, "skip": _skip, "retry": _retry, "resume": _resume}
