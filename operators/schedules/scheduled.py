"""Which schedules are deployed, and which of them changed since somebody asked.

Reads: flows put in force and taken out. Emits: changes in the order in which they were made, the last of each flow. State: those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.program import Schedule


class ScheduledFlow(NamedTuple):
    """The schedules of a flow's version, each with its place among the triggers; none: it has none any more."""

    tenant: str
    flow: str
    version: str
    schedules: Sequence[tuple[int, Schedule]]


class Scheduled:
    """Changes of schedules that the schedule book has not heard of."""

    def __init__(self) -> None:
        self._having: set[tuple[str, str]] = set()
        self._changed: dict[tuple[str, str], ScheduledFlow] = {}

    def put(self, tenant: str, flow: str, version: str, schedules: Sequence[tuple[int, Schedule]]) -> None:
        """Hear which schedules a flow has now."""
        if not schedules and (tenant, flow) not in self._having:
            return
        self._having.add((tenant, flow))
        self._changed[tenant, flow] = ScheduledFlow(tenant, flow, version, schedules)

    def take_changes(self) -> list[ScheduledFlow]:
        """Give what changed since the last call."""
        changed, self._changed = self._changed, {}
        self._having -= {key for key, one in changed.items() if not one.schedules}
        return list(changed.values())
