"""Doors: what a request at a path becomes and how it is signed is the same for all flows; a signature guards its door alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from flows.language.called import triggers_in
from flows.language.compile import CompiledFlow
from flows.language.parse import Document
from flows.language.report import listed
from schemas.errors import Problem
from schemas.expression.tree import And, Call, Compare, Field, Tree
from schemas.program import Emit, EventTrigger, Program, Webhook

_SOURCE: Final = "event.source"


def twin_doors(flows: Sequence[tuple[Document, CompiledFlow]]) -> list[Problem]:
    """Tell of webhooks on one path that differ in more than the name of their trigger."""
    first: dict[str, tuple[Webhook, str]] = {}
    problems: list[Problem] = []
    for document, compiled in flows:
        for door in compiled.program.triggers:
            if isinstance(door, Webhook):
                nameless = msgspec.structs.replace(door, name="")
                earlier = first.setdefault(door.path, (nameless, compiled.name))
                if earlier[0] != nameless:
                    problems.append(_told(document, door, earlier[1]))
    return problems


def unsigned_ways(flows: Sequence[tuple[Document, CompiledFlow]]) -> list[Problem]:
    """Warn of triggers with a signed webhook that start for each event of its type, whichever way it came."""
    open_ways: dict[str, list[str]] = {}
    for _, compiled in flows:
        for event, way in _open_ways(compiled.program):
            open_ways.setdefault(event, []).append(way)
    problems = []
    for document, compiled in flows:
        for door in _guarded_doors(compiled.program):
            ways = listed([*dict.fromkeys(open_ways.get(door.event, ())), "millrace send"], 4)
            problems.append(_unguarded(document, door, ways))
    return problems


def _open_ways(program: Program) -> Iterator[tuple[str, str]]:
    for trigger in program.triggers:
        if isinstance(trigger, Webhook) and trigger.scheme == "none":
            yield trigger.event, f"webhook '{trigger.path}' without a signature"
    for step in program.steps:
        if isinstance(step, Emit):
            yield step.event, f"emit in flow '{program.flow}'"


def _guarded_doors(program: Program) -> Iterator[Webhook]:
    """Give the signed webhooks whose trigger does not ask where its event came from."""
    for door in program.triggers:
        if isinstance(door, Webhook) and door.scheme != "none":
            starts = [one for one in program.triggers if isinstance(one, EventTrigger) and one.event == door.event]
            if not all(_asks(one.condition) for one in starts if one.name == door.name):
                yield door


def _asks(condition: Tree | None) -> bool:
    """Tell whether a condition holds only for events of a certain source."""
    match condition:
        case And(items=items):
            return any(map(_asks, items))
        case Compare(operator="==" | "in", left=Field(key=key)) | Compare(operator="==", right=Field(key=key)):
            return key == _SOURCE
        case Call(name="starts_with", args=(Field(key=key), *_)):
            return key == _SOURCE
    return False


def _unguarded(document: Document, door: Webhook, ways: str) -> Problem:
    places = (one for one in triggers_in(document.node) if getattr(one.get("webhook"), "value", "") == door.path)
    trigger = next(places, document.node)
    place = trigger.get("signature") or trigger
    text = (
        f"the signature guards the webhook alone: each {door.event} starts this flow, also one that comes by {ways}; "
        f'if only signed ones may, add conditions: [event.source == "/hooks/{door.path}"], '
        "which whoever may use `millrace send` can write too"
    )
    return Problem(document.file, place.line, place.column, "unsigned-way", text, "warning")


def _told(document: Document, door: Webhook, earlier: str) -> Problem:
    places = (one.get("webhook") for one in triggers_in(document.node))
    place = next((one for one in places if one is not None and getattr(one, "value", "") == door.path), document.node)
    text = f"webhook '{door.path}' of flow '{earlier}' differs in event, id or signature; write the same, or choose another path"
    return Problem(document.file, place.line, place.column, "defined-twice", text)
