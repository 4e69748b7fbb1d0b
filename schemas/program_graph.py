"""How the steps of a program hang together: what follows what, in which block a step stands, what it binds and reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, get_args

import msgspec

from schemas.expression.template import Items, Record, Template, Text, Value, Whole, template_keys
from schemas.expression.tree import Tree
from schemas.expression.types import STRING, TIMESTAMP, Type
from schemas.expression.walk import keys
from schemas.program import (
    END,
    NO_STEP,
    Act,
    Approve,
    Call,
    Decide,
    Delay,
    EachEnd,
    Emit,
    ForEach,
    Fork,
    Join,
    Program,
    Set,
    Step,
    Wait,
)
from schemas.program_ways import ways

Block = tuple[str, str]  # name of the parallel or for_each, and of its arm (empty for the items)
_TREES: Final = get_args(Tree)
_TEMPLATES: Final = (Value, Whole, Text, Record, Items)


@dataclass(frozen=True)
class Graph:
    """One program, asked about its steps by place or by name."""

    program: Program
    places: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, step in enumerate(self.program.steps):
            if not isinstance(step, Join | EachEnd):  # they carry the name of what they end
                self.places.setdefault(step.name, place)

    def step(self, name: str) -> Step:
        """Give a step by its name."""
        return self.program.steps[self.places[name]]

    def after(self, place: int) -> frozenset[int]:
        """List the places that a token leaving a place may come to, errors aside."""
        return self._after[place]

    def ahead(self, place: int) -> frozenset[int]:
        """List a place and all that a token there may come to, also by errors and the flow's own on_error and on_retract."""
        return _reached(self._any_way, [place, *(one for one in (self.program.on_error, self.program.on_retract) if one >= 0)])

    def steps(self) -> frozenset[int]:
        """List the places of the flow's own steps, and of what handles their errors: all but on_error and on_retract."""
        return _reached(self._any_way, [self.program.entry])

    def blocks(self, place: int) -> tuple[Block, ...]:
        """Name the blocks that a place stands in, the outermost first."""
        return self._blocks.get(place, ())

    @cached_property
    def _following(self) -> list[list[int]]:
        owners = {step.end: place for place, step in enumerate(self.program.steps) if isinstance(step, ForEach)}
        steps = enumerate(self.program.steps)
        return [
            [target for target, _ in ways(step) if target != END] + ([owners[place]] if place in owners else [])
            for place, step in steps
        ]

    @cached_property
    def _any_way(self) -> list[list[int]]:
        handlers = [getattr(step, "handler", NO_STEP) for step in self.program.steps]
        return [
            [*following, *([handler] if handler != NO_STEP else [])]
            for following, handler in zip(self._following, handlers, strict=True)
        ]

    @cached_property
    def _after(self) -> list[frozenset[int]]:
        return [_reached(self._following, self._following[place]) for place in range(len(self.program.steps))]

    @cached_property
    def _blocks(self) -> dict[int, tuple[Block, ...]]:
        found: dict[int, list[Block]] = {}
        for step in self.program.steps:
            for arm, first, end in _arms(step):
                for place in _reached(self._any_way, [first], end):
                    found.setdefault(place, []).append((step.name, arm))
        return {place: tuple(blocks) for place, blocks in found.items()}


def parks(step: Step) -> bool:
    """Tell whether an execution can wait at a step for something from outside, or for time."""
    return isinstance(step, Delay | Wait | Approve) or (isinstance(step, Act | Call) and step.awaited)


def acts(step: Step) -> bool:
    """Tell whether a step does something that is seen outside."""
    return isinstance(step, Act | Emit | Call)


def bound(step: Step) -> dict[str, Type | None]:
    """Give the names that a step binds, with their types where the program says."""
    match step:
        case Act() | Call() if step.awaited:
            return {step.name: step.result}
        case Wait():
            return {step.await_.bind: None} if step.await_.bind else {}
        case Approve():
            form = (("form", step.form),) if step.form is not None else ()
            known = Type("record", fields=(("outcome", STRING), ("by", STRING), ("at", TIMESTAMP), *form))
            return {step.bind: known} if step.bind else {}
        case Set():
            return {name: None for name, _ in step.values}
        case ForEach() | Decide() | Join():
            return {step.bind: None} if step.bind else {}
        case _:
            return {}


def read_by(step: Step) -> frozenset[str]:
    """Give the keys that a step reads: `order.id`, `stock.reservation`, `policies.limit`."""
    return frozenset(_keys(msgspec.structs.asdict(step).values()))


def _keys(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, _TREES):
            yield from keys(value)
        elif isinstance(value, _TEMPLATES):
            template: Template = value
            yield from template_keys(template)
        elif isinstance(value, list | tuple):
            yield from _keys(value)
        elif isinstance(value, msgspec.Struct) and not isinstance(value, Type):
            yield from _keys(msgspec.structs.asdict(value).values())


def _arms(step: Step) -> list[tuple[str, int, int]]:
    """Give (arm, its first place, the place that ends it) of a block; an arm without steps has none."""
    if isinstance(step, Fork):
        return [(name, first, step.join) for name, first in step.arms if first != step.join]
    return [("", step.body, step.end)] if isinstance(step, ForEach) and step.body != step.end else []


def _reached(following: list[list[int]], starts: list[int], end: int = END) -> frozenset[int]:
    seen: set[int] = set()
    ahead = [place for place in starts if place != end]
    while ahead:
        place = ahead.pop()
        if place not in seen:
            seen.add(place)
            ahead += [target for target in following[place] if target != end]
    return frozenset(seen)
