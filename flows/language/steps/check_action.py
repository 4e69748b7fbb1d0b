"""Action: its parameters by its contract, its key, its order, its retries."""

from __future__ import annotations

from typing import Final

from flows.language.canonical import NOT_AFTER, retry_of
from flows.language.check_actions import refuse_missing, wanted_parameters
from flows.language.literals import check_retry, positive, retry_record
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.steps.walk import Ran, Walk
from schemas.expression.template import Record
from schemas.expression.types import ANY, STRING, Type
from schemas.flow.step import ActionStep
from schemas.program import END, Act

_KEY: Final = Type("record", fields=(("idempotency", STRING),))


def check_action(walk: Walk, step: ActionStep, node: Node, names: Names) -> Ran:
    """Give the command that the step issues."""
    report = walk.report
    want = wanted_parameters(str(step.action), node, walk.known.actions, report)
    params = walk.template(inner(node, "with"), names, want) if step.with_ else Record(())
    refuse_missing(params, want, inner(node, "with"), report)
    key = walk.template(inner(node, "idempotency"), names, STRING) if step.idempotency is not None else None
    if key is not None:
        refuse_missing(Record((("idempotency", key),)), _KEY, node, report)
    order = walk.elaborator.expression(inner(node, "order_key"), "order_key", names, ANY) if step.order_key is not None else None
    check_retry(step.retry, inner(node, "retry"), report)
    act = Act(
        name=walk.step_names.of(step, f"action_{step.action}"),
        action=str(step.action),
        params=params,
        next=END,
        priority=step.priority or walk.flow.defaults.priority or walk.flow.priority,
        not_after_us=positive(step.not_after or NOT_AFTER, inner(node, "not_after"), "not_after", report),
        retry=retry_record(retry_of(step, walk.flow.defaults)),
        idempotency=key,
        order_key=order,
        on_error=step.on_error,
    )
    return Ran((act,), names)
