"""Action: its parameters by its contract, its key, its order, its retries; awaited, its result and what undoes it."""

from __future__ import annotations

from typing import Final

import msgspec

from flows.language.canonical_steps import NOT_AFTER, retry_of
from flows.language.check_actions import refuse_missing
from flows.language.literals import check_retry, positive, retry_record
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.steps.check_commands import at_once_of, batch_of, compensation_of, deadline, key_of, parameters
from flows.language.steps.form import read_types
from flows.language.steps.walk import Ran, Walk
from flows.language.triggers.listing import priority_of
from flows.language.typed import TypedStep
from schemas.expression.template import Record, Template
from schemas.expression.types import ANY, STRING, Type
from schemas.flow.step import ActionStep
from schemas.program import END, Act

_KEY: Final = Type("record", fields=(("idempotency", STRING),))
_AWAITED_ALONE: Final = ("timeout", "returns", "compensate", "on_unknown")


def check_action(walk: Walk, step: ActionStep, node: Node, names: Names) -> Ran:
    """Give the command that the step issues, and the name of its result."""
    report, contract = walk.report, walk.known.actions.get(str(step.action))
    check_retry(step.retry, inner(node, "retry"), report)
    timeout = (step.timeout or walk.flow.defaults.timeout) if step.await_ else None
    act = Act(
        name=walk.step_names.of(step, f"action_{step.action}"),
        action=str(step.action),
        params=parameters(walk, str(step.action), node, names),
        next=END,
        priority=step.priority or walk.flow.defaults.priority or priority_of(walk.flow),
        not_after_us=positive(step.not_after or timeout or NOT_AFTER, inner(node, "not_after"), "not_after", report),
        retry=retry_record(retry_of(step, walk.flow.defaults)),
        idempotency=_idempotency(walk, step, node, names),
        order_key=key_of(walk, node, "order_key", names) if step.order_key is not None else None,
        batch=batch_of(walk, step, node, names),
        concurrency=at_once_of(walk, step, node, names),
        errors=contract.errors if contract is not None else (),
    )
    return _awaited(walk, step, node, names, act) if step.await_ else _issued(walk, step, node, names, act)


def _idempotency(walk: Walk, step: ActionStep, node: Node, names: Names) -> Template | None:
    if step.idempotency is None:
        return None
    key = walk.template(inner(node, "idempotency"), names, STRING)
    refuse_missing(Record((("idempotency", key),)), _KEY, node, walk.report)
    return key


def _issued(walk: Walk, step: ActionStep, node: Node, names: Names, act: Act) -> Ran:
    for key in _AWAITED_ALONE:
        if inner(node, key) is not node:
            message = f"'{key}' of an action that is not awaited has no meaning; add await: true, or take it away"
            walk.report.add(inner(node, key), "needs-await", message)
    del step
    return Ran((TypedStep(act),), names)


def _awaited(walk: Walk, step: ActionStep, node: Node, names: Names, act: Act) -> Ran:
    what = f"action '{step.as_ or step.action}' is awaited and"
    hint = "an outcome must come: add timeout, here or under defaults"
    timeout_us = deadline(walk, step.timeout or walk.flow.defaults.timeout, node, what, hint)
    result = result_of(walk, step, node)
    after = walk.bind_result(step, node, result or ANY, names)
    act = msgspec.structs.replace(
        act,
        awaited=True,
        timeout_us=timeout_us,
        result=result,
        on_unknown=step.on_unknown,
        compensate=compensation_of(walk, step.compensate, node, after),
    )
    if step.on_unknown == "compensate" and step.compensate is None:
        message = "on_unknown: compensate wants something that undoes the step; add compensate, or write ask"
        walk.report.add(inner(node, "on_unknown"), "missing-key", message)
    return Ran((TypedStep(act),), after)


def result_of(walk: Walk, step: ActionStep, node: Node) -> Type | None:
    """Give the type of the result: what the step says it returns, else its contract; None where nothing says."""
    contract = walk.known.actions.get(str(step.action))
    told = contract.result if contract is not None and contract.result.fields else None
    if step.returns is None:
        return told
    returns = read_types(step.returns, inner(node, "returns"), walk.report)
    if told is not None and returns != told:
        message = f"the contract of action '{step.action}' says already what it gives; take returns away, or change the contract"
        walk.report.add(inner(node, "returns"), "type-mismatch", message)
    return returns
