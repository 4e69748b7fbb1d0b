"""Branch: arms that are tried in order, and what is left for else."""

from __future__ import annotations

from flows.language.cover import uncovered
from flows.language.names import Names
from flows.language.nodes import Node, Sequence, inner
from flows.language.steps.walk import Ran, Walk, joined
from flows.language.typed import TypedStep
from schemas.expression.check import proved
from schemas.expression.tree import Constant
from schemas.expression.types import BOOL
from schemas.flow.step import BranchStep
from schemas.program import END, Arm, Branch


def check_branch(walk: Walk, step: BranchStep, node: Node, names: Names) -> Ran:
    """Check the arms, each knowing that its condition holds."""
    name = walk.step_names.of(step, "branch")
    arms: list[Arm] = []
    ways: list[Ran] = []
    places = inner(node, "branch")
    for arm, place in zip(step.branch, places.items if isinstance(places, Sequence) else (), strict=True):
        tree = walk.elaborator.condition(inner(place, "when"), "when", names)
        inside = names.knowing(proved(tree)) if tree is not None else names
        ways.append(walk.way(arm.then, inner(place, "then"), inside))
        arms.append(Arm(tree if tree is not None else Constant(value=True, type=BOOL), END))
    left_out = uncovered([arm.when for arm in arms]) if step.else_ is None else None
    if step.else_ is not None or left_out:  # arms that cover every case leave no other way
        ways.append(walk.way(step.else_ if step.else_ is not None else "continue", inner(node, "else"), names))
    if left_out and not walk.elaborator.elsewhere.lost:
        walk.report.add(node, "missing-else", f"the arms do not cover {left_out}; add an arm or else")
    typed = TypedStep(Branch(name, tuple(arms), END), arms=tuple(way.steps for way in ways))
    return joined((typed,), names, ways)
