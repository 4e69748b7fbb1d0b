"""Checks what a flow means: names, types, durations, reach; gives its typed steps if there is no error.

Reads: a shape-checked flow and the contracts. Emits: problems with places, a TypedFlow. State: none beyond one call.
Cost: one pass over the steps, each expression elaborated once.
"""

from __future__ import annotations

from flows.language.bound_names import bindings, mappings, named_steps
from flows.language.canonical import tenants_of, triggers_of
from flows.language.check_around import check_defaults, check_timeout
from flows.language.check_triggers import check_triggers
from flows.language.elaborate import Elaborator, Elsewhere
from flows.language.known import Known
from flows.language.names import merged_data
from flows.language.nodes import Mapping, inner
from flows.language.report import Report
from flows.language.steps.rules import RULES
from flows.language.steps.walk import StepNames, Walk
from flows.language.typed import TypedFlow
from schemas.flow.documents import Flow


def check_flow(flow: Flow, node: Mapping, report: Report, known: Known, lost: frozenset[str] = frozenset()) -> TypedFlow | None:
    """Check a flow (its mappings in the order of their keys); None if it has an error. `lost`: names of steps left out."""
    before = len(report.problems)
    data, conflicts = merged_data([known.events.get(one.event) for one, _ in triggers_of(flow, node)])
    walk = _walk(flow, node, report, known, lost, conflicts)
    triggers, names = check_triggers(flow, node, known, walk.elaborator, data)
    timeout_us = check_timeout(flow, node, report)
    check_defaults(flow, node, report)
    ran = walk.list(flow.steps, inner(node, "steps"), names)
    output = walk.template(inner(node, "output"), ran.names) if flow.output else None
    _warn_unused(walk)
    if any(problem.severity == "error" for problem in report.problems[before:]):
        return None
    return TypedFlow(str(flow.flow), tenants_of(flow), triggers, ran.steps, output, timeout_us)


def _walk(flow: Flow, node: Mapping, report: Report, known: Known, lost: frozenset[str], conflicts: frozenset[str]) -> Walk:
    found = list(mappings(node))
    bound = bindings(found)
    commands = {name.text: name.line for name in named_steps(found, "action")}
    elsewhere = Elsewhere({name: key.line for name, key in bound.items()}, commands, lost)
    names = StepNames({name.text for name in named_steps(found, "")})
    return Walk(flow, report, known, Elaborator(report, elsewhere, conflicts), names, bound, RULES)


def _warn_unused(walk: Walk) -> None:
    for name, key in walk.bound.items():
        if name not in walk.elaborator.read:
            walk.report.warn(key, "unused-binding", f"'{name}' is bound and never read; read it or take it away")
