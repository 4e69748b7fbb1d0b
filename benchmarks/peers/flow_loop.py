"""The naive peer: plain Python that asks one flow after the other, in the two ways people write it.

`scan`: every flow looks at every event, as engines with one consumer a flow do. `indexed`: flows are found by tenant and event
type first. Both get decoded records for free; neither reads a log, drops duplicates or keeps anything.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks import workload
from benchmarks.workload import Flow, Size

SCAN_EVENTS: Final = 300  # a scan of 10,000 flows takes about a millisecond an event

Deal = Mapping[str, Any]


def scan(flows: Sequence[Flow], events: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Ask every flow about every event."""
    return [
        (event["id"], flow.name)
        for event in events
        for flow in flows
        if flow.tenant == event["tenant"] and flow.event == event["type"] and flow.fits(event["data"]["deal"])
    ]


def indexed(flows: Sequence[Flow], events: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Ask only the flows of the event's tenant and type; each condition is one compiled Python function."""
    by_place: dict[tuple[str, str], list[tuple[str, Callable[[Deal], bool]]]] = {}
    for flow in flows:
        by_place.setdefault((flow.tenant, flow.event), []).append((flow.name, _compiled(flow)))
    return [
        (event["id"], name)
        for event in events
        for name, fits in by_place.get((event["tenant"], event["type"]), ())
        if fits(event["data"]["deal"])
    ]


def measure(size: Size, share: float, count: int, seed: int) -> dict[str, float]:
    """Give events a second of both ways, over the same flows and the same kind of events."""
    flows = workload.rare_flows(size, share)
    events = list(workload.draw(size, count, seed).rows(size))
    few = events[:SCAN_EVENTS]
    rates = {}
    for name, way, batch in (("scan", scan, few), ("indexed", indexed, events)):
        started = time.perf_counter()
        found = way(flows, batch)
        rates[f"{name}_events_per_s"] = len(batch) / (time.perf_counter() - started)
        if set(found) != workload.expected(flows, batch):
            raise AssertionError(f"{name} found other flows than the conditions say")
    return rates


def _compiled(flow: Flow) -> Callable[[Deal], bool]:
    """Write the conditions as one Python expression, as a code generator would."""
    terms = [f"deal[{field!r}] {operator} {value!r}" for field, operator, value in flow.conditions]
    function: Callable[[Deal], bool] = eval(f"lambda deal: {' and '.join(terms)}")
    return function


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("flows", 10_000), ("tenants", 500), ("types", 10), ("events", 100_000), ("seed", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--share", type=float, default=0.01)
    asked = parser.parse_args()
    size = Size(asked.flows, asked.tenants, asked.types)
    print(json.dumps(measure(size, asked.share, asked.events, asked.seed)))


if __name__ == "__main__":
    main()
