"""The step `decide`: ask a decision table, bind its answer, note its version and the rules that held."""

from __future__ import annotations

from operators.execution.issue import shared_template
from operators.execution.noted import noted
from operators.execution.run import POLICIES, Run, StepFailed, StepFunction
from operators.steps.decision_table import Misfit, evaluate
from schemas.expression.rows import USE
from schemas.expression.types import Type
from schemas.policy import TablePolicy
from schemas.program import Decide


def decide_by_table(step: Decide) -> StepFunction:
    """Make the function that asks the table."""
    inputs, key = shared_template(step.inputs), f"{POLICIES}.{step.policy}"

    def ask(run: Run) -> int:
        table = run.env.get(key)
        if not isinstance(table, TablePolicy):
            raise StepFailed("missing_value", f"there is no decision table '{step.policy}' now; deploy one")
        try:
            run.use_policy(step.policy)
            answer = evaluate(table, inputs(run.env), {name: run.env.get(name) for name in _names(table)})
        except Misfit as misfit:
            raise StepFailed(misfit.code, misfit.message) from misfit
        if step.bind:
            run.bind(step.bind, answer.value)
        of = Type("list", item=table.outputs) if table.hit == "collect" else table.outputs
        said = {"policy": step.policy, "version": table.version, "rules": list(answer.rules), "answer": noted(answer.value, of)}
        run.note("completed", step.name, "decide", said)
        return step.next

    return ask


def _names(table: TablePolicy) -> list[str]:
    return [USE, *(f"{POLICIES}.{name}" for name in table.policies)]
