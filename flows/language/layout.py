"""Lays typed steps out as the flat table of a program: each step's place, where it goes on, where its errors go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from flows.language.layout_triggers import placed_triggers
from flows.language.reads import bound_reads, policies_read, trigger_reads
from flows.language.trees import trees_of, without_any_places
from flows.language.typed import TypedFlow, TypedStep
from schemas.expression.template import template_trees, template_without_places
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.program import (
    END,
    NO_STEP,
    Act,
    Arm,
    Branch,
    Decide,
    EachEnd,
    Emit,
    Fail,
    ForEach,
    Fork,
    Join,
    Program,
    Set,
    Step,
    Stop,
    Wait,
)


def lay_out(flow: TypedFlow, version: str) -> Program:
    """Compile a typed flow; the same flow and contracts give the same bytes."""
    table = _Table()
    table.list(flow.steps, END, NO_STEP)
    on_error = table.list(flow.on_error, END, NO_STEP)
    on_retract = table.list(flow.on_retract, END, NO_STEP)
    output = None if flow.output is None else template_without_places(flow.output)
    steps = table.done()
    trees = [tree for step in steps for tree in trees_of(step)] + (template_trees(output) if output is not None else [])
    limits = tuple(without_any_places(limit) for limit in flow.limits)
    trees += [limit.key for limit in limits if limit.key is not None]
    triggers = placed_triggers(flow.triggers, flow.events, trees)
    asked = [tree for one in triggers for tree in trees_of(one)]
    return Program(
        flow=flow.name,
        version=version,
        tenants=flow.tenants,
        triggers=triggers,
        reads=trigger_reads(trees, flow.bound, flow.data),
        steps=_with_reads(steps, table.events, trees),
        timeout_us=flow.timeout_us,
        output=output,
        on_error=on_error,
        on_retract=on_retract,
        limits=limits,
        inputs=flow.inputs,
        priority=flow.priority,
        policies=tuple(sorted({*policies_read([*trees, *asked]), *(one.policy for one in steps if isinstance(one, Decide))})),
    )


def _with_reads(steps: tuple[Step, ...], events: dict[int, Type], trees: list[Tree]) -> tuple[Step, ...]:
    """Say of each wait which parts of its event anything reads."""
    placed = list(steps)
    for at, of in events.items():
        wait = placed[at]
        if isinstance(wait, Wait) and wait.await_.bind:
            reads = bound_reads(trees, wait.await_.bind, of)
            placed[at] = msgspec.structs.replace(wait, await_=msgspec.structs.replace(wait.await_, reads=reads))
    return tuple(placed)


@dataclass(slots=True)
class _Table:
    """The table as it grows; a block keeps its place free until its inside stands."""

    steps: list[Step | None] = field(default_factory=list)
    events: dict[int, Type] = field(default_factory=dict)  # what the wait at a place binds

    def done(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step is not None)

    def list(self, steps: tuple[TypedStep, ...], after: int, handler: int) -> int:
        """Append a list of steps; its last one goes on at `after`. Gives its first place, or `after` if it is empty."""
        first, sizes = len(self.steps), [_size(step) for step in steps]
        end = first + sum(sizes)
        for step, size in zip(steps, sizes, strict=True):
            following = len(self.steps) + size
            self._place(step, following if following < end else after, handler, size)
        return first if steps else after

    def _place(self, typed: TypedStep, following: int, inherited: int, size: int) -> None:
        if _is_sequence(typed):
            self.list(tuple(inner for arm in typed.arms for inner in arm), following, inherited)
            return
        own = len(self.steps)
        behind = own + size - _sizes(typed.handler) - _sizes(typed.on_timeout)  # where handlers stand
        handler = behind if typed.handler else inherited
        self.steps.append(None)
        self.steps[own] = without_any_places(self._record(typed, own, following, handler))
        self.list(typed.handler, following, inherited)
        late = self.list(typed.on_timeout, following, inherited)
        step = self.steps[own]
        if isinstance(step, Wait):
            self.events[own] = typed.event or Type("any")
            if typed.on_timeout:
                self.steps[own] = msgspec.structs.replace(step, on_timeout=late)

    def _record(self, typed: TypedStep, own: int, following: int, handler: int) -> Step:
        match typed.step:
            case Branch():
                return self._branch(typed.step, typed, following, handler)
            case Fork():
                return self._fork(typed.step, typed, following, handler)
            case ForEach():
                return self._loop(typed.step, typed, following, handler)
            case Stop():
                return typed.step
            case Fail():
                return msgspec.structs.replace(typed.step, handler=handler)
            case _:
                del own
                return msgspec.structs.replace(typed.step, next=following, handler=handler)

    def _branch(self, step: Branch, typed: TypedStep, following: int, handler: int) -> Step:
        inside, landing = handler, _lands(typed)
        after = len(self.steps) + sum(_sizes(arm) for arm in typed.arms) if landing else following
        if step.on_error == "continue":
            inside = after
        targets = [self.list(arm, after, inside) for arm in typed.arms]
        if landing:
            self.steps.append(Set(name=f"{step.name}_end", values=(), next=following, handler=handler))
        arms = tuple(Arm(arm.when, target) for arm, target in zip(step.arms, targets, strict=False))
        return msgspec.structs.replace(step, arms=arms, otherwise=targets[-1], handler=handler)

    def _fork(self, step: Fork, typed: TypedStep, following: int, handler: int) -> Step:
        join = len(self.steps) + sum(_sizes(arm) for arm in typed.arms)
        targets = [self.list(arm, join, NO_STEP) for arm in typed.arms]
        assert isinstance(typed.last, Join)
        self.steps.append(msgspec.structs.replace(typed.last, next=following, handler=handler))
        arms = tuple((name, target) for (name, _), target in zip(step.arms, targets, strict=True))
        return msgspec.structs.replace(step, arms=arms, join=join, handler=handler)

    def _loop(self, step: ForEach, typed: TypedStep, following: int, handler: int) -> Step:
        end = len(self.steps) + sum(_sizes(arm) for arm in typed.arms)
        body = self.list(typed.arms[0], end, NO_STEP)
        assert isinstance(typed.last, EachEnd)
        self.steps.append(without_any_places(typed.last))
        return msgspec.structs.replace(step, body=body, end=end, next=following, handler=handler)


def _size(typed: TypedStep) -> int:
    inside = sum(_sizes(arm) for arm in typed.arms)
    if _is_sequence(typed):
        return inside
    own = 1 + int(typed.last is not None) + int(_lands(typed))
    return own + inside + _sizes(typed.handler) + _sizes(typed.on_timeout)


def _sizes(steps: Iterable[TypedStep]) -> int:
    return sum(_size(step) for step in steps)


def _lands(typed: TypedStep) -> bool:
    """Tell whether errors inside a branch go on behind it, which may be the end: they need a step to land on."""
    return isinstance(typed.step, Branch) and typed.step.on_error == "continue" and any(typed.arms)


def _is_sequence(typed: TypedStep) -> bool:
    """Tell whether arms one after the other are the same: there is one, or none of them ever waits, branches or stops."""
    fork, join = typed.step, typed.last
    if not isinstance(fork, Fork) or not isinstance(join, Join) or join.need or typed.handler or fork.on_error != "fail":
        return False
    return len(typed.arms) == 1 or all(_at_once(inner) for arm in typed.arms for inner in arm)


def _at_once(typed: TypedStep) -> bool:
    return isinstance(typed.step, Set | Emit) or (isinstance(typed.step, Act) and not typed.step.awaited)
