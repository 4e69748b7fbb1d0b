"""The step `call`: another flow as a child, and what comes of its end."""

from __future__ import annotations

from operators.execution.answers import bind_result
from operators.execution.execution import Parked, Sent
from operators.execution.frames import call_token
from operators.execution.issue import shared_template
from operators.execution.noted import noted
from operators.execution.run import FOREVER_US, Run, StepFailed, StepFunction
from schemas.effects import Called, Ended
from schemas.errors import BrokenInvariant
from schemas.program import Call


def call_flow(step: Call) -> StepFunction:
    """Make the function that starts the child."""
    inputs = shared_template(step.inputs)

    def start_child(run: Run) -> int:
        given = inputs(run.env)
        occurrence = run.occurrence(step.name)
        number = call_token(run.step, occurrence)
        run.calls = (*run.calls, Called(step.flow, step.version, given, number, step.name, occurrence, step.awaited))
        said = {"flow": step.flow, "occurrence": occurrence}
        if not step.awaited:
            run.note("called", step.name, "call", {**said, "awaited": False})
            return step.next
        run.note("called", step.name, "call", said)
        return run.park(run.now_us + step.timeout_us if step.timeout_us else FOREVER_US, "deadline", occurrence)

    return start_child


def waiting_call(run: Run, number: int) -> Parked | None:
    """Find the token that waits for the end of a call."""
    steps = run.runnable.program.steps
    calls = (one for one in run.parked.values() if isinstance(steps[one.step], Call))
    return next((one for one in calls if call_token(one.step, one.about or 0) == number), None)


def open_call(run: Run, number: int) -> Sent | None:
    """Find the call that no token waits for any more."""
    sents = run.rest.sent if run.rest is not None else []
    return next((one for one in sents if call_token(one.step, one.occurrence) == number), None)


def take_end(run: Run, parked: Parked, ended: Ended) -> int:
    """Give the step behind a call whose flow has ended well; raises StepFailed."""
    step = run.runnable.program.steps[parked.step]
    if not isinstance(step, Call) or parked.about is None:
        raise BrokenInvariant(f"step '{step.name}' is no call")
    run.unpark(parked.token)
    run.note("answered", step.name, "call", {"status": ended.status})
    if ended.status != "completed":
        code = "cancelled" if ended.status == "cancelled" else ended.code or "rejected"
        raise StepFailed(code, ended.message or f"the called flow '{step.flow}' ended as {ended.status}")
    value = bind_result(
        run, parked, step.result, {} if ended.output is None else ended.output
    )  # a flow without output gives nothing
    run.note("completed", step.name, "call", noted(value, step.result))
    return step.next
