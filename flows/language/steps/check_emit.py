"""Emit: an event of ours, by its contract."""

from __future__ import annotations

from flows.language.check_actions import given_data, refuse_missing, wanted_fields
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.report import near
from flows.language.steps.check_commands import key_of
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.template import Record
from schemas.flow.step import EmitStep
from schemas.program import END, Emit


def check_emit(walk: Walk, step: EmitStep, node: Node, names: Names) -> Ran:
    """Give the event, its data as its contract wants them."""
    event = str(step.emit)
    contract = walk.known.events.get(event)
    if contract is None and event not in walk.known.unread:
        hint = near(event, walk.known.events)
        message = f"no contract is known for {event}: its fields cannot be checked; write an event document{hint}"
        walk.report.warn(inner(node, "emit"), "no-contract", message)
    want = wanted_fields(event, contract.data, given_data(node), walk.report) if contract is not None else None
    data = walk.template(inner(node, "with"), names, want) if step.with_ else Record(())
    refuse_missing(data, want, inner(node, "with"), walk.report)
    emit = Emit(
        name=walk.step_names.of(step, f"emit_{event.replace('.', '_')}"),
        event=event,
        topic=contract.topic if contract is not None else f"{event.partition('.')[0]}.events",
        data=data,
        next=END,
        key=key_of(walk, node, "key", names) if step.key is not None else None,
    )
    return Ran((TypedStep(emit),), names)
