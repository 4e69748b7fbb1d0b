"""The canonical form of triggers: a list, defaults filled in, every expression in its one spelling."""

from __future__ import annotations

from typing import Any

from flows.language.canonical_words import (
    canonical_data,
    canonical_duration,
    canonical_expression,
    every_condition,
    one_condition,
)
from flows.language.conditions import read_condition
from flows.language.nodes import Mapping, Node, Sequence, inner
from schemas.flow.trigger import (
    AbsenceRule,
    AfterTrigger,
    EventTrigger,
    ManualTrigger,
    ScheduleTrigger,
    SequenceTrigger,
    Signature,
    Trigger,
    WebhookTrigger,
    WindowRule,
)
from schemas.records import Json

Form = dict[str, Json]


def canonical_trigger(trigger: Trigger, node: Mapping) -> Form:
    """Write one trigger."""
    form = {**_body(trigger, node), **_conditions(node)}
    return {**form, "as": trigger.as_} if trigger.as_ else form


def _body(trigger: Trigger, node: Mapping) -> Form:
    match trigger:
        case EventTrigger():
            return {"event": trigger.event, **_details(trigger, node)}
        case SequenceTrigger():
            return {"sequence": _sequence(trigger, inner(node, "sequence"))}
        case ScheduleTrigger():
            return _schedule(trigger)
        case WebhookTrigger():
            return {**_webhook(trigger), **_details(trigger, node)}
        case ManualTrigger():
            roles = sorted({str(role) for role in trigger.manual.roles})
            return {"manual": {"roles": roles}, **_expressions(trigger, "id")}
        case AfterTrigger():
            return _after(trigger, node)


def _conditions(node: Node) -> Form:
    place = node.get("conditions") if isinstance(node, Mapping) else None
    if place is None or place == Sequence(()) or (isinstance(place, Sequence) and not place.items):
        return {}
    every = every_condition(read_condition(place))
    return {"conditions": every} if every else {}


def _details(trigger: EventTrigger | WebhookTrigger, node: Mapping) -> Form:
    form: Form = {}
    if trigger.window is not None:
        form["window"] = _window(trigger.window, inner(node, "window"))
    if trigger.absence is not None:
        form["absence"] = _absence(trigger.absence, inner(node, "absence"))
    return form


def _expressions(model: Any, *keys: str) -> Form:
    return {key: canonical_expression(getattr(model, key)) for key in keys if getattr(model, key) is not None}


def _durations(model: Any, *keys: str) -> Form:
    return {key: canonical_duration(getattr(model, key)) for key in keys if getattr(model, key) is not None}


def _window(rule: WindowRule, node: Node) -> Form:
    when = node.get("when") if isinstance(node, Mapping) else None
    return {
        **_expressions(rule, "key"),
        **_durations(rule, "sliding", "tumbling", "session", "lateness", "retract"),
        "measures": {name: canonical_expression(measure) for name, measure in rule.measures.items()},
        **({"when": one_condition(read_condition(when))} if when is not None else {}),
        "fire": rule.fire,
    }


def _absence(rule: AbsenceRule, node: Node) -> Form:
    return {
        "of": rule.of,
        "as": rule.as_,
        **_expressions(rule, "correlate", "within", "until"),
        **_conditions(node),
        **_durations(rule, "lateness", "retract"),
    }


def _sequence(trigger: SequenceTrigger, node: Node) -> Form:
    rule = trigger.sequence
    places = inner(node, "events")
    pairs = zip(rule.events, places.items if isinstance(places, Sequence) else (), strict=True)
    events: list[Json] = [{"event": one.event, "as": one.as_, **_conditions(at)} for one, at in pairs]
    return {**_expressions(rule, "key"), **_durations(rule, "within", "lateness"), "events": events}


def _schedule(trigger: ScheduleTrigger) -> Form:
    zones = [trigger.zone] if isinstance(trigger.zone, str) else list(trigger.zone)
    form: Form = {
        "schedule": " ".join(trigger.schedule.split()),
        "zone": zones,
        "missed": trigger.missed,
        "overlap": trigger.overlap,
        **_durations(trigger, "jitter"),
    }
    return {**form, "with": canonical_data(trigger.with_)} if trigger.with_ else form


def _webhook(trigger: WebhookTrigger) -> Form:
    signed = trigger.signature
    form: Json = "none"
    if isinstance(signed, Signature):
        form = {"header": signed.header, "scheme": signed.scheme, "secret": signed.secret, **_durations(signed, "tolerance")}
    return {"webhook": trigger.webhook, "event": trigger.event, "signature": form, **_expressions(trigger, "id")}


def _after(trigger: AfterTrigger, node: Mapping) -> Form:
    flows = [trigger.after] if isinstance(trigger.after, str) else list(trigger.after)
    form: Form = {"after": flows, "status": trigger.status}
    if len(flows) > 1:
        form["join"] = trigger.join or "all"
    form |= {**_expressions(trigger, "key"), **_durations(trigger, "within")}
    return form if trigger.window is None else {**form, "window": _window(trigger.window, inner(node, "window"))}
