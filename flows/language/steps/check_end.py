"""Stop: the end of an execution, well."""

from __future__ import annotations

from flows.language.names import Names
from flows.language.nodes import Node
from flows.language.steps.walk import Ended, Ran, Walk
from schemas.flow.step import StopStep
from schemas.program import Stop


def check_stop(walk: Walk, step: StopStep, node: Node, names: Names) -> Ran:
    """End well, with a reason."""
    stop = Stop(name=walk.step_names.of(step, f"stop_{step.stop}"), reason=str(step.stop))
    return Ran((stop,), names, Ended("stop", node.line))
