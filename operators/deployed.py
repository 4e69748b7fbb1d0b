"""What is deployed as of a place in the control topic: versions, which of them are active, and where commands go.

Reads: control records in order. Emits: the trigger tables and runnables that the turn works with. State: what it holds is
rebuilt from the control topic at every start. Cost: microseconds a record; a table is rebuilt once after its flows changed.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from operators.match import TypeTable, make_table
from operators.match_rows import ALL, Trigger
from operators.policies import Policies
from operators.scheduled import Scheduled
from operators.trigger_policies import bind_policies
from operators.wait_shapes import WaitShapes
from operators.watching import Watching
from schemas.connector_rules import ConnectorRules
from schemas.errors import BadRecord, InvalidInput
from schemas.program import After, EventTrigger, Schedule, Window, unpack
from schemas.program import Trigger as AnyTrigger
from schemas.records import Control


class Deployed:
    """The catalogue of one engine. Only `apply` changes it."""

    def __init__(self) -> None:
        self._programs: dict[str, bytes] = {}  # version -> packed program
        self._triggers: dict[str, tuple[AnyTrigger, ...]] = {}  # version -> its triggers
        self._active: dict[tuple[str, str], str] = {}  # (tenant or *, flow) -> version
        self._owners: dict[str, set[str]] = {}  # flow -> tenants with one of their own
        self._entries: list[tuple[str, int]] = []  # entry -> (version, trigger)
        self._by_event: dict[str, dict[tuple[str, str], list[Trigger]]] = {}
        self._tables: dict[str, tuple[TypeTable, int]] = {}  # and until when its policies hold
        self._followers: dict[str, set[tuple[str, str]]] = {}  # flow -> (tenant, flow) that start after it
        self.shapes = WaitShapes()
        self.watching = Watching()  # triggers with windows
        self.scheduled = Scheduled()
        self.policies = Policies()
        self._rules = ConnectorRules()
        self._holds: set[str] = set()

    def apply(self, control: Control) -> None:
        """Take in one control record; keys that are not the engine's are left alone. Raises BadRecord for an unreadable one."""
        kind, *rest = control.key.split("/")
        match kind, rest:
            case "version", [_, _, version]:
                self._put_version(version, control.value)
            case "active", [tenant, flow]:
                self._activate(tenant, flow, control.value)
            case "connector", _:
                self._put_rule(control)
            case "policy", [tenant, name]:
                self.policies.apply(tenant, name, control.value)
                self._tables.clear()
                self.watching.policies_changed()
            case "clock", ["hold", name]:
                (self._holds.discard if control.value is None else self._holds.add)(name)
            case _:
                pass

    @property
    def clock_held(self) -> bool:
        """Tell whether a sender wants the event clock to wait for what it still has."""
        return bool(self._holds)

    def events(self) -> Iterable[str]:
        """Give the event types that start some flow."""
        return self._by_event.keys()

    def active(self) -> dict[tuple[str, str], str]:
        """Give the active version by tenant (or *) and flow."""
        return dict(self._active)

    def table(self, event: str, now_us: int) -> TypeTable | None:
        """Give the triggers of an event type at a time, or None if it starts nothing."""
        table, until_us = self._tables.get(event, (None, 0))
        if table is None or now_us >= until_us:
            triggers = [one for listed in self._by_event.get(event, {}).values() for one in listed]
            if not triggers:
                return None
            shared = {one.flow for one in triggers if one.tenant == ALL}
            owners = [(tenant, flow) for flow in shared for tenant in self._owners.get(flow, ())]
            bound, until_us = bind_policies(triggers, self.policies, now_us)
            table = make_table(bound, owners)
            self._tables[event] = (table, until_us)
        return table

    def table_until_us(self, event: str) -> int:
        """Give the time until which the last table of an event type holds."""
        return self._tables[event][1]

    def owners(self, flows: Iterable[str]) -> list[tuple[str, str]]:
        """Give (tenant, flow) of tenants that have a flow of their own by one of these names."""
        return [(tenant, flow) for flow in sorted(set(flows)) for tenant in sorted(self._owners.get(flow, ()))]

    def startable(self, tenant: str, flow: str) -> str | None:
        """Give the version of a flow that is in force for a tenant; its own wins over the one for all."""
        return self._active.get((tenant, flow)) or self._active.get((ALL, flow))

    @property
    def any_followed(self) -> bool:
        """Tell whether any flow starts after another."""
        return any(self._followers.values())

    def followers(self, tenant: str, flow: str) -> list[tuple[str, int, After]]:
        """Give (version, place, trigger) of what starts for a tenant after a flow has ended, by name of the flow that starts."""
        found: list[tuple[str, int, After]] = []
        for name in sorted({name for _, name in self._followers.get(flow, ())}):
            version = self.startable(tenant, name)
            for at, trigger in enumerate(self._triggers[version] if version is not None else ()):
                if isinstance(trigger, After) and flow in trigger.flows and version is not None:
                    found.append((version, at, trigger))
        return found

    def entry(self, entry: int) -> tuple[str, int]:
        """Give the version and the trigger's place in it that an entry stands for."""
        return self._entries[entry]

    def program(self, version: str) -> bytes | None:
        """Give the packed program of a version, if it was deployed."""
        return self._programs.get(version)

    def connector(self, tenant: str, action: str) -> str:
        """Give the connector that serves an action type of a tenant."""
        return self._rules.rule(tenant, action).connector

    def _put_version(self, version: str, value: Any) -> None:
        if value is None:
            if version in self._active.values():
                raise BadRecord("version-active", f"version {version} is active; take the flow out of force before its version")
            self._programs.pop(version, None)
            self._triggers.pop(version, None)
            return
        try:
            packed = b64decode(value["program"], validate=True)
            program = unpack(packed)
            self._programs[version], self._triggers[version] = packed, program.triggers
            self.shapes.add(program)
        except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
            raise BadRecord("bad-program", f"version {version} cannot be read: {error}; deploy the flow again") from error

    def _activate(self, tenant: str, flow: str, value: Any) -> None:
        version = None if value is None else self._known(flow, value)
        self._deactivate(tenant, flow)
        if version is None:
            return
        self._active[tenant, flow] = version
        self._own(tenant, flow, self._owners.setdefault(flow, set()).add)
        listed = enumerate(self._triggers[version])
        self.scheduled.put(tenant, flow, version, [(at, one) for at, one in listed if isinstance(one, Schedule)])
        for order, trigger in enumerate(self._triggers[version]):
            if isinstance(trigger, After):
                for followed in trigger.flows:
                    self._followers.setdefault(followed, set()).add((tenant, flow))
            if not isinstance(trigger, EventTrigger):
                continue
            self._entries.append((version, order))
            made = Trigger(len(self._entries) - 1, tenant, flow, order, trigger.condition)
            if isinstance(trigger.detail, Window):
                self.watching.put(trigger.event, made, trigger.detail)
                continue
            self._by_event.setdefault(trigger.event, {}).setdefault((tenant, flow), []).append(made)
            self._tables.pop(trigger.event, None)

    def _known(self, flow: str, value: Any) -> str:
        """Give the version that a pointer names. A bad pointer is refused before the one in force is let go."""
        version = value.get("version") if isinstance(value, dict) else None
        if not isinstance(version, str) or version not in self._programs:
            raise BadRecord("unknown-version", f"'{flow}' should run version {version}, which was not deployed; deploy it again")
        return version

    def _deactivate(self, tenant: str, flow: str) -> None:
        version = self._active.pop((tenant, flow), None)
        if version is None:
            return
        for event, flows in self._by_event.items():
            if flows.pop((tenant, flow), None) is not None:
                self._tables.pop(event, None)
        for followers in self._followers.values():
            followers.discard((tenant, flow))
        self.watching.drop(tenant, flow)
        self.scheduled.put(tenant, flow, "", [])
        self._own(tenant, flow, self._owners.get(flow, set()).discard)

    def _own(self, tenant: str, flow: str, change: Callable[[str], None]) -> None:
        """Note whose own flow wins over the one for all, also on event types that start only that one."""
        if tenant == ALL:
            return
        change(tenant)
        for event, flows in self._by_event.items():
            if (ALL, flow) in flows:
                self._tables.pop(event, None)
        self.watching.owner_changed(flow)

    def _put_rule(self, control: Control) -> None:
        try:
            self._rules.apply(control.key, control.value)
        except InvalidInput as error:
            raise BadRecord("bad-rule", str(error)) from error
