"""Checks what a flow means: names, types, durations, reach; gives its typed steps if there is no error.

Reads: a shape-checked flow and the contracts. Emits: problems with places, a TypedFlow. State: none beyond one call.
Cost: one pass over the steps, each expression elaborated once.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf

from flows.language.bound_names import Named, named
from flows.language.canonical import tenants_of
from flows.language.check_around import check_around, check_defaults, check_inputs, check_timeout
from flows.language.clear_secrets import refuse_shaped
from flows.language.cost import check_cost
from flows.language.elaborate import Elaborator, Elsewhere
from flows.language.known import Known
from flows.language.names import Bound, Names, after_arms
from flows.language.nodes import Mapping, inner
from flows.language.report import Report
from flows.language.steps.rules import RULES
from flows.language.steps.walk import Ran, StepNames, Walk
from flows.language.triggers.check import check_triggers
from flows.language.triggers.listing import start_priority
from flows.language.typed import Rollout, TypedFlow
from schemas.expression.keyed import PolicyTerm
from schemas.expression.scope import ERROR
from schemas.expression.types import Type
from schemas.flow.documents import Flow


def check_flow(flow: Flow, node: Mapping, report: Report, known: Known, lost: frozenset[str] = frozenset()) -> TypedFlow | None:
    """Check a flow (its mappings in the order of their keys); None if it has an error. `lost`: names of steps left out."""
    before = len(report.problems)
    walk = _walk(flow, node, report, known, lost)
    inputs = check_inputs(flow, node, report)
    begun = check_triggers(flow, node, known, walk.elaborator, inputs)
    walk.elaborator.conflicts, names = begun.conflicts, begun.names
    around = check_around(flow, node, names, walk.elaborator)
    timeout_us = check_timeout(flow, node, report)
    check_defaults(flow, node, report)
    refuse_shaped(node, report)
    ran = walk.list(flow.steps, inner(node, "steps"), names)
    found = walk.elaborator.template(inner(node, "output"), _at_end(walk, ran, names)) if flow.output else None
    on_error, on_retract = _afterwards(walk, flow, node, names)
    check_cost(ran.steps, node, report)
    _warn_unread(walk)
    _refuse_whole(walk)
    if any(problem.severity == "error" for problem in report.problems[before:]):
        return None
    return TypedFlow(
        name=str(flow.flow),
        tenants=tenants_of(flow),
        triggers=begun.triggers,
        data=begun.names.data,
        events=begun.events,
        inputs=inputs,
        limits=around.limits,
        rollout=Rollout(flow.rollout.percent, around.rollout_by, flow.rollout.shadow),
        priority=start_priority(flow),
        steps=ran.steps,
        output=found.template if found is not None else None,
        timeout_us=timeout_us,
        output_type=found.type if found is not None else Type("record"),
        on_error=on_error.steps,
        on_retract=on_retract.steps,
        bound=frozenset(name for name, one in walk.named.items() if one.binds) | frozenset(begun.names.bindings),
    )


def _walk(flow: Flow, node: Mapping, report: Report, known: Known, lost: frozenset[str]) -> Walk:
    names: dict[str, Named] = {}
    for one in named(node):
        first = names.get(one.place.text)
        if first is None or (one.binds and not first.binds):
            names[one.place.text] = one
    terms = {name: PolicyTerm(one.value, one.key) for name, one in known.policies.items() if one.value is not None}
    elaborator = Elaborator(report, Elsewhere(names, lost), policies=terms)
    taken = {name for name, one in names.items() if one.sort not in ("set", "item")}
    return Walk(flow, report, known, elaborator, StepNames(taken), names, RULES)


def _at_end(walk: Walk, ran: Ran, names: Names) -> Names:
    """Give the names that the output sees: after the last step, or at any stop."""
    ways: list[MappingOf[str, Bound]] = [
        {name: bound for name, bound in way.items() if name in walk.ever or name in names.bindings} for way in walk.stopped
    ]
    ways += [] if ran.ended else [ran.names.bindings]
    return names.with_bindings(after_arms(names.bindings, ways)) if ways else ran.names


def _afterwards(walk: Walk, flow: Flow, node: Mapping, names: Names) -> tuple[Ran, Ran]:
    """Check the flow's own on_error and on_retract: what the steps bind may be missing there."""
    inside = names.with_bindings({**walk.ever, **names.bindings})
    on_error = walk.list(flow.on_error, inner(node, "on_error"), inside.with_root("error", ERROR))
    on_retract = walk.list(flow.on_retract, inner(node, "on_retract"), inside)
    return on_error, on_retract


def _refuse_whole(walk: Walk) -> None:
    """Only the parts that are read travel into an execution; of what nothing describes the whole is not known."""
    for name, event, place in walk.untyped:
        if f"{name}.*" in walk.elaborator.read and event not in walk.known.unread:
            message = f"'{name}' is read as a whole, and no contract says what {event} holds; write an event document for it"
            walk.report.add(place, "no-contract", message)


def _warn_unread(walk: Walk) -> None:
    read = walk.elaborator.read
    for name, one in walk.named.items():
        if one.sort == "set" and name not in read:
            message = f"'{name}' is bound and never read; read it or take it away"
            walk.report.warn(one.place, "unused-binding", message)
    for name, place in walk.approvals:
        if not name or not {f"{name}.outcome", f"{name}.*"} & read:
            shown = f"approval '{name}'" if name else "an approval without a name"
            message = f"nothing reads the outcome of {shown}: approved and rejected go the same way; branch on it"
            walk.report.warn(place, "outcome-unread", message)
