"""Branch: arms that are tried in order, and what is left for else."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import Final

from flows.language.cover import uncovered
from flows.language.names import Names
from flows.language.nodes import Node, Sequence, inner
from flows.language.rule_cover import gaps, never
from flows.language.steps.walk import Ran, Walk, joined
from flows.language.typed import TypedStep
from schemas.expression.check import proved
from schemas.expression.tree import Field
from schemas.expression.types import ANY
from schemas.flow.step import BranchStep
from schemas.program import END, Arm, Branch

_UNKNOWN: Final = Field("?", type=ANY)  # stands for a condition with an error


def check_branch(walk: Walk, step: BranchStep, node: Node, names: Names) -> Ran:
    """Check the arms, each knowing that its condition holds."""
    name = walk.step_names.of(step, "branch")
    arms: list[Arm] = []
    ways: list[Ran] = []
    held = inner(node, "branch")
    places = held.items if isinstance(held, Sequence) else ()
    for arm, place in zip(step.branch, places, strict=True):
        tree = walk.elaborator.condition(inner(place, "when"), "when", names)
        inside = names.knowing(proved(tree)) if tree is not None else names
        ways.append(walk.way(arm.then, inner(place, "then"), inside))
        arms.append(Arm(tree if tree is not None else _UNKNOWN, END))
    _warn_idle(arms, places, walk)
    left_out = uncovered([arm.when for arm in arms]) if step.else_ is None else None
    if step.else_ is not None or left_out:  # arms that cover every case leave no other way
        ways.append(walk.way(step.else_ if step.else_ is not None else "continue", inner(node, "else"), names))
    if left_out and not walk.elaborator.elsewhere.lost:
        walk.report.add(node, "missing-else", f"the arms do not cover {left_out}; add an arm or else")
    typed = TypedStep(Branch(name, tuple(arms), END), arms=tuple(way.steps for way in ways))
    return joined((typed,), names, ways)


def _warn_idle(arms: SequenceOf[Arm], places: SequenceOf[Node], walk: Walk) -> None:
    """Tell of arms that are never reached because others always hold before them."""
    whens = [arm.when for arm in arms]
    for idle in gaps(whens).idle:
        if not never(whens[idle]):
            message = f"arm {idle + 1} is never reached, those before it hold first; move or remove it"
            walk.report.warn(places[idle], "always-false", message)
