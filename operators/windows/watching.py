"""Which triggers with windows are deployed, as watchers whose policies are bound, and for which event types they changed.

Reads: flows put in force and taken out, policies. Emits: watchers by event type. State: those; until when their policies hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from operators.triggers.match_rows import ALL, Trigger
from operators.triggers.policies import Policies
from operators.triggers.trigger_policies import bind_policies
from operators.windows.tables import Watcher, feed_of
from schemas.expression.tree import Constant, ListOf, Tree
from schemas.expression.types import BOOL
from schemas.program import Window

_ALWAYS: Final = Constant(value=True, type=BOOL)


class Watching:
    """The triggers with windows, by event type and flow."""

    def __init__(self) -> None:
        self._by_event: dict[str, dict[tuple[str, str], list[tuple[Trigger, Window]]]] = {}
        self._until: dict[str, int] = {}  # of what was given out; no entry: it changed

    def put(self, event: str, trigger: Trigger, window: Window) -> None:
        """Hear of a trigger of a flow that was put in force."""
        self._by_event.setdefault(event, {}).setdefault((trigger.tenant, trigger.flow), []).append((trigger, window))
        self._until.pop(event, None)

    def drop(self, tenant: str, flow: str) -> None:
        """Hear that a flow was taken out."""
        for event, flows in self._by_event.items():
            if flows.pop((tenant, flow), None) is not None:
                self._until.pop(event, None)

    def owner_changed(self, flow: str) -> None:
        """Hear that some tenant has, or has no more, a flow of its own by a name."""
        for event, flows in self._by_event.items():
            if (ALL, flow) in flows:
                self._until.pop(event, None)

    def policies_changed(self) -> None:
        """Hear that a policy changed."""
        self._until.clear()

    def changed(self, now_us: int) -> list[str]:
        """Name the event types whose watchers are others at a time than those last given."""
        return [event for event in self._by_event if now_us >= self._until.get(event, -1)]

    def triggers(self, event: str) -> list[Trigger]:
        """Give the triggers that watch an event type, with the conditions on its events."""
        return [trigger for listed in self._by_event.get(event, {}).values() for trigger, _ in listed]

    def flows(self, event: str) -> set[str]:
        """Name the flows that watch an event type."""
        return {flow for _, flow in self._by_event.get(event, {})}

    def watchers(self, event: str, policies: Policies, now_us: int) -> list[Watcher]:
        """Give the watchers of an event type as they are at a time."""
        listed = [one for triggers in self._by_event.get(event, {}).values() for one in triggers]
        windows = {trigger.entry: (trigger.condition, window) for trigger, window in listed}
        asked = [trigger._replace(condition=_both(trigger.condition, window.when)) for trigger, window in listed]
        bound, until_us = bind_policies(asked, policies, now_us)
        self._until[event] = until_us
        return list(_watchers(bound, windows))


def _both(condition: Tree | None, when: Tree | None) -> Tree:
    return ListOf((_ALWAYS if condition is None else condition, _ALWAYS if when is None else when))


def _watchers(bound: Iterable[Trigger], windows: dict[int, tuple[Tree | None, Window]]) -> Iterable[Watcher]:
    for one in bound:
        written, window = windows[one.entry]
        assert isinstance(one.condition, ListOf)
        condition, when = (None if tree == _ALWAYS else tree for tree in one.condition.items)
        yield Watcher(one.entry, one.tenant, one.flow, one.order, feed_of(written), condition, window, when)
