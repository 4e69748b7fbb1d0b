"""Event: its contract and conditions; with a window or an absence, what those make of it."""

from __future__ import annotations

from dataclasses import replace

from flows.language.awaits import awaited, read_await
from flows.language.names import Names
from flows.language.nodes import Mapping, Node, inner
from flows.language.triggers.check_window import check_window
from flows.language.triggers.reading import WINDOW_MAX_US, Reading
from flows.language.triggers.started import Started
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import DURATION, TIMESTAMP, Type
from schemas.flow.trigger import AbsenceRule, EventTrigger, WebhookTrigger
from schemas.program import Absence, Trigger, Window
from schemas.program import EventTrigger as Record


def check_event(reading: Reading, trigger: EventTrigger | WebhookTrigger, node: Mapping) -> Started:
    """Give the trigger and the names of its event."""
    event = str(trigger.event)
    data = reading.data(event, inner(node, "event"))
    names = Names(data, event, steps=False)
    tree, known = reading.condition(node, names)
    inside = names.knowing(known)
    detail: Window | Absence | None = None
    roots: dict[str, Type] = {}
    events: dict[str, Type] = {}
    if trigger.window is not None and trigger.absence is not None:
        message = "one trigger has 'window' and 'absence'; make two triggers, each with its own as"
        reading.report.add(inner(node, "absence"), "two-sorts", message)
    if trigger.window is not None:
        detail, roots["window"], there = check_window(reading, trigger.window, inner(node, "window"), inside)
        known |= there
    elif trigger.absence is not None:
        detail, events = check_absence(reading, trigger.absence, inner(node, "absence"), inside)
    record = Record(event, tree, str(trigger.as_ or ""), detail)
    return Started((record,), data, event, known, roots, events=events)


def check_absence(reading: Reading, rule: AbsenceRule, node: Node, names: Names) -> tuple[Absence, dict[str, Type]]:
    """Give what must not come, and until when; and the type of what that event is bound to."""
    of = awaited(str(rule.of), str(rule.as_), inner(node, "of"), reading.known, reading.elaborator)
    if rule.as_ is not None and names.takes(rule.as_):
        message = f"'{rule.as_}' is a field of {names.event}; a binding needs another name"
        reading.report.add(inner(node, "as"), "shadows-field", message)
    absence = Absence(
        of=read_await(of, node, names, reading.elaborator),
        time=_time(reading, rule, node, names),
        until=rule.until is not None,
        lateness_us=reading.bounded(rule.lateness, node, "lateness", WINDOW_MAX_US),
        retract_us=reading.bounded(rule.retract, node, "retract"),
    )
    return absence, {of.bind: of.type}


def _time(reading: Reading, rule: AbsenceRule, node: Node, names: Names) -> Tree:
    nothing = Constant(0, DURATION)
    if (rule.within is None) == (rule.until is None):
        what = "neither 'within' nor 'until'" if rule.within is None else "'within' and 'until'"
        message = f"an absence has {what} and is over at one time; write within: 4h, or until: and a timestamp"
        reading.report.add(node, "no-deadline" if rule.within is None else "two-deadlines", message)
        return nothing
    key, want = ("within", DURATION) if rule.within is not None else ("until", TIMESTAMP)
    return reading.elaborator.expression(inner(node, key), key, names, want) or nothing


def with_records(started: Started, *records: Trigger) -> Started:
    """Put more records before those of a trigger."""
    return replace(started, triggers=(*records, *started.triggers))
