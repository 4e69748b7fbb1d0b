"""Lays triggers out as records of a program: without places, and with what is read of the events that they bind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from flows.language.reads import Ways, bound_reads
from flows.language.trees import trees_of, without_any_places
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.program import Absence, Await, EventTrigger, Trigger
from schemas.program import Sequence as SequenceRecord


def placed_triggers(triggers: Iterable[Trigger], events: Mapping[str, Type], trees: Sequence[Tree]) -> tuple[Trigger, ...]:
    """Copy triggers with every offset 0. `events` are the types of events that they bind, `trees` what the flow reads."""
    return tuple(_with_reads(without_any_places(one), events, trees) for one in triggers)


def _with_reads(trigger: Trigger, events: Mapping[str, Type], trees: Sequence[Tree]) -> Trigger:
    detail = trigger.detail if isinstance(trigger, EventTrigger) else None
    read = [*trees, *trees_of(trigger)]

    def ways(name: str) -> Ways:
        return bound_reads(read, name, events[name])

    if isinstance(detail, SequenceRecord):
        then = tuple(msgspec.structs.replace(one, reads=ways(one.bind)) for one in detail.then)
        return msgspec.structs.replace(trigger, detail=msgspec.structs.replace(detail, then=then, reads=ways(detail.first)))
    if isinstance(detail, Absence):
        of: Await = msgspec.structs.replace(detail.of, reads=ways(detail.of.bind))
        return msgspec.structs.replace(trigger, detail=msgspec.structs.replace(detail, of=of))
    return trigger
