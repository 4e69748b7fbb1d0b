"""The seeded workload of the benchmarks: flows of many tenants with thresholds, and events that meet a known share of them.

Every (tenant, event type) has the same number of flows. `rare_flows` match `share` of all events, spread over three condition
shapes; `partition_flows` cut the values of their event type into ranges, so that every event matches exactly one flow.
What must match is said by `expected`, which asks each condition in plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, lt, ne
from typing import Any, Final

import numpy as np

VALUE_END: Final = 1_000_000  # values are drawn from 0 .. VALUE_END - 1
REGIONS: Final = ("emea", "apac", "latam", "noram")
STAGES: Final = ("won", "lost", "open", "held")
FIRST_TIME_US: Final = 1_767_225_600_000_000  # 2026-01-01
ALL: Final = "*"
SOURCE: Final = "/benchmarks"
TOPIC: Final = "deal.events"
TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {">=": ge, ">": gt, "<": lt, "==": eq, "!=": ne}

Condition = tuple[str, str, int | str]  # field of `deal`, operator, value


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow of one tenant, or of ALL: every one of its conditions must hold."""

    name: str
    tenant: str
    event: str
    conditions: tuple[Condition, ...]

    def document(self, delay: str = "0") -> dict[str, Any]:
        """Write the flow in the short form of the flow language, with one action."""
        conditions = [
            {"field": f"deal.{field}", "operator": operator, "value": value} for field, operator, value in self.conditions
        ]
        action = {"type": "create_task", "title": "Call the customer", "deal": "{{ deal.id }}", "delay": delay}
        tenant = {} if self.tenant == ALL else {"tenant": self.tenant}
        return {"workflow": self.name, **tenant, "trigger": {"event": self.event, "conditions": conditions}, "actions": [action]}

    def fits(self, deal: Mapping[str, Any]) -> bool:
        """Tell whether all conditions hold for a deal."""
        return all(TESTS[operator](deal[field], value) for field, operator, value in self.conditions)


@dataclass(frozen=True, slots=True)
class Size:
    """How large the workload is."""

    flows: int
    tenants: int
    types: int

    @property
    def flows_per_pair(self) -> int:
        """Give the flows of each tenant and event type."""
        return max(1, self.flows // (self.tenants * self.types))


FULL: Final = Size(flows=10_000, tenants=500, types=10)
TINY: Final = Size(flows=40, tenants=5, types=4)


def event_types(count: int) -> tuple[str, ...]:
    """Name the event types."""
    return tuple(f"deal.moved{index}" for index in range(count))


def tenants(count: int) -> tuple[str, ...]:
    """Name the tenants."""
    return tuple(f"tenant{index:04d}" for index in range(count))


def contracts(types: Sequence[str]) -> list[dict[str, Any]]:
    """Write the event contracts: one a type, all of one shape."""
    deal = {"id": "string", "value": "int", "region": "string", "stage": "string", "owner": "string?"}
    fields = {"deal": deal, "customer": {"id": "string", "name": "string"}}
    return [{"event": name, "fields": fields, "topic": TOPIC} for name in types]


def rare_flows(size: Size, share: float) -> list[Flow]:
    """Give flows of three shapes that together match `share` of all events."""
    each = share / size.flows_per_pair
    return [_rare(index, tenant, event, each) for index, tenant, event in _places(size)]


def partition_flows(size: Size) -> list[Flow]:
    """Give flows that cut the values of each tenant and event type into equal ranges: every event matches one."""
    per_pair = size.flows_per_pair
    width = VALUE_END // per_pair
    flows = []
    for index, tenant, event in _places(size):
        part = index % per_pair
        low = ("value", ">=", part * width)
        high = ("value", "<", VALUE_END if part == per_pair - 1 else (part + 1) * width)
        flows.append(Flow(f"range_{index:05d}", tenant, event, (low, high)))
    return flows


def few_flows(size: Size, share: float) -> list[Flow]:
    """Give one flow an event type that serves all tenants: together they match the same share of the same events."""
    return [_rare(index, ALL, event, share) for index, event in enumerate(event_types(size.types))]


@dataclass(frozen=True, slots=True)
class Events:
    """A batch of n events as columns; event k has id `first + k`."""

    first: int
    tenant: np.ndarray[Any, np.dtype[np.int64]]
    type: np.ndarray[Any, np.dtype[np.int64]]
    value: np.ndarray[Any, np.dtype[np.int64]]
    region: np.ndarray[Any, np.dtype[np.int64]]
    stage: np.ndarray[Any, np.dtype[np.int64]]

    def __len__(self) -> int:
        return len(self.tenant)

    def rows(self, size: Size, first_time_us: int = FIRST_TIME_US) -> Iterator[dict[str, Any]]:
        """Give each event as a record: the CloudEvents attributes (time in µs, one event a millisecond) and `data`."""
        types, names = event_types(size.types), tenants(size.tenants)
        columns = (self.tenant.tolist(), self.type.tolist(), self.value.tolist(), self.region.tolist(), self.stage.tolist())
        for index, (tenant, kind, value, region, stage) in enumerate(zip(*columns, strict=True), self.first):
            deal = {"id": f"d{index}", "value": value, "region": REGIONS[region], "stage": STAGES[stage], "owner": None}
            customer = {"id": f"c{index % 9973}", "name": f"Customer {index % 9973}"}
            yield {
                "id": f"e{index}",
                "source": SOURCE,
                "type": types[kind],
                "subject": deal["id"],
                "time": first_time_us + (index - self.first) * 1_000,
                "tenant": names[tenant],
                "data": {"deal": deal, "customer": customer},
            }


def draw(size: Size, count: int, seed: int, first: int = 0) -> Events:
    """Draw n events evenly over tenants, types and values."""
    rng = np.random.default_rng(seed)
    return Events(
        first,
        rng.integers(0, size.tenants, count),
        rng.integers(0, size.types, count),
        rng.integers(0, VALUE_END, count),
        rng.integers(0, len(REGIONS), count),
        rng.integers(0, len(STAGES), count),
    )


def end_with_a_match(events: Events) -> Events:
    """Let the last event match: the first flow of either kind serves the first tenant and type, and wants a high value alone."""
    for column, value in ((events.tenant, 0), (events.type, 0), (events.value, VALUE_END - 1)):
        column[-1] = value
    return events


def index_of(event_id: str) -> int:
    """Give the number in an event's id, whatever its letter."""
    return int(event_id[1:])


def expected(flows: Sequence[Flow], events: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Give (event id, flow name) of everything that must match, one condition at a time."""
    by_place: dict[tuple[str, str], list[Flow]] = {}
    for flow in flows:
        by_place.setdefault((flow.tenant, flow.event), []).append(flow)
    return {
        (event["id"], flow.name)
        for event in events
        for tenant in (event["tenant"], ALL)
        for flow in by_place.get((tenant, event["type"]), ())
        if flow.fits(event["data"]["deal"])
    }


def _places(size: Size) -> Iterator[tuple[int, str, str]]:
    """Give a number, a tenant and an event type for each flow; the flows of one pair follow each other."""
    names, types, per_pair = tenants(size.tenants), event_types(size.types), size.flows_per_pair
    for index in range(size.flows):
        pair = index // per_pair
        yield index, names[pair // size.types % size.tenants], types[pair % size.types]


def _rare(index: int, tenant: str, event: str, share: float) -> Flow:
    """Give one flow that matches `share` of the events of its tenant and type, in one of three shapes."""
    region, stage = REGIONS[index % len(REGIONS)], STAGES[index % len(STAGES)]
    shapes: tuple[tuple[float, tuple[Condition, ...]], ...] = (
        (1.0, ()),
        (1 / len(REGIONS), (("region", "==", region),)),
        (1 - 1 / len(STAGES), (("stage", "!=", stage),)),
    )
    kept, more = shapes[index % len(shapes)]
    least = round(VALUE_END * (1 - min(1.0, share / kept)))
    return Flow(f"rare_{index:05d}", tenant, event, (("value", ">=", least), *more))
