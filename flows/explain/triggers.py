"""What starts a flow, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from flows.explain.data_text import Document, condition_text, listed, record_text, words_of
from schemas.records import Json

_INDENT: Final = "   "
_FIRE: Final = {
    "crossing": "once each time it becomes true",
    "every": "on every event while it is true",
    "close": "once, when the window ends",
}
_MISSED: Final = {"last": "of missed runs the last one", "all": "every missed run", "none": "no missed run"}
_OVERLAP: Final = {
    "skip": "skipped while one runs",
    "queue": "behind one that still runs",
    "cancel": "instead of one that still runs",
    "allow": "beside one that still runs",
}


def trigger_lines(triggers: Iterable[Document], topics: Mapping[str, str]) -> Iterator[str]:
    """Say what starts a flow; `topics` gives the topic of each event type where a contract says."""
    for number, trigger in enumerate(triggers):
        sort = next(sort for sort in _SORTS if sort in trigger)
        first, *more = _SORTS[sort](trigger, topics)
        name = f", named {trigger['as']}" if trigger.get("as") else ""
        yield f"{'starts' if number == 0 else 'or starts'} {first}{name}{':' if more else ''}"
        yield from (f"{_INDENT}{line}" for line in more)


def _event(trigger: Document, topics: Mapping[str, str]) -> Iterator[str]:
    detail = next((key for key in _DETAILS if key in trigger), None)
    whole = _with_topic(trigger["event"], topics)
    yield f"on each {whole}" if detail is None else _DETAILS[detail][0].format(event=whole)
    yield from _conditions(trigger.get("conditions", []))
    if detail is not None:
        yield from _DETAILS[detail][1](trigger[detail])


def _with_topic(event: str, topics: Mapping[str, str]) -> str:
    return f"{event} (topic {topics[event]})" if event in topics else event


def _conditions(conditions: Json) -> Iterator[str]:
    every = conditions if isinstance(conditions, list | tuple) else [conditions]
    for at, condition in enumerate(every):
        yield f"{'and' if at else 'where'} {condition_text(condition, grouped=len(every) > 1)}"


def _window(window: Document) -> Iterator[str]:
    kind = next(kind for kind in ("sliding", "tumbling", "session") if kind in window)
    stretch = {
        "sliding": f"over the last {window[kind]}" if kind == "sliding" else "",
        "tumbling": f"in stretches of {window[kind]}",
        "session": f"until {window[kind]} pass without one",
    }[kind]
    measures = ", ".join(f"{name} = {measure}" for name, measure in window.get("measures", {}).items())
    yield f"measured per {window['key']} {stretch}: {measures}"
    fire = str(window.get("fire", "crossing"))
    when = f"when {condition_text(window['when'])}, " if window.get("when") is not None else ""
    yield f"{when}{_FIRE[fire]}"
    yield from _times(window)


def _absence(absence: Document) -> Iterator[str]:
    yield f"no {absence['of']} comes with {_correlation(absence)}"
    yield from _conditions(absence.get("conditions", []))
    yield f"within {absence['within']}" if "within" in absence else f"until {absence['until']}"
    yield from _times(absence)


def _correlation(awaited: Document) -> str:
    return str(awaited.get("correlate") or "the same correlation id")


def _sequence(trigger: Document, topics: Mapping[str, str]) -> Iterator[str]:
    sequence = trigger["sequence"]
    yield "when these events have come one after the other"
    key = f" per {sequence['key']}" if sequence.get("key") else ""
    yield f"within {sequence['within']}{key}"
    for number, event in enumerate(sequence["events"], 1):
        conditions = list(_conditions(event.get("conditions", [])))
        name = f" as {event['as']}" if event.get("as") else ""
        yield " ".join([f"{number}. {_with_topic(event['event'], topics)}{name}", *conditions])
    yield from _conditions(trigger.get("conditions", []))
    yield from _times(sequence)


def _times(held: Document) -> Iterator[str]:
    if held.get("lateness", "0") not in ("0", "0s", 0):
        yield f"events up to {held['lateness']} late still count; what comes later is kept apart"
    if held.get("retract", "0") not in ("0", "0s", 0):
        yield f"taken back if a late event disproves it within {held['retract']}"


def _schedule(trigger: Document, topics: Mapping[str, str]) -> Iterator[str]:
    del topics
    zones = words_of(trigger["zone"])
    yield f'by the schedule "{trigger["schedule"]}" in {listed(zones)}{", a run for each" if len(zones) > 1 else ""}'
    missed, overlap = str(trigger.get("missed", "last")), str(trigger.get("overlap", "skip"))
    yield f"{_MISSED[missed]}; {_OVERLAP[overlap]}"
    if trigger.get("jitter", "0") not in ("0", "0s", 0):
        yield f"up to {trigger['jitter']} later, the same for each slot"
    if trigger.get("with"):
        yield f"with {record_text(trigger['with'])}"


def _webhook(trigger: Document, topics: Mapping[str, str]) -> Iterator[str]:
    yield f"on each request to the webhook {trigger['webhook']}, an event {_with_topic(trigger['event'], topics)}"
    yield from _conditions(trigger.get("conditions", []))
    signature = trigger.get("signature", "none")
    if isinstance(signature, str):
        yield "unsigned: anyone who knows the address may send"
    else:
        tolerance = f", at most {signature['tolerance']} old" if signature.get("tolerance") else ""
        yield f"signed with {signature['scheme']} in {signature['header']} by {signature['secret']}{tolerance}"
    if trigger.get("id") is not None:
        yield f"once for each {trigger['id']}"


def _manual(trigger: Document, topics: Mapping[str, str]) -> Iterator[str]:
    del topics
    manual = trigger["manual"]
    roles = manual.get("roles", []) if isinstance(manual, dict) else []
    people = f", by {listed(roles, 'or')}" if roles else ""
    yield f"by hand{people}"
    if trigger.get("id") is not None:
        yield f"once for each {trigger['id']}"


def _after(trigger: Document, topics: Mapping[str, str]) -> Iterator[str]:
    del topics
    flows, status = words_of(trigger["after"]), str(trigger.get("status", "completed"))
    both = len(flows) > 1 and trigger.get("join", "all") == "all"
    ended = (
        "ended in any way" if status == "any" else {"completed": "completed", "failed": "failed"}.get(status, "been cancelled")
    )
    yield f"when {listed(flows, 'and' if both else 'or')} {'have' if both else 'has'} {ended}"
    yield from _conditions(trigger.get("conditions", []))
    if both:
        within = f", within {trigger['within']}" if trigger.get("within") else ""
        yield f"all of them for one {trigger.get('key', 'event.correlationid')}{within}"
    if "window" in trigger:
        yield from _window(trigger["window"])


_SORTS: Final[Mapping[str, Callable[[Document, Mapping[str, str]], Iterator[str]]]] = {
    "sequence": _sequence,
    "schedule": _schedule,
    "webhook": _webhook,
    "manual": _manual,
    "after": _after,
    "event": _event,
}
_DETAILS: Final[Mapping[str, tuple[str, Callable[[Document], Iterator[str]]]]] = {
    "window": ("by the measures of each {event}", _window),
    "absence": ("when after {event}", _absence),
}
