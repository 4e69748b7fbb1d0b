"""The canonical form of a flow: desugared, defaults filled in, each expression in its one spelling; its hash is the version.

Comments, note, title, description and key order do not count. The canonical form is itself a document of the language.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from flows.language.conditions import (
    Condition,
    Group,
    Leaf,
    Short,
    duration_us,
    expression_text,
    parse_expression,
    read_condition,
    text_template,
    untyped_tree,
)
from flows.language.nodes import Mapping, Node, Sequence, inner
from schemas.expression.literals import print_duration
from schemas.expression.print import print_tree
from schemas.expression.template import print_template
from schemas.expression.tree import And
from schemas.flow.documents import Defaults, Flow, Trigger
from schemas.flow.step import ActionStep, BranchStep, DelayStep, ParallelStep, RetryRule, SetStep, Step, StopStep, UntilStep
from schemas.records import Json

HASH_BYTES: Final = 16
NOT_AFTER: Final = "7d"
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


def sorted_keys(node: Node) -> Node:
    """Put every mapping into the order of its keys: what follows cannot depend on how a person listed them."""
    if isinstance(node, Mapping):
        items = sorted(((key, sorted_keys(value)) for key, value in node.items), key=lambda item: str(item[0].value))
        return replace(node, items=tuple(items))
    if isinstance(node, Sequence):
        return replace(node, items=tuple(sorted_keys(item) for item in node.items))
    return node


def canonical(flow: Flow, node: Mapping) -> dict[str, Json]:
    """Give the canonical form of a flow without errors; `node` is what the model was made of."""
    return {
        "flow": flow.flow,
        "language": flow.language,
        **({"owner": flow.owner} if flow.owner is not None else {}),
        "labels": dict(flow.labels),
        **({"tenant": list(tenants_of(flow))} if flow.tenant is not None else {}),
        "enabled": flow.enabled,
        "priority": flow.priority,
        "timeout": _duration(flow.timeout),
        **({"defaults": {"timeout": _duration(flow.defaults.timeout)}} if flow.defaults.timeout is not None else {}),
        "output": _data(flow.output),
        "trigger": [_trigger(one, place) for one, place in triggers_of(flow, node)],
        "steps": _steps(flow.steps, inner(node, "steps"), flow),
    }


def canonical_bytes(document: dict[str, Json]) -> bytes:
    """Write a canonical form as JSON with sorted keys; decimals keep their digits."""
    return _encoder.encode(document)


def version_of(document: dict[str, Json]) -> str:
    """Hash a canonical form: 32 hex digits."""
    return blake2b(canonical_bytes(document), digest_size=HASH_BYTES).hexdigest()


def tenants_of(flow: Flow) -> tuple[str, ...]:
    """List the tenants that a flow is for, () for all."""
    if flow.tenant is None:
        return ()
    return (flow.tenant,) if isinstance(flow.tenant, str) else tuple(sorted(set(flow.tenant)))


def triggers_of(flow: Flow, node: Mapping) -> list[tuple[Trigger, Mapping]]:
    """List the triggers with their places."""
    place = node.get("trigger")
    if isinstance(flow.trigger, Trigger):
        return [(flow.trigger, place)] if isinstance(place, Mapping) else []
    places = place.items if isinstance(place, Sequence) else ()
    return [(one, at) for one, at in zip(flow.trigger, places, strict=True) if isinstance(at, Mapping)]


def retry_of(step: ActionStep, defaults: Defaults) -> RetryRule:
    """Give the retry rule that holds for an action."""
    return step.retry or defaults.retry or RetryRule()


def _duration(text: str) -> str:
    return print_duration(duration_us(text))


def _expression(value: Json) -> str:
    return print_tree(parse_expression(expression_text(value)))


def _data(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_data(item) for item in value]
    return _text(value) if isinstance(value, str) else value


@lru_cache(maxsize=8192)
def _text(text: str) -> Json:
    return print_template(text_template(text)) if "{{" in text else text


def _trigger(trigger: Trigger, node: Mapping) -> dict[str, Json]:
    conditions = node.get("conditions")
    every = _all(read_condition(conditions)) if conditions is not None and trigger.conditions != () else []
    found: dict[str, Json] = {"event": trigger.event, **({"conditions": every} if every else {})}
    return {**found, "as": trigger.as_} if trigger.as_ else found


def _all(condition: Condition) -> list[Json]:
    """Write a condition as a list of which all must hold."""
    tree = untyped_tree(condition)
    if tree is not None:
        return [print_tree(part) for part in (tree.items if isinstance(tree, And) else (tree,))]
    match condition:
        case Short():
            return [{"field": _expression(condition.field), "operator": condition.operator, "value": condition.value}]
        case Group(word="all"):
            return [part for item in condition.items for part in _all(item)]
        case Group():
            return [{condition.word: [_one(item) for item in condition.items]}]
        case Leaf():
            return [condition.text]


def _one(condition: Condition) -> Json:
    tree = untyped_tree(condition)
    if tree is not None:
        return print_tree(tree)
    parts = _all(condition)
    return parts[0] if len(parts) == 1 else {"all": parts}


def _steps(steps: tuple[Step, ...], place: Node, flow: Flow) -> list[Json]:
    places = place.items if isinstance(place, Sequence) else ()
    return [_step(step, at, flow) for step, at in zip(steps, places, strict=True)]


def _way(way: Json, place: Node, flow: Flow) -> Json:
    return _steps(way, place, flow) if isinstance(way, tuple) and way else "continue"


def _step(step: Step, node: Node, flow: Flow) -> dict[str, Json]:
    named = {"as": step.as_} if step.as_ else {}
    if not isinstance(step, ParallelStep | StopStep):
        named["on_error"] = step.on_error
    return {**_body(step, node, flow), **named}


def _body(step: Step, node: Node, flow: Flow) -> dict[str, Json]:
    match step:
        case ActionStep():
            return _action(step, flow)
        case DelayStep():
            return {"delay": _expression(step.delay)}
        case UntilStep():
            return {"until": _expression(step.until)}
        case SetStep():
            return {"set": _data(step.set_)}
        case BranchStep():
            return _branch(step, node, flow)
        case ParallelStep():
            arms = inner(node, "parallel")
            return {
                "parallel": {name: _steps(arm, inner(arms, name), flow) for name, arm in step.parallel.items()},
                "join": "all",
            }
        case StopStep():
            return {"stop": step.stop}
    raise AssertionError(step)


def _branch(step: BranchStep, node: Node, flow: Flow) -> dict[str, Json]:
    places = inner(node, "branch")
    arms: list[Json] = []
    for arm, place in zip(step.branch, places.items if isinstance(places, Sequence) else (), strict=True):
        arms.append({"when": _one(read_condition(inner(place, "when"))), "then": _way(arm.then, inner(place, "then"), flow)})
    return {"branch": arms, "else": _way(step.else_, inner(node, "else"), flow)}


def _action(step: ActionStep, flow: Flow) -> dict[str, Json]:
    retry = retry_of(step, flow.defaults)
    return {
        "action": step.action,
        "with": _data(step.with_),
        "retry": {
            "attempts": retry.attempts,
            "wait": _duration(retry.wait),
            "factor": int(retry.factor) if retry.factor == int(retry.factor) else Decimal(retry.factor).normalize(),
            "most": _duration(retry.most),
            "attempt_timeout": _duration(retry.attempt_timeout),
        },
        "priority": step.priority or flow.defaults.priority or flow.priority,
        "not_after": _duration(step.not_after or NOT_AFTER),
        **({"idempotency": _data(step.idempotency)} if step.idempotency is not None else {}),
        **({"order_key": _expression(step.order_key)} if step.order_key is not None else {}),
    }
