"""Delay and until: a duration, or a timestamp."""

from __future__ import annotations

from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.tree import Constant
from schemas.expression.types import DURATION, TIMESTAMP
from schemas.flow.step import DelayStep, UntilStep
from schemas.program import END, Delay


def check_delay(walk: Walk, step: DelayStep | UntilStep, node: Node, names: Names) -> Ran:
    """Give the time that is waited for."""
    until = isinstance(step, UntilStep)
    key, want = ("until", TIMESTAMP) if until else ("delay", DURATION)
    tree = walk.elaborator.expression(inner(node, key), key, names, want)
    name = walk.step_names.of(step, key)
    return Ran((TypedStep(Delay(name=name, time=tree or Constant(0, want), next=END, until=until)),), names)
