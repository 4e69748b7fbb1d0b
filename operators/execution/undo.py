"""Compensations: what undoes a step is fixed when the step completes, and is sent as a command of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.execution.execution import Closing, Undo
from operators.execution.issue import envelope
from operators.execution.run import Run
from schemas.commands import Command
from schemas.errors import BrokenInvariant
from schemas.expression.template import MissingValue
from schemas.ids import action_id
from schemas.program import Act, Call, Compensation


def keep_undo(run: Run, step: int, occurrence: int) -> None:
    """Remember how a step that has just completed is undone; raises MissingValue."""
    fixed = run.runnable.codes[step].undo
    if fixed is not None:
        run.more().done.append(Undo(step, occurrence, fixed(run.env)))


def undo_of(run: Run, step: int, occurrence: int, names: Mapping[str, Any] | None) -> Undo | None:
    """Give how a step is undone whose token is gone; its parameters are None where they cannot be fixed."""
    fixed = run.runnable.codes[step].undo
    if fixed is None:
        return None
    try:
        params = fixed({**run.root, **(names or {})})
    except MissingValue:
        params = None
    return Undo(step, occurrence, params)


def compensation_of(run: Run, undo: Undo) -> Compensation:
    """Give the compensation of a step."""
    step = run.runnable.program.steps[undo.step]
    if not isinstance(step, Act | Call) or step.compensate is None:
        raise BrokenInvariant(f"step '{step.name}' is to be undone and says not how")
    return step.compensate


def undo_id(run: Run, closing: Closing) -> str:
    """Give the id of the command that undoes; a later attempt is another command with the same idempotency key."""
    undo = closing.current
    assert undo is not None
    name = f"undo:{run.runnable.program.steps[undo.step].name}"
    return action_id(run.id, name if closing.attempt == 0 else f"{name}:{closing.attempt}", undo.occurrence).hex()


def issue_undo(run: Run, closing: Closing) -> None:
    """Send the command that undoes what is current."""
    undo = closing.current
    assert undo is not None
    step, compensation = run.runnable.program.steps[undo.step], compensation_of(run, undo)
    if undo.params is None:
        closing.stuck = True
        message = "its parameters have no value; an operator may skip it"
        run.note("failed", step.name, "compensation", {"code": "missing_value", "message": message})
        return
    body = envelope(run, undo_id(run, closing), undo.params)
    body.idempotencykey = action_id(run.id, f"undo:{step.name}", undo.occurrence).hex()
    body.undoes = action_id(run.id, step.name, undo.occurrence).hex() if isinstance(step, Act) else None
    run.commands.append(Command(compensation.action, run.runnable.codes[undo.step].undo_head, body))
    run.note("issued", step.name, "compensation", body.id)
