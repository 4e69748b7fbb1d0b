"""One pass over the steps of one flow: what every step's rule needs, and the names that each step leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.language.elaborate import Elaborator
from flows.language.known import Known
from flows.language.names import Bound, Names
from flows.language.nodes import Node, Scalar, Sequence, inner
from flows.language.report import Report
from flows.language.typed import TypedStep
from schemas.expression.template import Record, Template
from schemas.expression.types import Type
from schemas.flow.documents import Flow
from schemas.flow.step import Step


@dataclass(frozen=True, slots=True)
class Ended:
    """The step behind which nothing comes."""

    verb: str
    line: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What steps came to: typed steps, the names after them, and what ended them (None: they go on)."""

    steps: tuple[TypedStep, ...]
    names: Names
    ended: Ended | None = None


@dataclass(slots=True)
class StepNames:
    """Gives each step its name: its `as`, or verb, object and ordinal."""

    taken: set[str]
    counts: dict[str, int] = field(default_factory=dict)

    def of(self, step: Step, stem: str) -> str:
        """Name a step."""
        if step.as_:
            return str(step.as_)
        while True:
            self.counts[stem] = self.counts.get(stem, 0) + 1
            name = f"{stem}_{self.counts[stem]}"
            if name not in self.taken:
                return name


@dataclass(slots=True)
class Walk:
    """What the rules of all steps share."""

    flow: Flow
    report: Report
    known: Known
    elaborator: Elaborator
    step_names: StepNames
    bound: Mapping[str, Scalar]  # the first place at which each name is set, before the walk
    rules: Mapping[type, Callable[[Walk, Any, Node, Names], Ran]]
    as_lines: dict[str, int] = field(default_factory=dict)

    def list(self, steps: tuple[Step, ...], place: Node, names: Names) -> Ran:
        """Check a list of steps, each with the names that those before it leave."""
        typed: list[TypedStep] = []
        ended: Ended | None = None
        places = place.items if isinstance(place, Sequence) else ()
        for step, at in zip(steps, places, strict=True):
            if ended:
                message = f"nothing comes after {ended.verb} (line {ended.line}); remove the step or move it"
                self.report.add(at, "unreachable", message)
                break
            ran = self.step(step, at, names)
            typed += ran.steps
            names, ended = ran.names, ran.ended
        return Ran(tuple(typed), names, ended)

    def way(self, way: Any, place: Node, names: Names) -> Ran:
        """Check a list of steps, or the word continue."""
        return self.list(way, place, names) if isinstance(way, tuple) else Ran((), names)

    def step(self, step: Step, node: Node, names: Names) -> Ran:
        """Check one step by the rule of its verb."""
        self._check_as(step, node, names)
        return self.rules[type(step)](self, step, node, names)

    def _check_as(self, step: Step, node: Node, names: Names) -> None:
        if not step.as_:
            return
        place = inner(node, "as")
        earlier = self.as_lines.get(step.as_) or (self.bound[step.as_].line if step.as_ in self.bound else 0)
        if earlier:
            self.report.add(place, "bound-twice", f"'{step.as_}' is bound at line {earlier} already; choose another name")
        self.refuse_shadow(step.as_, place, names)
        self.as_lines[step.as_] = place.line

    def bind(self, name: str, place: Node, of: Type, names: Names) -> Names:
        """Bind a name, once."""
        if name in names.bindings:
            line = names.bindings[name].line
            self.report.add(place, "bound-twice", f"'{name}' is bound at line {line} already; choose another name")
        self.refuse_shadow(name, place, names)
        return names.with_bindings({**names.bindings, name: Bound(of, place.line, place.column)})

    def refuse_shadow(self, name: str, place: Node, names: Names) -> None:
        """Tell of a binding that is named like a field of the trigger's data."""
        if name in names.fields():
            self.report.add(place, "shadows-field", f"'{name}' is a field of {names.event}; a binding needs another name")

    def template(self, node: Node, names: Names, want: Type | None = None) -> Template:
        """Read data; an empty record stands for what has an error."""
        found = self.elaborator.template(node, names, want)
        return found.template if found is not None else Record(())
