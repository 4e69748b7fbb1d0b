"""Branch: arms that are tried in order, and what is left for else."""

from __future__ import annotations

from flows.language.cover import uncovered
from flows.language.names import Names, after_arms
from flows.language.nodes import Node, Sequence, inner
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedBranch, TypedStep
from schemas.expression.check import proved
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import BOOL
from schemas.flow.step import BranchStep


def check_branch(walk: Walk, step: BranchStep, node: Node, names: Names) -> Ran:
    """Check the arms, each knowing that its condition holds."""
    name = walk.step_names.of(step, "branch")
    arms: list[tuple[Tree, tuple[TypedStep, ...]]] = []
    ways: list[Ran] = []
    places = inner(node, "branch")
    for arm, place in zip(step.branch, places.items if isinstance(places, Sequence) else (), strict=True):
        tree = walk.elaborator.condition(inner(place, "when"), "when", names)
        inside = names.knowing(proved(tree)) if tree is not None else names
        ran = walk.way(arm.then, inner(place, "then"), inside)
        ways.append(ran)
        arms.append((tree if tree is not None else Constant(value=True, type=BOOL), ran.steps))
    otherwise = walk.way(step.else_ if step.else_ is not None else "continue", inner(node, "else"), names)
    if step.else_ is None and not walk.elaborator.elsewhere.lost:
        left_out = uncovered([tree for tree, _ in arms])
        if left_out:
            walk.report.add(node, "missing-else", f"the arms do not cover {left_out}; add an arm or else")
    ways.append(otherwise)
    going = [way.names.bindings for way in ways if not way.ended]
    after = names.with_bindings(after_arms(names.bindings, going)) if going else names
    typed = TypedBranch(name, tuple(arms), otherwise.steps, step.on_error)
    ended = None if going else max((way.ended for way in ways if way.ended), key=lambda ended: ended.line)
    return Ran((typed,), after, ended)
