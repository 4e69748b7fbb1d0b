"""Which schedules are deployed, and which of them changed since somebody asked.

Reads: flows put in force and taken out. Emits: changes in the order in which they were made, the last of each flow. State: those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.program import Schedule

_SHADOW: Final = "\0shadow"  # behind the name of a flow; no name holds it


def in_shadow(flow: str) -> str:
    """Name a flow's version in shadow, whose timetable is a place of its own."""
    return flow + _SHADOW


def flow_of(name: str) -> tuple[str, bool]:
    """Give the flow of a name, and whether it is its version in shadow."""
    return name.removesuffix(_SHADOW), name.endswith(_SHADOW)


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
