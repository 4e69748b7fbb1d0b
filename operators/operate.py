"""What an operator may do to one execution: cancel it, skip a step, retry a compensation, say what became of a command."""

from __future__ import annotations

from operators.closing import close, settle, undone
from operators.execution import Parked, Sent
from operators.frames import drop, withdraw
from operators.onward import carry, go
from operators.run import Advanced, Run, StepFailed, advanced, after
from operators.undo import issue_undo
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
    if parked is None:
        return "that step does not wait"
    run.note("skipped", order.step, "", {"by": order.by})
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


def _waiting(run: Run, order: OperatorCommand) -> Parked | None:
    """Find the token that waits at a step; of several that of the pass that is named."""
    steps = run.runnable.program.steps
    waits = [one for one in run.parked.values() if one.kind != "notice" and not isinstance(steps[one.step], ForEach)]
    found = [one for one in waits if steps[one.step].name == order.step]
    exact = [one for one in found if one.about == order.occurrence]
    return next(iter(exact or found), None)


def _retry(run: Run, order: OperatorCommand) -> str:
    closing = run.rest.closing if run.rest is not None else None
    if closing is None or closing.current is None or not closing.stuck:
        return "nothing has failed that can be tried again"
    name = run.runnable.program.steps[closing.current.step].name
    run.note("retried", name, "compensation", {"by": order.by})
    closing.attempt += 1
    closing.stuck = False
    issue_undo(run, closing)
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
    run.note("resumed", order.step, "", {"by": order.by, "outcome": order.outcome})
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
    steps = run.runnable.program.steps
    sents = run.rest.sent if run.rest is not None else []
    found = [one for one in sents if one.unknown and steps[one.step].name == order.step]
    exact = [one for one in found if one.occurrence == order.occurrence]
    return next(iter(exact or found), None)


_ORDERS = {"cancel": _cancel, "skip": _skip, "retry": _retry, "resume": _resume}
