"""Checks what starts a flow: its triggers, their conditions, and the names that steps see of them."""

from __future__ import annotations

from flows.language.canonical import triggers_of
from flows.language.elaborate import Elaborator
from flows.language.known import Known
from flows.language.names import Names
from flows.language.nodes import Mapping, inner
from flows.language.report import Report, near
from flows.language.structure import LEFT_OUT
from schemas.expression.check import proved
from schemas.expression.types import Type
from schemas.flow.documents import Flow
from schemas.program import EventTrigger


def check_triggers(
    flow: Flow, node: Mapping, known: Known, elaborator: Elaborator, data: Type | None
) -> tuple[tuple[EventTrigger, ...], Names]:
    """Give the triggers and the names in force at the first step; `data` is the triggers' merged data."""
    report = elaborator.report
    found: list[EventTrigger] = []
    proofs: list[frozenset[str]] = []
    pairs = triggers_of(flow, node)
    for trigger, place in pairs:
        _check_name(trigger.as_, place, report, alone=len(pairs) == 1, taken={one.name for one in found})
        _check_event(str(trigger.event), place, known, report)
        contract = known.events.get(trigger.event)
        names = Names(contract.data if contract else None, str(trigger.event), steps=False)
        tree = (
            elaborator.condition(inner(place, "conditions"), "conditions", names)
            if trigger.conditions not in (None, ())
            else None
        )
        found.append(EventTrigger(str(trigger.event), tree, trigger.as_ or ""))
        proofs.append(proved(tree) if tree is not None else frozenset())
    events = " or ".join(dict.fromkeys(one.event for one in found))
    there = frozenset.intersection(*proofs) if proofs else frozenset()
    return tuple(found), Names(data, events, known=there)


def _check_event(event: str, place: Mapping, known: Known, report: Report) -> None:
    if event not in known.events and event != LEFT_OUT:
        hint = near(event, known.events)
        message = f"no contract is known for {event}: its fields cannot be checked; write an event document or use --infer{hint}"
        report.warn(inner(place, "event"), "no-contract", message)


def _check_name(name: str | None, place: Mapping, report: Report, *, alone: bool, taken: set[str]) -> None:
    if not alone and not name:
        message = "one of several triggers has no 'as' and needs one; add it, trigger.name will say which started"
        report.add(place, "missing-key", message)
    elif name and name in taken:
        report.add(inner(place, "as"), "bound-twice", f"'{name}' names a trigger already; choose another name")
