"""A stream of events without an end, flows that wait seconds, and what must come of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final

from flows.language.definitions import Definitions, Source, check_sources
from schemas.avro.schema import avro_schema
from schemas.registry import Registry
from sinks.ingress.protocol import Item
from tests.simulation.business import SECOND_US, Event, Producer, contract_documents
from tests.simulation.draw import SPOILS, FlowDrawer, draw_event, spoil
from tests.simulation.oracle import Oracle
from tests.simulation.plain import Flow

WAITS: Final = ((0, "0s"), (SECOND_US, "1s"), (2 * SECOND_US, "2s"), (300_000, "300ms"))
FLOWS: Final = ("alpha", "bravo", "charlie", "delta", "echo")


@dataclass(slots=True)
class Stream:
    """Draws flows once and events for ever; remembers what was sent."""

    rng: Random
    now_us: int
    flows: list[Flow] = field(default_factory=list)
    definitions: Definitions | None = None
    oracle: Oracle = field(default_factory=Oracle)
    producer: Producer | None = None
    spoilt: int = 0
    doubled: int = 0
    sent: dict[bytes, Event | None] = field(default_factory=dict)
    _count: int = 0

    def draw_flows(self) -> Definitions:
        """Draw the flows, written as one file with the contracts."""
        drawer = FlowDrawer(self.rng, exact=False, waits=WAITS, own_times=False, own_retries=False)
        self.flows = [drawer.flow(name, ()) for name in FLOWS]
        documents = [*contract_documents(), *(flow.document() for flow in self.flows)]
        found = check_sources([Source("chaos.json", json.dumps(documents, default=_number))])
        assert found.ok, found.problems
        for flow in self.flows:
            self.oracle.activate("*", flow.name, flow)
        return found

    def know(self, registry: Registry) -> None:
        """Learn the schema ids that the deploy has given."""
        contracts = registry.contracts()
        self.producer = Producer({name: (one.schema_id, avro_schema(one)) for name, one in contracts.items()})

    def next(self, count: int) -> Sequence[Item]:
        """Draw some more records: events, now and then the same again, now and then a spoilt one."""
        return [item for _ in range(count) for item in self._some()]

    def _some(self) -> list[Item]:
        rng, producer = self.rng, self.producer
        assert producer is not None
        self._count += 1
        self.now_us += 1_000
        event = draw_event(rng, self._count, self.now_us)
        items = [self._item(event, producer)]
        if rng.random() < 0.1:
            self.doubled += 1
            items.append(self._item(event, producer))
        if rng.random() < 0.02:
            sent = spoil(rng, event, producer, rng.choice([sort for sort in SPOILS if sort != "too large"]))
            self.sent[sent.data] = None
            self.spoilt += 1
            items.append(Item(sent.topic, [sent.data], sent.tenant))
        return items

    def _item(self, event: Event, producer: Producer) -> Item:
        data = producer.as_avro(event) if self.rng.random() < 0.5 else producer.as_json(event)
        self.sent[data] = event
        return Item(event.topic, [data], event.tenant)


def _number(value: Any) -> float:
    assert isinstance(value, Decimal)
    return float(value)
