"""Checks what starts a flow: each trigger by the rule of its sort, and what they leave to the steps together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flows.language.elaborate import Elaborator
from flows.language.known import Known
from flows.language.nodes import Mapping, inner
from flows.language.report import Report
from flows.language.triggers.check_after import check_after
from flows.language.triggers.check_event import check_event
from flows.language.triggers.check_outside import check_manual, check_schedule, check_webhook
from flows.language.triggers.check_sequence import check_sequence
from flows.language.triggers.listing import triggers_of
from flows.language.triggers.reading import Reading
from flows.language.triggers.started import Beginning, Started, together
from schemas.expression.types import Type
from schemas.flow.documents import Flow
from schemas.flow.trigger import AfterTrigger, EventTrigger, ManualTrigger, ScheduleTrigger, SequenceTrigger, WebhookTrigger
from schemas.program import Absence, After, Trigger, Window
from schemas.program import EventTrigger as EventRecord

_RULES: Final[dict[type, Callable[[Reading, Any, Mapping], Started]]] = {
    EventTrigger: check_event,
    SequenceTrigger: check_sequence,
    ScheduleTrigger: check_schedule,
    WebhookTrigger: check_webhook,
    ManualTrigger: check_manual,
    AfterTrigger: check_after,
}


def check_triggers(flow: Flow, node: Mapping, known: Known, elaborator: Elaborator, inputs: Type | None) -> Beginning:
    """Check the triggers of a flow; `inputs` is the record that it declares, if any."""
    reading = Reading(known, elaborator, inputs)
    pairs = triggers_of(flow, node)
    found: list[Started] = []
    taken: set[str] = set()
    for trigger, place in pairs:
        name = str(trigger.as_ or "")
        _check_name(name, place, elaborator.report, alone=len(pairs) == 1, taken=taken)
        found.append(_RULES[type(trigger)](reading, trigger, place))
        taken.add(name)
    begun = together(found, inputs)
    if flow.on_retract and not any(_takes_back(one) for one in begun.triggers):
        message = "nothing is ever taken back in this flow; add retract to an absence, or to a window with fire: close"
        elaborator.report.add(node.key("on_retract") or node, "unreachable", message)
    return begun


def _takes_back(trigger: Trigger) -> bool:
    detail = trigger.detail if isinstance(trigger, EventRecord) else trigger.window if isinstance(trigger, After) else None
    return isinstance(detail, Window | Absence) and detail.retract_us > 0


def _check_name(name: str, place: Mapping, report: Report, *, alone: bool, taken: set[str]) -> None:
    if not alone and not name:
        message = "one of several triggers has no 'as' and needs one; add it, trigger.name will say which started"
        report.add(place, "missing-key", message)
    elif name and name in taken:
        report.add(inner(place, "as"), "bound-twice", f"'{name}' names a trigger already; choose another name")
