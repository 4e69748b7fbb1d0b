"""Steps in their canonical form: defaults filled in, each expression in its one spelling.

Keys that the language got later stand only where they are not at their default: a version does not change by an upgrade.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from flows.language.canonical_words import (
    canonical_data,
    canonical_duration,
    canonical_expression,
    every_condition,
    one_condition,
)
from flows.language.conditions import read_condition
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.triggers.listing import priority_of
from schemas.flow import step as steps_of
from schemas.flow.documents import Defaults, Flow
from schemas.flow.parts import Compensate, People, RetryRule
from schemas.flow.step import ActionStep, Step
from schemas.records import Json

NOT_AFTER: Final = "7d"
_WORDS: Final = (steps_of.FailStep, steps_of.StopStep)  # have no on_error


def retry_of(step: ActionStep, defaults: Defaults) -> RetryRule:
    """Give the retry rule that holds for an action."""
    return step.retry or defaults.retry or RetryRule()


def canonical_steps(steps: tuple[Step, ...], place: Node, flow: Flow) -> list[Json]:
    """Write a list of steps."""
    places = place.items if isinstance(place, Sequence) else ()
    return [_step(step, at, flow) for step, at in zip(steps, places, strict=True)]


def _step(step: Step, node: Node, flow: Flow) -> dict[str, Json]:
    found = {**_BODIES[type(step)](step, node, flow), **({"as": step.as_} if step.as_ else {})}
    if not isinstance(step, _WORDS) and not (isinstance(step, steps_of.ParallelStep) and step.on_error == "fail"):
        found["on_error"] = _steps_or_word(step.on_error, inner(node, "on_error"), flow)
    return found


def _steps_or_word(way: Json, place: Node, flow: Flow) -> Json:
    return canonical_steps(way, place, flow) if isinstance(way, tuple) else way


def _way(way: Json, place: Node, flow: Flow) -> Json:
    return canonical_steps(way, place, flow) if isinstance(way, tuple) and way else "continue"


def _given(**keys: Json) -> dict[str, Json]:
    """Keep the keys that have a value; a key of Python ends in _ where the language's is a word of Python."""
    return {key.rstrip("_"): value for key, value in keys.items() if value is not None}


def _expression(value: Json) -> Json:
    return None if value is None else canonical_expression(value)


def _span(text: str | None) -> Json:
    return None if text is None else canonical_duration(text)


def _retry(rule: RetryRule) -> Json:
    codes = sorted({str(code) for code in rule.for_})
    return {
        "attempts": rule.attempts,
        "wait": canonical_duration(rule.wait),
        "factor": int(rule.factor) if rule.factor == int(rule.factor) else Decimal(rule.factor).normalize(),
        "most": canonical_duration(rule.most),
        "attempt_timeout": canonical_duration(rule.attempt_timeout),
        **({"for": codes} if codes != sorted(RetryRule().for_) else {}),
    }


def _compensate(rule: Compensate | None, flow: Flow) -> Json:
    if rule is None:
        return None
    return {
        "action": rule.action,
        "with": canonical_data(rule.with_),
        "retry": _retry(rule.retry or flow.defaults.retry or RetryRule()),
        "not_after": canonical_duration(rule.not_after or NOT_AFTER),
    }


def _action(step: ActionStep, node: Node, flow: Flow) -> dict[str, Json]:
    del node
    timeout = step.timeout or (flow.defaults.timeout if step.await_ else None)
    not_after = step.not_after or (timeout if step.await_ else None) or NOT_AFTER
    awaited = _given(
        await_=True,
        timeout=_span(timeout),
        on_unknown=step.on_unknown,
        returns=step.returns,
        compensate=_compensate(step.compensate, flow),
    )
    return {
        "action": step.action,
        "with": canonical_data(step.with_),
        "retry": _retry(retry_of(step, flow.defaults)),
        "priority": step.priority or flow.defaults.priority or priority_of(flow),
        "not_after": canonical_duration(not_after),
        **(awaited if step.await_ else {}),
        **_given(
            idempotency=None if step.idempotency is None else canonical_data(step.idempotency),
            order_key=_expression(step.order_key),
            batch=None if step.batch is None else {**_group(step.batch), "wait": canonical_duration(step.batch.wait)},
            concurrency=None if step.concurrency is None else _group(step.concurrency),
        ),
    }


def _group(group: Any) -> dict[str, Json]:
    return {"key": canonical_expression(group.key), "max": group.max}


def _branch(step: steps_of.BranchStep, node: Node, flow: Flow) -> dict[str, Json]:
    places = inner(node, "branch")
    arms: list[Json] = []
    for arm, place in zip(step.branch, places.items if isinstance(places, Sequence) else (), strict=True):
        when = one_condition(read_condition(inner(place, "when")))
        arms.append({"when": when, "then": _way(arm.then, inner(place, "then"), flow)})
    return {"branch": arms, "else": _way(step.else_, inner(node, "else"), flow)}


def _parallel(step: steps_of.ParallelStep, node: Node, flow: Flow) -> dict[str, Json]:
    arms = inner(node, "parallel")
    return {
        "parallel": {name: canonical_steps(arm, inner(arms, name), flow) for name, arm in step.parallel.items()},
        "join": step.join,
    }


def _for_each(step: steps_of.ForEachStep, node: Node, flow: Flow) -> dict[str, Json]:
    return {
        "for_each": canonical_expression(step.for_each),
        "each": step.each,
        "steps": canonical_steps(step.steps, inner(node, "steps"), flow),
        "concurrency": step.concurrency,
        "failures": step.failures,
        **_given(max=step.max, result=None if step.result is None else canonical_data(step.result)),
    }


def _call(step: steps_of.CallStep, node: Node, flow: Flow) -> dict[str, Json]:
    del node
    options = _given(timeout=_span(step.timeout), compensate=_compensate(step.compensate, flow))
    return {"call": step.call, "with": canonical_data(step.with_), "await": step.await_, **options}


def _wait(step: steps_of.WaitStep, node: Node, flow: Flow) -> dict[str, Json]:
    conditions = node.get("conditions") if isinstance(node, Mapping) else None
    every = every_condition(read_condition(conditions)) if conditions is not None and step.conditions != () else []
    return {
        "wait": step.wait,
        **_given(correlate=_expression(step.correlate), conditions=every or None, timeout=_expression(step.timeout)),
        "look_back": canonical_duration(step.look_back),
        "on_timeout": _steps_or_word(step.on_timeout, inner(node, "on_timeout"), flow),
    }


def _people(people: People) -> Json:
    given = (("role", people.role), ("person", people.person), ("people", people.people))
    return {word: canonical_data(list(who) if isinstance(who, tuple) else who) for word, who in given if who is not None}


def _approve(step: steps_of.ApproveStep, node: Node, flow: Flow) -> dict[str, Json]:
    del node, flow
    excluded = list(step.not_) if isinstance(step.not_, tuple) else step.not_
    escalate = None
    if step.escalate is not None:
        escalate = {"after": canonical_duration(step.escalate.after), "to": _people(step.escalate.to)}
    return {
        "approve": canonical_data(step.approve),
        "by": _people(step.by),
        "need": step.need,
        "show": canonical_data(step.show),
        "form": dict(step.form),
        "remind": [canonical_duration(one) for one in step.remind],
        "timeout": _expression(step.timeout),
        "on_timeout": step.on_timeout,
        **_given(not_=None if excluded is None else canonical_data(excluded), escalate=escalate),
    }


def _emit(step: steps_of.EmitStep, node: Node, flow: Flow) -> dict[str, Json]:
    del node, flow
    return {"emit": step.emit, "with": canonical_data(step.with_), **_given(key=_expression(step.key))}


def _fail(step: steps_of.FailStep, node: Node, flow: Flow) -> dict[str, Json]:
    del node, flow
    return {"fail": step.fail, **_given(message=None if step.message is None else canonical_data(step.message))}


_BODIES: Final[dict[type, Callable[[Any, Node, Flow], dict[str, Json]]]] = {
    steps_of.ActionStep: _action,
    steps_of.DelayStep: lambda step, _node, _flow: {"delay": canonical_expression(step.delay)},
    steps_of.UntilStep: lambda step, _node, _flow: {"until": canonical_expression(step.until)},
    steps_of.SetStep: lambda step, _node, _flow: {"set": canonical_data(step.set_)},
    steps_of.BranchStep: _branch,
    steps_of.ParallelStep: _parallel,
    steps_of.ForEachStep: _for_each,
    steps_of.CallStep: _call,
    steps_of.WaitStep: _wait,
    steps_of.ApproveStep: _approve,
    steps_of.DecideStep: lambda step, _node, _flow: {"decide": step.decide, "with": canonical_data(step.with_)},
    steps_of.EmitStep: _emit,
    steps_of.FailStep: _fail,
    steps_of.StopStep: lambda step, _node, _flow: {"stop": step.stop, **({"compensate": True} if step.compensate else {})},
}
