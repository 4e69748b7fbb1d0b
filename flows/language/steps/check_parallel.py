"""Parallel: named arms at once."""

from __future__ import annotations

from flows.language.names import Names
from flows.language.nodes import Node, Scalar, inner
from flows.language.steps.walk import Ended, Ran, Walk
from flows.language.typed import TypedParallel, TypedStep
from schemas.flow.step import ParallelStep


def check_parallel(walk: Walk, step: ParallelStep, node: Node, names: Names) -> Ran:
    """Check the arms; no two of them bind one name."""
    name = walk.step_names.of(step, "parallel")
    arms: list[tuple[str, tuple[TypedStep, ...]]] = []
    bindings = dict(names.bindings)
    places = inner(node, "parallel")
    ended: Ended | None = None
    for arm, steps in step.parallel.items():
        ran = walk.list(steps, inner(places, arm), names)
        arms.append((arm, ran.steps))
        ended = ran.ended or ended
        for bound, what in ran.names.bindings.items():
            if bound in bindings and bound not in names.bindings:
                place = Scalar(None, what.line, what.column)
                message = f"'{bound}' is bound at line {bindings[bound].line} already, in another arm; choose another name"
                walk.report.add(place, "bound-twice", message)
            bindings[bound] = what
    return Ran((TypedParallel(name, tuple(arms)),), names.with_bindings(bindings), ended)
