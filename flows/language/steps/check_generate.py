"""Generate: reserved. Everything around it is checked, and it is refused until it is built."""

from __future__ import annotations

from flows.language.literals import positive
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.steps.form import read_types
from flows.language.steps.walk import Ran, Walk
from schemas.flow.step import GenerateStep


def check_generate(walk: Walk, step: GenerateStep, node: Node, names: Names) -> Ran:
    """Check data, output, fallback and timeout; bind the output, so that the rest of the flow is checked too."""
    walk.template(inner(node, "with"), names)
    output = read_types(step.output, inner(node, "output"), walk.report)
    positive(step.timeout, inner(node, "timeout"), "timeout", walk.report)
    if step.fallback is not None:
        walk.template(inner(node, "fallback"), names, output)
    message = f"step 'generate' is not built: '{step.generate}' is checked and cannot be deployed; write the text by a template"
    walk.report.add(inner(node, "generate"), "not-built", message)
    return Ran((), walk.bind_result(step, node, output, names))
