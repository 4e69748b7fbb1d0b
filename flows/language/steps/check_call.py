"""Call: another flow, by its inputs and its output."""

from __future__ import annotations

from flows.language.check_actions import given_data, refuse_missing, wanted_fields
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.report import near
from flows.language.steps.check_commands import compensation_of, deadline
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.template import Record
from schemas.expression.types import ANY
from schemas.flow.step import CallStep
from schemas.program import END, Call


def check_call(walk: Walk, step: CallStep, node: Node, names: Names) -> Ran:
    """Lock the version of the flow that is called; its output is what an awaited call gives."""
    called = walk.known.flows.get(str(step.call))
    if called is None:
        hint = near(str(step.call), walk.known.flows)
        message = f"no flow '{step.call}' is known that could be called; give its file as well, or deploy it first{hint}"
        walk.report.add(inner(node, "call"), "unknown-flow", message)
    want = None
    if called is not None and called.inputs.name == "record":
        want = wanted_fields(f"flow '{step.call}'", called.inputs, given_data(node), walk.report)
    inputs = walk.template(inner(node, "with"), names, want) if step.with_ else Record(())
    refuse_missing(inputs, want, inner(node, "with"), walk.report)
    result = called.output if called is not None else ANY
    after = walk.bind_result(step, node, result, names) if step.await_ else names
    call = Call(
        name=walk.step_names.of(step, f"call_{step.call}"),
        flow=str(step.call),
        version=called.version if called is not None else "",
        inputs=inputs,
        next=END,
        awaited=step.await_,
        timeout_us=_timeout(walk, step, node),
        result=result,
        compensate=compensation_of(walk, step.compensate, node, after),
    )
    return Ran((TypedStep(call),), after)


def _timeout(walk: Walk, step: CallStep, node: Node) -> int:
    if step.await_:
        return deadline(walk, step.timeout, node, f"call '{step.as_ or step.call}'", "what it waits for must end: add timeout")
    for key in ("timeout", "compensate"):
        if inner(node, key) is not node:
            message = f"'{key}' of a call that is not awaited has no meaning; take await: false away, or '{key}'"
            walk.report.add(inner(node, key), "needs-await", message)
    return 0
