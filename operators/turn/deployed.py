"""What is deployed as of a place in the control topic: versions, which of them are active, and where commands go.

Reads: control records in order. Emits: the trigger tables and runnables that the turn works with. State: what it holds is
rebuilt from the control topic at every start. Cost: microseconds a record; a table is rebuilt once after its flows changed.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from operators.execution.wait_shapes import WaitShapes
from operators.schedules.scheduled import Scheduled, in_shadow
from operators.triggers.after import counted_as
from operators.triggers.lanes import ORDERS, SHADOW, Lane, lanes_of, slots_of
from operators.triggers.match import TypeTable, make_table
from operators.triggers.match_rows import ALL, Trigger
from operators.triggers.mistyped import mistyped_table
from operators.triggers.policies import Policies
from operators.triggers.trigger_policies import bind_policies
from operators.windows.watching import Watching
from schemas.connector_rules import ConnectorRules
from schemas.errors import BadRecord, InvalidInput
from schemas.pointer import Pointer, read_pointer
from schemas.program import After, EventTrigger, Schedule, Window, unpack
from schemas.program import Trigger as AnyTrigger
from schemas.records import Control

_LANE: Final = "\0"  # behind the name of a flow, before what tells its lanes apart; no name holds it


class Deployed:
    """The catalogue of one engine. Only `apply` changes it."""

    def __init__(self) -> None:
        self._programs: dict[str, bytes] = {}  # version -> packed program
        self._triggers: dict[str, tuple[AnyTrigger, ...]] = {}  # version -> its triggers
        self._lanes: dict[tuple[str, str], tuple[Lane, ...]] = {}  # (tenant or *, flow) -> what starts
        self._owners: dict[str, set[str]] = {}  # flow -> tenants with one of their own
        self._entries: list[tuple[Lane, int, Lane | None]] = []  # entry -> (lane, trigger, the one in shadow beside it)
        self._by_event: dict[str, dict[tuple[str, str], list[Trigger]]] = {}
        self._tables: dict[str, tuple[TypeTable, int]] = {}  # and until when its policies hold
        self._mistyped: dict[str, TypeTable | None] = {}
        self._followers: dict[str, set[tuple[str, str]]] = {}  # flow -> (tenant, flow) that start after it
        self.counted: dict[str, After] = {}  # ends of flows that windows count, under the names of their types
        self.shadowed: set[str] = set()  # flows that ever ran in shadow: shadows may live longer than that
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
        """Give the active version by tenant (or *) and flow; of two the newer one."""
        return {key: lanes[0].version for key, lanes in self._lanes.items()}

    def table(self, event: str, now_us: int) -> TypeTable | None:
        """Give the triggers of an event type at a time, or None if it starts nothing."""
        table, until_us = self._tables.get(event, (None, 0))
        if table is None or now_us >= until_us:
            triggers = [one for listed in self._by_event.get(event, {}).values() for one in listed]
            if not triggers:
                return None
            bound, until_us = bind_policies(triggers, self.policies, now_us)
            table = make_table(bound, self._owners_among(triggers))
            self._tables[event] = (table, until_us)
        return table

    def mistyped(self, event: str) -> TypeTable | None:
        """Give what asks which triggers of an event type, those with windows too, read a field as something that it is not."""
        if event not in self._mistyped:
            triggers = [one for listed in self._by_event.get(event, {}).values() for one in listed]
            triggers += self.watching.triggers(event)
            self._mistyped[event] = mistyped_table(triggers, self._owners_among(triggers))
        return self._mistyped[event]

    def _owners_among(self, triggers: Iterable[Trigger]) -> list[tuple[str, str]]:
        shared = {one.flow for one in triggers if one.tenant == ALL}
        return [(tenant, name) for name in shared for tenant in self._owners.get(name.partition(_LANE)[0], ())]

    def table_until_us(self, event: str) -> int:
        """Give the time until which the last table of an event type holds."""
        return self._tables[event][1]

    def owners(self, flows: Iterable[str]) -> list[tuple[str, str]]:
        """Give (tenant, flow) of tenants that have a flow of their own by one of these names."""
        return [(tenant, flow) for flow in sorted(set(flows)) for tenant in sorted(self._owners.get(flow, ()))]

    def startable(self, tenant: str, flow: str) -> str | None:
        """Give the version of a flow that is in force for a tenant, of two the newer one; its own wins over the one for all."""
        lanes = self.lanes(tenant, flow)
        return lanes[0].version if lanes else None

    def lanes(self, tenant: str, flow: str) -> tuple[Lane, ...]:
        """Give all that starts for a tenant by the name of a flow."""
        return self._lanes.get((tenant, flow)) or self._lanes.get((ALL, flow), ())

    @property
    def any_followed(self) -> bool:
        """Tell whether any flow starts after another."""
        return any(self._followers.values())

    def followers(self, tenant: str, flow: str) -> list[tuple[Lane, int, After]]:
        """Give (lane, place, trigger) of what starts for a tenant after a flow has ended, by name of the flow that starts."""
        found: list[tuple[Lane, int, After]] = []
        for name in sorted({name for _, name in self._followers.get(flow, ())}):
            for lane in self.lanes(tenant, name):
                listed = enumerate(self._triggers[lane.version])
                found.extend((lane, at, one) for at, one in listed if isinstance(one, After) and flow in one.flows)
        return found

    def entry(self, entry: int) -> tuple[Lane, int, Lane | None]:
        """Give the lane that an entry stands for, the trigger's place in its version, and the lane in shadow beside it."""
        return self._entries[entry]

    def program(self, version: str) -> bytes | None:
        """Give the packed program of a version, if it was deployed."""
        return self._programs.get(version)

    def connector(self, tenant: str, action: str) -> str:
        """Give the connector that serves an action type of a tenant."""
        return self._rules.rule(tenant, action).connector

    def _put_version(self, version: str, value: Any) -> None:
        if value is None:
            if any(version == lane.version for lanes in self._lanes.values() for lane in lanes):
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
        lanes = () if value is None else lanes_of(flow, self._known(flow, value))
        self._mistyped.clear()
        self._deactivate(tenant, flow)
        if not lanes:
            return
        self._lanes[tenant, flow] = lanes
        if lanes[-1].side == SHADOW:
            self.shadowed.add(flow)
        self._own(tenant, flow, self._owners.setdefault(flow, set()).add)
        slots = slots_of(lanes)
        self.scheduled.put(tenant, flow, slots, self._schedules(slots))
        if lanes[-1].side == SHADOW:
            self.scheduled.put(tenant, in_shadow(flow), lanes[-1].version, self._schedules(lanes[-1].version))
        for lane in lanes:
            beside = lanes[-1] if lanes[-1].side == SHADOW and lane is not lanes[-1] else None
            self._put_lane(tenant, lane, beside)

    def _schedules(self, version: str) -> list[tuple[int, Schedule]]:
        return [(at, one) for at, one in enumerate(self._triggers[version]) if isinstance(one, Schedule)]

    def _put_lane(self, tenant: str, lane: Lane, beside: Lane | None) -> None:
        """Let the triggers of a lane stand for themselves: which of the lanes takes a start is asked when they fit."""
        for order, trigger in enumerate(self._triggers[lane.version]):
            if not isinstance(trigger, EventTrigger | After):
                continue
            self._entries.append((lane, order, beside))
            place = order + ORDERS[lane.side]
            made = Trigger(len(self._entries) - 1, tenant, lane.flow, place, trigger.condition)
            if isinstance(trigger, After):
                self._follow(trigger, made)
                continue
            if isinstance(trigger.detail, Window):
                self.watching.put(trigger.event, made, trigger.detail)
                continue
            alone = made._replace(flow=f"{lane.flow}{_LANE}{lane.side}") if ORDERS[lane.side] else made
            self._by_event.setdefault(trigger.event, {}).setdefault((tenant, lane.flow), []).append(alone)
            self._tables.pop(trigger.event, None)

    def _follow(self, trigger: After, made: Trigger) -> None:
        for followed in trigger.flows:
            self._followers.setdefault(followed, set()).add((made.tenant, made.flow))
        if trigger.window is not None:
            counted = counted_as(trigger)
            self.counted[counted] = trigger
            self.watching.put(counted, made, trigger.window)

    def _known(self, flow: str, value: Any) -> Pointer:
        """Read a pointer. A bad one is refused before the one in force is let go."""
        pointer = read_pointer(value)
        for version in pointer.versions():
            if version not in self._programs:
                said = f"'{flow}' should run version {version}, which was not deployed; deploy it again"
                raise BadRecord("unknown-version", said)
        return pointer

    def _deactivate(self, tenant: str, flow: str) -> None:
        if self._lanes.pop((tenant, flow), None) is None:
            return
        for event, flows in self._by_event.items():
            if flows.pop((tenant, flow), None) is not None:
                self._tables.pop(event, None)
        for followers in self._followers.values():
            followers.discard((tenant, flow))
        self.watching.drop(tenant, flow)
        self.scheduled.put(tenant, flow, "", [])
        self.scheduled.put(tenant, in_shadow(flow), "", [])
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
