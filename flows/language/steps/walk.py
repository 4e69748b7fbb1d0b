"""One pass over the steps of one flow: what every step's rule needs, and the names that each step leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from flows.language.bound_names import Named
from flows.language.elaborate import Elaborator
from flows.language.known import Known
from flows.language.names import Bound, Names, after_arms, maybe, optional
from flows.language.nodes import Node, Sequence, inner
from flows.language.report import Report
from flows.language.typed import TypedStep
from schemas.expression.scope import ERROR
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


STEP_ERROR: Final = Type("record", fields=tuple(field for field in ERROR.fields if field[0] != "compensated"))  # nothing is yet
Rule = Callable[["Walk", Any, Node, Names], Ran]


@dataclass(slots=True)
class Walk:
    """What the rules of all steps share, and what they leave for the end of the flow."""

    flow: Flow
    report: Report
    known: Known
    elaborator: Elaborator
    step_names: StepNames
    named: Mapping[str, Named]  # the first place of each name, before the walk
    rules: Mapping[type, Rule]
    as_lines: dict[str, int] = field(default_factory=dict)
    loops: int = 0  # how many for_each the walk is in
    ever: dict[str, Bound] = field(default_factory=dict)  # every name that was bound outside of loops
    stopped: list[Mapping[str, Bound]] = field(default_factory=list)  # the names at each stop
    approvals: list[tuple[str, Node]] = field(default_factory=list)
    untyped: list[tuple[str, str, Node]] = field(default_factory=list)  # events that no contract describes: bound to, type

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
        """Check a list of steps, or a word that stands for none."""
        return self.list(way, place, names) if isinstance(way, tuple) else Ran((), names)

    def step(self, step: Step, node: Node, names: Names) -> Ran:
        """Check one step by the rule of its verb, and where its errors go."""
        self._check_as(step, node, names)
        ran = self.rules[type(step)](self, step, node, names)
        on_error = getattr(step, "on_error", "fail")
        return ran if on_error == "fail" else self._with_errors(on_error, ran, node, names)

    def _with_errors(self, on_error: Any, ran: Ran, node: Node, names: Names) -> Ran:
        """After a step whose error does not end the flow, what it binds may be missing."""
        inside = names.with_bindings({**maybe(ran.names.bindings), **names.bindings}).with_root("error", STEP_ERROR)
        handler = self.way(on_error, inner(node, "on_error"), inside)
        after = handler.names if isinstance(on_error, tuple) else names
        first, *more = ran.steps
        record = msgspec.structs.replace(first.step, on_error="continue") if on_error == "continue" else first.step
        steps = (replace(first, step=record, handler=handler.steps), *more)
        ways = [Ran((), ran.names, ran.ended), Ran((), after, handler.ended)]
        return joined(steps, names, ways)

    def _check_as(self, step: Step, node: Node, names: Names) -> None:
        if not step.as_:
            return
        place, earlier = inner(node, "as"), self.named.get(step.as_)
        line = self.as_lines.get(step.as_) or (earlier.place.line if earlier and earlier.sort == "set" else 0)
        if line:
            self.report.add(place, "bound-twice", f"'{step.as_}' is bound at line {line} already; choose another name")
        self.refuse_shadow(step.as_, place, names)
        self.as_lines[step.as_] = place.line

    def bind(self, name: str, place: Node, of: Type, names: Names) -> Names:
        """Bind a name, once."""
        if name in names.bindings:
            line = names.bindings[name].line
            self.report.add(place, "bound-twice", f"'{name}' is bound at line {line} already; choose another name")
        self.refuse_shadow(name, place, names)
        bound = Bound(of, place.line, place.column)
        if not self.loops:
            self.ever[name] = Bound(optional(of), place.line, place.column)
        return names.with_bindings({**names.bindings, name: bound})

    def bind_result(self, step: Step, node: Node, of: Type, names: Names) -> Names:
        """Bind what a step gives to its `as`, if it has one."""
        return self.bind(str(step.as_), inner(node, "as"), of, names) if step.as_ else names

    def refuse_shadow(self, name: str, place: Node, names: Names) -> None:
        """Tell of a binding that is named like a field of the trigger's data."""
        if names.takes(name):
            self.report.add(place, "shadows-field", f"'{name}' is a field of {names.event}; a binding needs another name")

    def template(self, node: Node, names: Names, want: Type | None = None, *, secrets: bool = False) -> Template:
        """Read data; an empty record stands for what has an error."""
        found = self.elaborator.template(node, names, want, secrets=secrets)
        return found.template if found is not None else Record(())


def joined(steps: tuple[TypedStep, ...], before: Names, ways: list[Ran]) -> Ran:
    """Give what holds where ways come together again: of those that end, nothing."""
    going = [way.names.bindings for way in ways if not way.ended]
    if going:
        return Ran(steps, before.with_bindings(after_arms(before.bindings, going)))
    return Ran(steps, before, max((way.ended for way in ways if way.ended), key=lambda ended: ended.line))
