"""Lays typed steps out as the flat table of a program: each step's place, where it goes on, and which keys are read."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from flows.language.typed import TypedBranch, TypedFlow, TypedParallel, TypedStep
from schemas.expression.scope import ENVELOPE
from schemas.expression.template import Template, template_keys, template_without_places
from schemas.expression.types import ANY, Type
from schemas.expression.walk import keys, without_places
from schemas.program import END, Act, Arm, Branch, Delay, EventTrigger, Fork, Join, Program, Set, Step, Stop


def lay_out(flow: TypedFlow, version: str, data: Type | None) -> Program:
    """Compile a typed flow; the same flow and contracts give the same bytes. `data` is the triggers' merged data."""
    table: list[Step | None] = []
    _place_list(flow.steps, END, table)
    steps = tuple(step for step in table if step is not None)
    output = None if flow.output is None else template_without_places(flow.output)
    return Program(
        flow=flow.name,
        version=version,
        tenants=flow.tenants,
        triggers=tuple(
            EventTrigger(one.event, None if one.condition is None else without_places(one.condition), one.name)
            for one in flow.triggers
        ),
        reads=_reads(steps, output, data),
        steps=steps,
        timeout_us=flow.timeout_us,
        output=output,
    )


def _size(step: TypedStep) -> int:
    match step:
        case TypedBranch():
            return 1 + sum(_sizes(steps) for _, steps in step.arms) + _sizes(step.otherwise)
        case TypedParallel():
            inner = sum(_sizes(steps) for _, steps in step.arms)
            return inner if _is_sequence(step) else inner + 2
        case _:
            return 1


def _sizes(steps: Iterable[TypedStep]) -> int:
    return sum(_size(step) for step in steps)


def _is_sequence(step: TypedParallel) -> bool:
    """Tell whether arms one after the other are the same: there is one, or none of them ever waits, branches or stops."""
    return len(step.arms) == 1 or all(isinstance(inner, Act | Set) for _, steps in step.arms for inner in steps)


def _place_list(steps: tuple[TypedStep, ...], after: int, table: list[Step | None]) -> None:
    """Append a list of steps; its last step goes on at `after`."""
    end = len(table) + _sizes(steps)
    for step in steps:
        following = len(table) + _size(step)
        _place(step, following if following < end else after, table)


def _place(step: TypedStep, following: int, table: list[Step | None]) -> None:
    match step:
        case TypedBranch():
            _place_branch(step, following, table)
        case TypedParallel():
            if _is_sequence(step):
                _place_list(tuple(inner for _, steps in step.arms for inner in steps), following, table)
            else:
                _place_parallel(step, following, table)
        case Stop():
            table.append(step)
        case Act():
            idempotency = None if step.idempotency is None else template_without_places(step.idempotency)
            order_key = None if step.order_key is None else without_places(step.order_key)
            table.append(
                msgspec.structs.replace(
                    step,
                    params=template_without_places(step.params),
                    idempotency=idempotency,
                    order_key=order_key,
                    next=following,
                )
            )
        case Delay():
            table.append(msgspec.structs.replace(step, time=without_places(step.time), next=following))
        case Set():
            table.append(
                msgspec.structs.replace(
                    step, values=tuple((name, template_without_places(value)) for name, value in step.values), next=following
                )
            )


def _place_branch(step: TypedBranch, following: int, table: list[Step | None]) -> None:
    own = len(table)
    table.append(None)
    arms = []
    for when, steps in step.arms:
        arms.append(Arm(without_places(when), len(table) if steps else following))
        _place_list(steps, following, table)
    otherwise = len(table) if step.otherwise else following
    _place_list(step.otherwise, following, table)
    table[own] = Branch(step.name, tuple(arms), otherwise, "continue" if step.on_error == "continue" else "fail")


def _place_parallel(step: TypedParallel, following: int, table: list[Step | None]) -> None:
    own = len(table)
    join = own + _size(step) - 1
    table.append(None)
    arms = []
    for name, steps in step.arms:
        arms.append((name, len(table) if steps else join))
        _place_list(steps, join, table)
    table.append(Join(step.name, len(arms), following))
    table[own] = Fork(step.name, tuple(arms), join)


def _reads(steps: Iterable[Step], output: Template | None, data: Type | None) -> tuple[tuple[str, Type], ...]:
    """Give the keys of the trigger event that steps read, with their types, sorted."""
    steps = tuple(steps)
    bound = {name for step in steps if isinstance(step, Set) for name, _ in step.values}
    found = {key for step in steps for key in _keys(step)} | (template_keys(output) if output is not None else frozenset())
    own = sorted(key for key in found if key not in bound and key.partition(".")[0] not in ("execution", "trigger"))
    return tuple((key, _type_at(key, data)) for key in own)


def _keys(step: Step) -> frozenset[str]:
    match step:
        case Act():
            idempotency = template_keys(step.idempotency) if step.idempotency is not None else frozenset[str]()
            order_key = keys(step.order_key) if step.order_key is not None else frozenset[str]()
            return template_keys(step.params) | idempotency | order_key
        case Delay():
            return keys(step.time)
        case Set():
            return frozenset(key for _, value in step.values for key in template_keys(value))
        case Branch():
            return frozenset(key for arm in step.arms for key in keys(arm.when))
        case _:
            return frozenset()


def _type_at(key: str, data: Type | None) -> Type:
    root, _, rest = key.partition(".")
    if root == "event":
        return ENVELOPE.get(rest) or data or ANY
    here, maybe = data, False
    for name in key.split("."):
        if here is None or here.name != "record":
            return msgspec.structs.replace(ANY, optional=True)
        here = dict(here.fields).get(name)
        maybe = maybe or (here is not None and here.optional)
    found = here or ANY
    return msgspec.structs.replace(found, optional=True) if maybe else found
