"""The step `emit`: an event of ours, with the causation of the execution."""

from __future__ import annotations

import msgspec

from operators.execution.issue import shared_row, shared_template, text_of
from operators.execution.run import Run, StepFunction
from schemas.effects import Emitted
from schemas.ids import action_id, key_text
from schemas.program import Emit
from schemas.records import Json


def emit_event(step: Emit) -> StepFunction:
    """Make the function that says an event."""
    data = shared_template(step.data)
    key = None if step.key is None else shared_row(step.key)

    def say_it(run: Run) -> int:
        said = data(run.env)
        subject = None if key is None else text_of(key_text(key(run.env)), step.name, "key")
        identity = action_id(run.id, step.name, run.occurrence(step.name)).hex()
        event = event_of(run, identity, (step.event, step.topic), subject, said)
        run.events = (*run.events, msgspec.structs.replace(event, step=step.name))
        run.note("emitted", step.name, "emit", {"event": identity, "type": step.event})
        return step.next

    return say_it


def event_of(run: Run, identity: str, to: tuple[str, str], subject: str | None, data: Json, *, internal: bool = False) -> Emitted:
    """Make an event of a type for a topic (`to`)."""
    cause = run.cause
    return Emitted(
        identity,
        f"/flows/{run.runnable.program.flow}",
        *to,
        subject,
        run.now_us,
        cause.correlationid,
        cause.event,
        cause.hops + 1,
        data,
        internal,
    )
