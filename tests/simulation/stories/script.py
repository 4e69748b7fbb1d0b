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

HOLD: Final = "clock/hold/story"
STEPS_US: Final = (0, 0, MINUTE_US, 7 * MINUTE_US, 30 * MINUTE_US, 2 * HOUR_US)
STARTS_US: Final = (
    START_US,
    1_772_942_400_000_000,  # 2026-03-08T04:00Z: New York goes on an hour
    1_774_735_200_000_000,  # 2026-03-28T22:00Z: Berlin goes on an hour
    1_792_879_200_000_000,  # 2026-10-24T22:00Z: Berlin goes back an hour
)
EDGES_US: Final = (5 * MINUTE_US, 10 * MINUTE_US, 20 * MINUTE_US, HOUR_US, 3 * HOUR_US, 4 * HOUR_US)  # lengths of waits
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
                sent.append(self._event(number))
            if rng.random() < 0.12:
                self.of.scenario.coverage["story: sent twice"] += 1
                sent.append(rng.choice([one for one in sent if one.topic != CONTROL] or [self._event(number)]))
        return sent

    def _event(self, number: int) -> Append:
        rng = self.rng
        kind = rng.choice(("job.made",) * 3 + ("job.paid",) * 3 + ("job.done", "job.done", "job.echoed"))
        new = kind == "job.made" or not self.made or rng.random() < 0.1
        tenant, job = self._new_job() if new else rng.choice(self.made[-6:])
        if kind != "job.made" and new:
            self.of.scenario.coverage["story: events before what they are about"] += 1
        if kind == "job.made" and not new:
            tenant, job = self._new_job()
        data: dict[str, Any] = {"id": job, "amount": rng.randrange(10)}
        if kind == "job.made":
            data |= {"kind": rng.choice(KINDS), "items": [f"{job}-{at}" for at in range(rng.randrange(5))]}
        late_us = rng.choice((HOUR_US, DAY_US)) if rng.random() < 0.12 else 0
        self.of.scenario.coverage["story: late events"] += late_us > 0
        if kind in ("job.paid", "job.done") and not new and rng.random() < 0.3:
            self._go_to_an_edge(job)
            late_us = 0
        event = Happening(kind, tenant, f"e{number}", self.time_us - late_us, data)
        record = event.record()
        self.of.events[record] = event
        topic = "told.events" if kind == "job.echoed" else "job.events"
        return Append(topic, partition_of(tenant, self.partitions), [record])

    def _go_to_an_edge(self, job: str) -> None:
        """Go on to the very end of a wait that an event about this job may have begun."""
        edges = [one.time_us + edge for one in self.of.events.values() if one.job["id"] == job for edge in EDGES_US]
        self.time_us = min((edge for edge in edges if edge >= self.time_us), default=self.time_us)

    def _seen(self, number: int) -> Append:
        rng = self.rng
        tenant = rng.choice((SOME_TENANTS[0], SOME_TENANTS[0], SOME_TENANTS[0], *SOME_TENANTS[1:]))
        late_us = rng.choice((0, 0, 0, 3 * MINUTE_US, 30 * MINUTE_US, 2 * HOUR_US, 4 * HOUR_US))
        customer = rng.choice((None, f"{tenant}-b", *[f"{tenant}-a"] * 4))
        total, count = rng.choice((None, 0, 1, 2, 5)), rng.choice((None, -1, 0, 1, 2))
        time_us = self.time_us - late_us
        if self.of.seen and rng.random() < 0.3:  # close behind another, which may have been counted long ago
            other = rng.choice(list(self.of.seen.values()))
            tenant, customer, time_us = other.tenant, other.customer, min(other.time_us + MINUTE_US, self.time_us)
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
