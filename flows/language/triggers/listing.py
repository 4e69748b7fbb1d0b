"""The triggers of a flow with their places, and what their sorts mean for it."""

from __future__ import annotations

from typing import Literal

from flows.language.nodes import Mapping, Sequence
from schemas.flow.documents import Flow
from schemas.flow.trigger import Trigger, sort_of_trigger


def triggers_of(flow: Flow, node: Mapping) -> list[tuple[Trigger, Mapping]]:
    """List the triggers with their places."""
    place = node.get("trigger")
    places = place.items if isinstance(place, Sequence) else (place,)
    return [(one, at) for one, at in zip(triggers_in(flow), places, strict=True) if isinstance(at, Mapping)]


def triggers_in(flow: Flow) -> tuple[Trigger, ...]:
    """List the triggers."""
    return flow.trigger if isinstance(flow.trigger, tuple) else (flow.trigger,)


def priority_of(flow: Flow) -> Literal["high", "normal", "low"]:
    """Give the priority of a flow that says none: high where a person waits, low for schedules, normal for all else."""
    if flow.priority is not None:
        return flow.priority
    sorts = {sort_of_trigger(one) for one in triggers_in(flow)}
    if sorts <= {"manual", "webhook"}:
        return "high"
    return "low" if sorts == {"schedule"} else "normal"
