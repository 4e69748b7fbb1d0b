"""Decide: a decision table, by its inputs and its answer."""

from __future__ import annotations

from flows.language.check_actions import given_data, refuse_missing, wanted_fields
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.report import near
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.template import Record
from schemas.expression.types import ANY
from schemas.flow.step import DecideStep
from schemas.program import END, Decide


def check_decide(walk: Walk, step: DecideStep, node: Node, names: Names) -> Ran:
    """Bind the answer of the table."""
    table = walk.known.policies.get(str(step.decide))
    inputs = table.inputs if table is not None else None
    if table is None or inputs is None:
        tables = [name for name, known in walk.known.policies.items() if known.inputs is not None]
        what = f"no policy '{step.decide}' is known" if table is None else f"policy '{step.decide}' is no decision table"
        message = f"{what}; write a policy document with rules, or deploy it first{near(str(step.decide), tables)}"
        walk.report.add(inner(node, "decide"), "unknown-policy", message)
    typed = inputs is not None and inputs.name == "record"  # else it stands in for a document that has an error
    want = wanted_fields(f"policy '{step.decide}'", inputs, given_data(node), walk.report) if inputs and typed else None
    given = walk.template(inner(node, "with"), names, want) if step.with_ else Record(())
    refuse_missing(given, want, inner(node, "with"), walk.report)
    decide = Decide(
        name=walk.step_names.of(step, f"decide_{step.decide}"),
        policy=str(step.decide),
        inputs=given,
        next=END,
        bind=str(step.as_ or ""),
    )
    answer = table.answer if table is not None and table.answer is not None else ANY
    return Ran((TypedStep(decide),), walk.bind_result(step, node, answer, names))
