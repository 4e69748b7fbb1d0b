"""What a seed sends: contracts, flows and their versions, events and their spoilt, late, doubled and reordered twins, in batches.

Also what each record means, by its bytes: so that whoever reads the log afterwards can say what must have come of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count, groupby
from random import Random
from typing import Any, Final

from flows.language.compile import CompiledFlow
from flows.language.definitions import Source, check_sources, control_records, flow_records
from schemas.avro.schema import avro_schema
from schemas.contracts import EventContract
from schemas.ports import Append
from schemas.records import Control, encode
from schemas.topics import CONTROL, partition_of
from tests.simulation.business import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    START_US,
    TENANTS,
    Event,
    Producer,
    contract_documents,
)
from tests.simulation.draw import NAMES, SPOILS, FlowDrawer, Sent, draw_event, spoil
from tests.simulation.plain import Flow

HOLD: Final = "clock/hold/simulation"
STEPS_US: Final = (0, 0, 1_000, 20 * SECOND_US, 5 * MINUTE_US, 20 * MINUTE_US)


@dataclass(frozen=True, slots=True)
class Record:
    """One record on its way to the log."""

    topic: str
    partition: int
    data: bytes


@dataclass(slots=True)
class Scenario:
    """All that is sent, in batches, and what it means."""

    exact: bool  # the event clock
    held: bool  # ... which waits until all is sent
    settled: bool  # all flows are deployed before the first event
    batches: list[list[Append]]
    events: dict[bytes, Event]
    spoilt: dict[bytes, str]
    flows: dict[tuple[str, str], Flow]  # (name, version) → what was drawn
    coverage: Counter[str]


def draw_scenario(rng: Random, partitions: int) -> Scenario:
    """Draw everything."""
    drawing = _Drawing(rng, partitions)
    drawing.exact, drawing.settled = rng.random() < 0.5, rng.random() < 0.3
    return drawing.scenario(held=drawing.exact and not (drawing.settled and rng.random() < 0.6))


def draw_exact_scenario(rng: Random, partitions: int) -> Scenario:
    """Draw everything for the event clock, which waits until all is sent: then everything has its one time."""
    drawing = _Drawing(rng, partitions, exact=True, settled=rng.random() < 0.3)
    return drawing.scenario(held=True)


class Unreadable(AssertionError):
    """The checker refuses a flow that the simulation takes to be right."""


@dataclass(slots=True)
class _Drawing:
    rng: Random
    partitions: int
    exact: bool = False
    settled: bool = False
    producer: Producer = field(init=False)
    contracts: Sequence[EventContract] = ()
    flows: dict[tuple[str, str], Flow] = field(default_factory=dict)
    events: dict[bytes, Event] = field(default_factory=dict)
    spoilt: dict[bytes, str] = field(default_factory=dict)
    active: dict[tuple[str, str], str] = field(default_factory=dict)
    coverage: Counter[str] = field(default_factory=Counter)

    def scenario(self, *, held: bool) -> Scenario:
        rng = self.rng
        first = [*self._contract_records(), *self._connector_records()]
        if held:
            first.append(self._control(Control(key=HOLD, value=True)))
        for _ in range(rng.randint(3, 6)):
            first += self._deploy()
        behind = [record for sent in self._stream() for record in sent]
        if held:
            behind.append(self._control(Control(key=HOLD, value=None)))
        self.coverage[f"clock: {'event, held' if held else 'event, free' if self.exact else 'wall'}"] += 1
        return Scenario(
            self.exact,
            held,
            self.settled,
            [self._batch(first), *map(self._batch, self._cut(behind))],
            self.events,
            self.spoilt,
            self.flows,
            self.coverage,
        )

    # --- control records

    def _contract_records(self) -> list[Record]:
        found = check_sources([Source("contracts.json", json.dumps(contract_documents()))])
        if found.problems:
            raise Unreadable("\n".join(map(str, found.problems)))
        numbers = count(self.rng.randint(1, 50))
        ids = {contract.event: next(numbers) for contract in found.contracts}
        self.contracts = found.contracts
        self.producer = Producer({one.event: (ids[one.event], avro_schema(one)) for one in found.contracts})
        return [self._control(one) for one in control_records(found, lambda one: ids[one.event], avro_schema)]

    def _connector_records(self) -> list[Record]:
        """Say who serves what; the rest is the file connector's."""
        rules = [("*", "send_*", "http"), ("*", "create_task", "webhook"), ("*", "hold_order", "http")]
        if self.rng.random() < 0.5:
            rules.append((self.rng.choice(TENANTS), "send_email", "webhook"))
        return [
            self._control(Control(key=f"connector/{tenant}/{pattern}", value={"connector": name, "settings": {}}))
            for tenant, pattern, name in rules
        ]

    def _deploy(self) -> list[Record]:
        """Deploy a new flow or a new version; or take one out of force."""
        rng = self.rng
        if self.active and rng.random() < 0.1:
            tenant, name = rng.choice(sorted(self.active))
            del self.active[tenant, name]
            self.coverage["deploy: taken out of force"] += 1
            return [self._control(Control(key=f"active/{tenant}/{name}", value=None))]
        name = rng.choice(NAMES)
        tenants = tuple(sorted(rng.sample(TENANTS, rng.choice((0, 0, 1, 1, 2, 3)))))
        flow = FlowDrawer(rng, self.exact).flow(name, tenants)
        compiled = self._compiled(flow)
        self.flows[name, compiled.version] = flow
        for tenant in tenants or ("*",):
            self.active[tenant, name] = compiled.version
        return [self._control(one) for one in flow_records(compiled)]

    def _compiled(self, flow: Flow) -> CompiledFlow:
        text = json.dumps(flow.document(), default=_number, ensure_ascii=False)
        found = check_sources([Source(f"{flow.name}.json", text)], self.contracts)
        if found.errors or len(found.flows) != 1:
            raise Unreadable("\n".join(map(str, found.errors)) + f"\n{text}")
        return found.flows[0]

    def _control(self, control: Control) -> Record:
        return Record(CONTROL, 0, encode(control))

    # --- events

    def _stream(self) -> list[list[Record]]:
        rng = self.rng
        sent: list[list[Record]] = []
        time_us = START_US if self.exact else START_US - 200 * DAY_US  # the wall clock is never behind what it is told
        steps = (*STEPS_US, 2 * DAY_US) if self.settled else STEPS_US
        for number in range(rng.randint(10, 45)):
            time_us += rng.choice(steps)
            late = rng.random() < 0.15
            event = draw_event(rng, number, time_us - rng.choice((HOUR_US, 30 * HOUR_US)) if late else time_us)
            self.coverage["late events"] += late
            sent.append([self._event(event)])
            self._add_twins(sent, event)
            if rng.random() < 0.12:
                sort = rng.choice(SPOILS)
                self.coverage[f"spoilt: {sort}"] += 1
                sent.append([self._spoilt(spoil(rng, event, self.producer, sort))])
            if not self.settled and rng.random() < 0.1:
                self.coverage["deploy: while events stream"] += 1
                sent.append(self._deploy())
            if rng.random() < 0.04:
                self.coverage["connector rules changed"] += 1
                value = rng.choice((None, {"connector": "http"}, {"connector": "webhook"}, {"connector": "file"}))
                pattern = rng.choice(("update_crm", "page_*", "send_email"))
                sent.append([self._control(Control(key=f"connector/{rng.choice(('*', *TENANTS))}/{pattern}", value=value))])
            if rng.random() < 0.02:
                self.coverage["spoilt: control"] += 1
                garbage = b"{not a control record" + rng.randbytes(4)
                self.spoilt[garbage] = "control"
                sent.append([Record(CONTROL, 0, garbage)])
        return self._reordered(sent)

    def _add_twins(self, sent: list[list[Record]], event: Event) -> None:
        """Send an event again: as it was, in the other format, or (a sender's mistake) with other content under its id."""
        rng = self.rng
        if rng.random() < 0.2:
            self.coverage["duplicates sent"] += 1
            sent.insert(rng.randint(max(0, len(sent) - 8), len(sent)), [self._event(event)])
        if rng.random() < 0.04:
            other = draw_event(rng, 10_000 + len(sent), event.time_us)
            twin = replace(other, id=event.id, tenant=event.tenant, source=event.source)
            self.coverage["duplicates with other content"] += 1
            sent.append([self._event(twin)])

    def _reordered(self, sent: list[list[Record]]) -> list[list[Record]]:
        rng = self.rng
        at = 0
        while at < len(sent):
            width = rng.choice((1, 1, 1, 2, 4))
            if width > 1 and all(record[0].topic != CONTROL for record in sent[at : at + width]):
                part = sent[at : at + width]
                rng.shuffle(part)
                sent[at : at + width] = part
                self.coverage["events reordered"] += 1
            at += width
        return sent

    def _event(self, event: Event) -> Record:
        avro = self.rng.random() < 0.5
        self.coverage[f"format: {'avro' if avro else 'json'}"] += 1
        data = self.producer.as_avro(event) if avro else self.producer.as_json(event)
        self.events[data] = event
        return Record(event.topic, partition_of(event.tenant, self.partitions), data)

    def _spoilt(self, sent: Sent) -> Record:
        self.spoilt[sent.data] = sent.spoilt
        return Record(sent.topic, partition_of(sent.tenant, self.partitions), sent.data)

    # --- batches

    def _cut(self, records: Sequence[Record]) -> list[list[Record]]:
        batches = []
        at = 0
        while at < len(records):
            size = self.rng.choice((1, 1, 2, 3, 5, 12))
            batches.append(list(records[at : at + size]))
            at += size
        return batches

    def _batch(self, records: Sequence[Record]) -> list[Append]:
        grouped = groupby(records, key=lambda record: (record.topic, record.partition))
        return [Append(topic, partition, [record.data for record in group]) for (topic, partition), group in grouped]


def _number(value: Any) -> float:
    assert isinstance(value, Decimal)
    return float(value)


def meaning_of_control(data: bytes) -> tuple[str, str, Any] | None:
    """Give (tenant, flow, value) of a record that puts a flow in force; None for all others."""
    try:
        record: Mapping[str, Any] = json.loads(data)
    except ValueError:
        return None
    kind, *rest = str(record["key"]).split("/")
    return (rest[0], rest[1], record["value"]) if kind == "active" else None
