"""The triggers of a flow with their places, and what their sorts mean for it."""

from __future__ import annotations

from typing import Final, Literal

from flows.language.nodes import Mapping, Sequence
from schemas.flow.documents import Flow
from schemas.flow.trigger import Trigger, sort_of_trigger

Priority = Literal["high", "normal", "low"]
_BY_SORT: Final[dict[str, Priority]] = {"manual": "high", "webhook": "high", "schedule": "low"}


def triggers_of(flow: Flow, node: Mapping) -> list[tuple[Trigger, Mapping]]:
    """List the triggers with their places."""
    place = node.get("trigger")
    places = place.items if isinstance(place, Sequence) else (place,)
    return [(one, at) for one, at in zip(triggers_in(flow), places, strict=True) if isinstance(at, Mapping)]


def triggers_in(flow: Flow) -> tuple[Trigger, ...]:
    """List the triggers."""
    return flow.trigger if isinstance(flow.trigger, tuple) else (flow.trigger,)


def priority_of(flow: Flow) -> Priority:
    """Give the priority of a flow that says none: high where a person waits, low for schedules, normal for all else."""
    return start_priority(flow) or "normal"


def start_priority(flow: Flow) -> Priority | None:
    """Give the priority of its starts; None where what starts it decides: it says none, and its triggers are of several sorts."""
    if flow.priority is not None:
        return flow.priority
    by_sort = {_BY_SORT.get(sort_of_trigger(one), "normal") for one in triggers_in(flow)}
    return by_sort.pop() if len(by_sort) == 1 else None
