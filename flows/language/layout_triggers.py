"""Lays triggers out as records of a program."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.expression.walk import without_places
from schemas.program import EventTrigger


def placed_triggers(triggers: Iterable[EventTrigger]) -> tuple[EventTrigger, ...]:
    """Copy triggers with every offset 0."""
    return tuple(
        EventTrigger(one.event, None if one.condition is None else without_places(one.condition), one.name) for one in triggers
    )
