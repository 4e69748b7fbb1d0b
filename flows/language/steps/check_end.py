"""Fail and stop: the end of an execution, badly or well."""

from __future__ import annotations

from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.steps.walk import Ended, Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.types import STRING
from schemas.flow.step import FailStep, StopStep
from schemas.program import Fail, Stop


def check_stop(walk: Walk, step: StopStep, node: Node, names: Names) -> Ran:
    """End well, with a reason."""
    stop = Stop(name=walk.step_names.of(step, f"stop_{step.stop}"), reason=str(step.stop), compensate=step.compensate)
    walk.stopped.append(names.bindings)
    return Ran((TypedStep(stop),), names, Ended("stop", node.line))


def check_fail(walk: Walk, step: FailStep, node: Node, names: Names) -> Ran:
    """End as failed, with a code."""
    message = walk.template(inner(node, "message"), names, STRING) if step.message is not None else None
    fail = Fail(name=walk.step_names.of(step, f"fail_{step.fail}"), code=str(step.fail), message=message)
    return Ran((TypedStep(fail),), names, Ended("fail", node.line))
