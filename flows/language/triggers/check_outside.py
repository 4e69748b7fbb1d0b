"""What starts a flow from outside its events: a schedule, a webhook, a person."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

from flows.language.check_actions import given_data, refuse_missing, wanted_fields
from flows.language.literals import DAY_US
from flows.language.names import Names
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.triggers.check_event import check_event, with_records
from flows.language.triggers.reading import Reading
from flows.language.triggers.started import NOTHING, Started
from operators.schedules.cron import parse_cron
from schemas.errors import InvalidInput
from schemas.expression.scope import SCHEDULE
from schemas.expression.template import Template
from schemas.expression.types import Type
from schemas.expression.zones import zone_of
from schemas.flow.trigger import ManualTrigger, ScheduleTrigger, Signature, WebhookTrigger
from schemas.program import Manual, Schedule, Webhook

_NO_INPUTS: Final = Type("record")
_MEANT: Final = {  # abbreviations name no zone: an offset is not one either
    "CET": "Europe/Berlin",
    "CEST": "Europe/Berlin",
    "MEZ": "Europe/Berlin",
    "BST": "Europe/London",
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "MST": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "JST": "Asia/Tokyo",
    "IST": "Asia/Kolkata",
    "AEST": "Australia/Sydney",
    "GMT": "UTC",
    "UTC": "UTC",
    "Z": "UTC",
}


def check_schedule(reading: Reading, trigger: ScheduleTrigger, node: Mapping) -> Started:
    """Give the schedule: its slots can be computed, its zones exist, its inputs are those of the flow."""
    try:
        parse_cron(trigger.schedule)
    except InvalidInput as error:
        reading.report.add(inner(node, "schedule"), "bad-schedule", f"{error}; next slots cannot be computed")
    zones = (trigger.zone,) if isinstance(trigger.zone, str) else trigger.zone
    for at, (zone, place) in enumerate(zip(zones, _zone_places(inner(node, "zone")), strict=True)):
        _check_zone(reading, zone, place, zones[:at])
    record = Schedule(
        cron=" ".join(trigger.schedule.split()),
        zones=tuple(zones),
        missed=trigger.missed,
        overlap=trigger.overlap,
        jitter_us=reading.bounded(trigger.jitter, node, "jitter", DAY_US),
        inputs=_given_inputs(reading, trigger, node),
        name=str(trigger.as_ or ""),
    )
    return Started((record,), NOTHING, roots={"schedule": SCHEDULE}, fills=True)


def _zone_places(node: Node) -> Iterator[Node]:
    yield from node.items if isinstance(node, Sequence) else (node,)


def _check_zone(reading: Reading, zone: str, place: Node, earlier: tuple[str, ...]) -> None:
    if zone_of(zone) is None:
        meant = _meant(zone)
        hint = f"did you mean '{meant}'?" if meant else "write one like Europe/Berlin, or UTC"
        reading.report.add(place, "bad-schedule", f"'{zone}' is not an IANA zone; {hint}")
    elif zone in earlier:
        reading.report.add(place, "bad-schedule", f"zone '{zone}' stands twice, which would run each slot twice; remove one")


def _meant(zone: str) -> str:
    letters = "".join(letter for letter in zone if letter.isalpha()).upper()
    if letters in _MEANT:
        return _MEANT[letters]
    cities = _cities()
    near = get_close_matches(zone.replace(" ", "_").lower(), cities, 1, 0.7)
    return cities[near[0]] if near else ""


@lru_cache(maxsize=1)
def _cities() -> dict[str, str]:
    """Give zones by their name and by their city, both in small letters."""
    zones = sorted(name for name in available_timezones() if not name.startswith(("posix/", "right/")))
    return {name.rpartition("/")[2].lower(): name for name in zones} | {name.lower(): name for name in zones}


def _given_inputs(reading: Reading, trigger: ScheduleTrigger, node: Mapping) -> Template | None:
    want = wanted_fields("this flow", reading.inputs or _NO_INPUTS, given_data(node), reading.report)
    if not trigger.with_:
        return None
    names = Names(NOTHING, "", roots={"schedule": SCHEDULE}, steps=False)
    found = reading.elaborator.template(inner(node, "with"), names, want)
    if found is None:
        return None
    refuse_missing(found.template, want, inner(node, "with"), reading.report)
    return found.template


def check_webhook(reading: Reading, trigger: WebhookTrigger, node: Mapping) -> Started:
    """Give the door's record, and the trigger on the event that a request becomes."""
    names = Names(reading.data(str(trigger.event), inner(node, "event")), str(trigger.event), steps=False)
    signature = trigger.signature if isinstance(trigger.signature, Signature) else None
    place = inner(node, "signature")
    door = Webhook(
        path=trigger.webhook,
        event=str(trigger.event),
        id=reading.key(node, names, "id") if trigger.id is not None else None,
        scheme=signature.scheme if signature is not None else "none",
        header=signature.header if signature is not None else "",
        secret=signature.secret.removeprefix("secrets.") if signature is not None else "",
        tolerance_us=reading.bounded(signature.tolerance, place, "tolerance", DAY_US, least_us=1) if signature is not None else 0,
        name=str(trigger.as_ or ""),
    )
    return with_records(check_event(reading, trigger, node), door)


def check_manual(reading: Reading, trigger: ManualTrigger, node: Mapping) -> Started:
    """Give who may start it, and what makes two starts one."""
    names = Names(NOTHING, "", steps=False)
    if reading.inputs is not None:
        names = names.with_root("inputs", reading.inputs)
    key = reading.key(node, names, "id") if trigger.id is not None else None
    record = Manual(tuple(sorted({str(role) for role in trigger.manual.roles})), key, str(trigger.as_ or ""))
    return Started((record,), NOTHING, fills=True)
