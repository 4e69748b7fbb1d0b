"""What a story sends of itself: flows, policies, events (early, late and twice), starts by hand; and what it means."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from flows.language.definitions import Definitions, Source, check_sources, control_records, flow_records
from schemas.avro.schema import avro_schema
from schemas.ports import Append
from schemas.program import Program
from schemas.records import Control, OperatorCommand, encode
from schemas.topics import COMMANDS, CONTROL, partition_of
from tests.simulation.business import DAY_US, HOUR_US, MINUTE_US, START_US, stamp
from tests.simulation.scenario import Scenario, Unreadable
from tests.simulation.stories.draw_flows import CONTRACTS, KINDS, SOME_TENANTS, Document, FlowsDrawer, policy_documents
from tests.simulation.stories.draw_steps import all_steps
from tests.simulation.stories.draw_triggers import span_us

HOLD: Final = "clock/hold/story"
STEPS_US: Final = (0, 0, MINUTE_US, 7 * MINUTE_US, 30 * MINUTE_US, 2 * HOUR_US)
STARTS_US: Final = (
    START_US,
    1_772_942_400_000_000,  # 2026-03-08T04:00Z: New York goes on an hour
    1_774_735_200_000_000,  # 2026-03-28T22:00Z: Berlin goes on an hour
    1_792_879_200_000_000,  # 2026-10-24T22:00Z: Berlin goes back an hour
)
EDGES_US: Final = (5 * MINUTE_US, 10 * MINUTE_US, 20 * MINUTE_US, HOUR_US, 3 * HOUR_US, 4 * HOUR_US)  # lengths of waits
RATE_US: Final = 30 * MINUTE_US  # of limits
HAIRS_US: Final = (-1, 0, 0, 1)  # just before an edge, on it, just behind it
CEILINGS: Final = (40, 50, 60, 70)


@dataclass(frozen=True, slots=True)
class Happening:
    """One business event of a story."""

    type: str
    tenant: str
    id: str
    time_us: int
    job: dict[str, Any]

    def record(self) -> bytes:
        """Write it as structured CloudEvents JSON."""
        said = {"specversion": "1.0", "id": self.id, "source": "/jobs", "type": self.type, "tenant": self.tenant}
        said |= {"correlationid": self.job["id"], "time": stamp(self.time_us)}
        return json.dumps(said | {"data": {"job": self.job}}, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Seen:
    """One event that windows count."""

    tenant: str
    id: str
    time_us: int
    customer: str | None
    total: int | None
    number: int | None

    def record(self) -> bytes:
        """Write it as structured CloudEvents JSON."""
        order = {"id": f"{self.tenant}-{self.id}", "customer": self.customer, "number": self.number}
        order["total"] = None if self.total is None else f"{self.total} GBP"
        said = {"specversion": "1.0", "id": self.id, "source": "/orders", "type": "order.seen", "tenant": self.tenant}
        given = {name: value for name, value in order.items() if value is not None}
        return json.dumps(said | {"time": stamp(self.time_us), "data": {"order": given}}, ensure_ascii=False).encode()


@dataclass(slots=True)
class Script:
    """All that is sent, in batches, and what it means."""

    scenario: Scenario
    flows: dict[tuple[str, str], Document] = field(default_factory=dict)  # (name, version) → what was drawn
    active: dict[str, Document] = field(default_factory=dict)  # triggers and tenants never change
    events: dict[bytes, Happening] = field(default_factory=dict)
    seen: dict[bytes, Seen] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)  # as they were deployed last
    start_us: int = START_US
    orders: dict[bytes, OperatorCommand] = field(default_factory=dict)  # starts by hand

    def time_us(self, data: bytes) -> int:
        """Give the time of an event that is sent; 0 for other records."""
        event = self.events.get(data) or self.seen.get(data)
        return 0 if event is None else event.time_us


def draw_script(rng: Random, partitions: int) -> Script:
    """Draw everything."""
    exact = rng.random() < 0.6
    held = exact and rng.random() < 0.7
    scenario = Scenario(exact, held, True, [], {}, {}, {}, Counter())
    scenario.coverage[f"story clock: {'event, held' if held else 'event, free' if exact else 'wall'}"] += 1
    script = Script(scenario, start_us=rng.choice(STARTS_US))
    return _Writing(rng, partitions, script, time_us=script.start_us).script()


@dataclass(slots=True)
class _Writing:
    rng: Random
    partitions: int
    of: Script
    drawer: FlowsDrawer = field(init=False)
    ids: dict[str, int] = field(default_factory=dict)
    ceiling: int = 50
    time_us: int = START_US
    made: list[tuple[str, str]] = field(default_factory=list)  # (tenant, job)

    def script(self) -> Script:
        rng, scenario = self.rng, self.of.scenario
        self.drawer = FlowsDrawer(rng, exact=scenario.exact)
        first = [self._control(Control(key=HOLD, value=True))] if scenario.held else []
        first += [self._control(one) for one in self._connectors()]
        first += self._deploy_all()
        rest = self._stream()
        if scenario.held:
            rest.append(self._control(Control(key=HOLD)))
        scenario.batches.append(first)
        at = 0
        while at < len(rest):
            size = rng.choice((1, 1, 2, 4, 9))
            scenario.batches.append(rest[at : at + size])
            at += size
        return self.of

    # --- control

    def _connectors(self) -> list[Control]:
        rules = [("send_*", "http"), ("create_*", "webhook")]
        return [Control(key=f"connector/*/{pattern}", value={"connector": name, "settings": {}}) for pattern, name in rules]

    def _checked(self) -> Definitions:
        documents = [*CONTRACTS, *policy_documents(self.ceiling), *self.of.active.values()]
        found = check_sources([Source("story.json", json.dumps(documents))])
        if found.errors:
            raise Unreadable("\n".join(map(str, found.errors)))
        for one in found.flows:
            self.of.flows[one.name, one.version] = self.of.active[one.name]
            self.of.programs[one.name] = one.program
        return found

    def _deploy_all(self) -> list[Append]:
        self.of.active = self.drawer.flows()
        found = self._checked()
        self.ids = {one.event: at for at, one in enumerate(found.contracts, 1)}
        return [self._control(one) for one in control_records(found, lambda one: self.ids[one.event], avro_schema)]

    def _deploy_again(self) -> list[Append]:
        names = [name for name in self.of.active if name.startswith("made")]
        name = self.rng.choice(names)
        self.of.active[name] = self.drawer.again(name, self.of.active[name])
        (one,) = [one for one in self._checked().flows if one.name == name]
        self.of.scenario.coverage["story: deployed while events stream"] += 1
        return [self._control(control) for control in flow_records(one)]

    def _change_policies(self) -> list[Append]:
        self.ceiling = self.rng.choice([one for one in CEILINGS if one != self.ceiling])
        found = self._checked()
        records = control_records(found, lambda one: self.ids[one.event], avro_schema)
        self.of.scenario.coverage["story: policies changed while events stream"] += 1
        return [self._control(one) for one in records if one.key.startswith("policy/")]

    def _control(self, control: Control) -> Append:
        return Append(CONTROL, 0, [encode(control)])

    # --- events

    def _stream(self) -> list[Append]:
        rng, sent = self.rng, list[Append]()
        for number in range(rng.randint(8, 40)):
            self.time_us += rng.choice(STEPS_US)
            if number and rng.random() < 0.06:
                self._go_to_a_slot()
            lot = rng.random() if number else 1.0  # an event begins the clock
            if lot < 0.12:
                sent.append(self._by_hand(number))
            elif lot < 0.16:
                sent += self._deploy_again()
            elif lot < 0.20:
                sent += self._change_policies()
            elif lot < 0.6 and any(name.startswith("counted") for name in self.of.active):
                sent.append(self._seen(number))
            else:
                sent += self._events(number)
            if rng.random() < 0.12:
                self.of.scenario.coverage["story: sent twice"] += 1
                sent.append(rng.choice([one for one in sent if one.topic != CONTROL] or self._events(number)))
        return sent

    def _events(self, number: int) -> list[Append]:
        rng = self.rng
        kind = rng.choice(("job.made",) * 3 + ("job.paid",) * 3 + ("job.done", "job.done", "job.echoed"))
        new = kind == "job.made" or not self.made or rng.random() < 0.1
        tenant, job = self._new_job() if new else rng.choice(self.made[-6:])
        if kind != "job.made" and new:
            self.of.scenario.coverage["story: events before what they are about"] += 1
        data: dict[str, Any] = {"id": job, "amount": rng.randrange(10)}
        if kind == "job.made":
            data |= {"kind": rng.choice(KINDS), "items": [f"{job}-{at}" for at in range(rng.randrange(5))]}
            if rng.random() < 0.2:
                self._go_to(self._starts_of(tenant, data["kind"]), (RATE_US,))
        late_us = rng.choice((HOUR_US, DAY_US)) if rng.random() < 0.12 else 0
        self.of.scenario.coverage["story: late events"] += late_us > 0
        if kind in ("job.paid", "job.done") and not new and rng.random() < 0.4:
            self._go_to(*self._edges_of(kind, job))
            late_us, data["amount"] = 0, 9
            if kind == "job.done" and rng.random() < 0.3:
                return self._just_in_time(number, tenant, job)
        if kind == "job.made" and rng.random() < 0.1:
            return self._done_already(number, tenant, data)
        return [self._happening(Happening(kind, tenant, f"e{number}", self.time_us - late_us, data))]

    def _done_already(self, number: int, tenant: str, data: dict[str, Any]) -> list[Append]:
        """Say that a job is done before it is said that it was made: at a time between, at that very time, or before it."""
        made_us = self.time_us - self.rng.choice((0, 3, 15)) * MINUTE_US
        done_us = made_us + self.rng.choice((0, 1, 3 * MINUTE_US, -1))
        done = Happening("job.done", tenant, f"d{number}", done_us, {"id": data["id"], "amount": 1})
        return [self._happening(done), self._happening(Happening("job.made", tenant, f"e{number}", made_us, data))]

    def _happening(self, event: Happening) -> Append:
        record = event.record()
        self.of.events[record] = event
        topic = "told.events" if event.type == "job.echoed" else "job.events"
        return Append(topic, partition_of(event.tenant, self.partitions), [record])

    def _just_in_time(self, number: int, tenant: str, job: str) -> list[Append]:
        """Say that a job is done as late as an absence waits for late events: the clock is brought there by another event."""
        absence = self.of.active.get("absent", {}).get("trigger", {}).get("absence", {})
        late_us = span_us(absence.get("lateness", "0s"))
        self._go_to(self._about(job), (span_us(absence.get("within", "5m")) + late_us,))
        tick = Happening("job.echoed", tenant, f"t{number}", self.time_us, {"id": job, "amount": 0})
        hair_us = self.rng.choice((0, 0, -1))
        done = Happening("job.done", tenant, f"e{number}", self.time_us - late_us - hair_us, {"id": job, "amount": 1})
        return [self._happening(tick), self._happening(done)]

    # --- edges

    def _about(self, job: str) -> list[int]:
        return [one.time_us for one in self.of.events.values() if one.job["id"] == job]

    def _edges_of(self, kind: str, job: str) -> tuple[list[int], Sequence[int]]:
        """Give since when, and for how long, somebody may wait for such an event about a job."""
        active, about = self.of.active, [one for one in self.of.events.values() if one.job["id"] == job]
        made = next((one for one in about if one.type == "job.made"), None)
        if made is None or self.rng.random() < 0.3:
            return [one.time_us for one in about], EDGES_US
        flow = active.get(f"made_{KINDS.index(made.job['kind'])}", {"steps": []})
        spans = [step["timeout"] for step in all_steps(flow["steps"]) if step.get("wait") == kind]
        watch, detail = ("absent", "absence") if kind == "job.done" else ("chain", "sequence")
        spans += [active[watch]["trigger"][detail]["within"]] * 2 if watch in active else []
        left = [made.time_us + span_us(one) for one in spans]
        return [self.rng.choice([one for one in left if one >= self.time_us] or [self.time_us])], (0,)

    def _starts_of(self, tenant: str, kind: str) -> list[int]:
        return [one.time_us for one in self.of.events.values() if one.tenant == tenant and one.job.get("kind") == kind]

    def _go_to(self, times: Sequence[int], lengths: Sequence[int]) -> None:
        """Go on to the very edge of a length of time that may have begun at one of some times, or a hair beside it."""
        edges = [time_us + length + self.rng.choice(HAIRS_US) for time_us in times for length in lengths]
        self.time_us = min((edge for edge in edges if edge >= self.time_us), default=self.time_us)

    def _go_to_a_slot(self) -> None:
        """Go on to where a slot may lie, or the clocks of a zone change: five minutes and full hours."""
        grid_us = self.rng.choice((5 * MINUTE_US, HOUR_US))
        edge_us = (self.time_us // grid_us + 1) * grid_us
        self.time_us = edge_us - self.rng.choice((0, 0, 1))

    def _edge_of_a_window(self, other: Seen) -> int | None:
        """Give a time at the edge of a window that another event may lie in, or of what still is in time beside it."""
        counted = [one["trigger"]["window"] for name, one in sorted(self.of.active.items()) if name.startswith("counted")]
        if not counted:
            return None
        window = self.rng.choice(counted)
        kind = next(kind for kind in ("sliding", "tumbling", "session") if kind in window)
        size_us, late_us = span_us(window[kind]), span_us(window["lateness"])
        end_us = (other.time_us // size_us + 1) * size_us if kind == "tumbling" else other.time_us + size_us
        latest_us = max(one.time_us for one in self.of.seen.values() if one.tenant == other.tenant)
        return self.rng.choice((end_us, end_us, end_us, latest_us - late_us)) + self.rng.choice(HAIRS_US)

    def _seen(self, number: int) -> Append:
        rng = self.rng
        tenant = rng.choice((SOME_TENANTS[0], SOME_TENANTS[0], SOME_TENANTS[0], *SOME_TENANTS[1:]))
        late_us = rng.choice((0, 0, 0, 3 * MINUTE_US, 30 * MINUTE_US, 2 * HOUR_US, 4 * HOUR_US))
        customer = rng.choice((None, f"{tenant}-b", *[f"{tenant}-a"] * 4))
        total, count = rng.choice((None, 0, 1, 2, 5)), rng.choice((None, -1, 0, 1, 2))
        time_us = self.time_us - late_us
        lot = rng.random() if self.of.seen else 1.0
        if lot < 0.65:
            other = rng.choice([one for one in self.of.seen.values() if one.customer][-6:] or list(self.of.seen.values()))
            edge_us = self._edge_of_a_window(other) if lot < 0.45 else None
            tenant, customer, time_us = other.tenant, other.customer, min(other.time_us + MINUTE_US, self.time_us)
            if edge_us is not None:  # else it comes close behind the other, which may have been counted long ago
                time_us, self.time_us = edge_us, max(self.time_us, edge_us)
        event = Seen(tenant, f"s{number}", time_us, customer, total, count)
        record = event.record()
        self.of.seen[record] = event
        return Append("orders.events", partition_of(tenant, self.partitions), [record])

    def _new_job(self) -> tuple[str, str]:
        """Name a new job; sometimes one that is made only later."""
        tenant = self.rng.choice(SOME_TENANTS)
        known = [one for one in self.made if one[0] == tenant]
        self.made.append((tenant, f"{tenant}-{len(known)}"))
        return self.made[-1]

    def _by_hand(self, number: int) -> Append:
        rng = self.rng
        tenant, job = self._new_job() if rng.random() < 0.7 or not self.made else rng.choice(self.made)
        roles = rng.choice((["desk"], ["desk", "boss"], ["guest"]))
        inputs: dict[str, Any] = {"id": job} if rng.random() < 0.9 else {"id": 7}
        order = OperatorCommand(
            command="start", tenant=tenant, flow="hand_0", inputs=inputs, id=f"m{number}", by="ann", roles=roles, at=self.time_us
        )
        record = encode(order)
        self.of.orders[record] = order
        return Append(COMMANDS, partition_of(tenant, self.partitions), [record])


def jobs_of(appends: Sequence[Append]) -> int:
    """Count the records of some appends."""
    return sum(len(one.records) for one in appends)
