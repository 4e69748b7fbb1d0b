"""Set: names and their values."""

from __future__ import annotations

from flows.language.names import Names
from flows.language.nodes import Mapping, Node, inner
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.template import Record, Template
from schemas.expression.types import ANY
from schemas.flow.step import SetStep
from schemas.program import END, Set


def check_set(walk: Walk, step: SetStep, node: Node, names: Names) -> Ran:
    """Bind each name; the values of one step do not see each other."""
    values: list[tuple[str, Template]] = []
    after = names
    assigned = inner(node, "set")
    for name in step.set_:
        place = inner(assigned, name)
        key = assigned.key(name) if isinstance(assigned, Mapping) else None
        found = walk.elaborator.template(place, names)
        after = walk.bind(name, key or place, found.type if found is not None else ANY, after)
        values.append((name, found.template if found is not None else Record(())))
    name = walk.step_names.of(step, f"set_{next(iter(step.set_))}")
    return Ran((TypedStep(Set(name=name, values=tuple(values), next=END)),), after)
