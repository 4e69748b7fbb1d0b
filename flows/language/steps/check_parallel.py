"""Parallel: named arms at once, and how many of them the flow waits for."""

from __future__ import annotations

from flows.language.names import Bound, Names, maybe
from flows.language.nodes import Node, Scalar, inner
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.types import Type
from schemas.flow.step import ParallelStep
from schemas.program import END, Fork, Join


def check_parallel(walk: Walk, step: ParallelStep, node: Node, names: Names) -> Ran:
    """Check the arms; no two of them bind one name. After any or a number of them, what they bind may be missing."""
    name = walk.step_names.of(step, "parallel")
    arms = tuple(step.parallel)
    places = inner(node, "parallel")
    ways = [walk.list(steps, inner(places, arm), names) for arm, steps in step.parallel.items()]
    need = _need(walk, step, node)
    bindings = _bound_in(walk, names, ways)
    after = names.with_bindings({**(maybe(bindings) if need else bindings), **names.bindings})
    bind = str(step.as_) if step.as_ and need == 1 else ""
    if bind:
        winner = Type("record", fields=(("winner", Type("one_of", options=arms)),))
        after = walk.bind_result(step, node, winner, after)
    typed = TypedStep(
        Fork(name, tuple((arm, END) for arm in arms), END),
        arms=tuple(way.steps for way in ways),
        last=Join(name, len(arms), END, need, bind),
    )
    ends = [way.ended for way in ways if way.ended]
    ended = ends[-1] if ends and (not need or len(ends) > len(arms) - need) else None
    return Ran((typed,), after, ended)


def _need(walk: Walk, step: ParallelStep, node: Node) -> int:
    """Give how many arms are waited for, 0 for all of them."""
    if isinstance(step.join, str):
        return 1 if step.join == "any" else 0
    if step.join > len(step.parallel):
        message = f"join {step.join} waits for more arms than there are ({len(step.parallel)}); write a smaller number, or all"
        walk.report.add(inner(node, "join"), "cannot-be-met", message)
    return step.join


def _bound_in(walk: Walk, names: Names, ways: list[Ran]) -> dict[str, Bound]:
    bindings: dict[str, Bound] = {}
    for way in ways:
        for name, bound in way.names.bindings.items():
            if name in bindings:
                message = f"'{name}' is bound at line {bindings[name].line} already, in another arm; choose another name"
                walk.report.add(Scalar(None, bound.line, bound.column), "bound-twice", message)
            if name not in names.bindings:
                bindings[name] = bound
    return bindings
