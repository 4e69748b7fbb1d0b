"""GoRules ZEN over the same conditions: the static loader, one decision a tenant and event type, `evaluate_batch`.

This is its fastest documented way in Python: decisions are compiled once by the loader, a batch crosses into Rust once, and
each event is sent only to the decision of its own tenant and type. It gets decoded records and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import zen

from benchmarks import workload
from benchmarks.workload import Condition, Flow, Size

BATCH: Final = 1_000


def decision(flows: Sequence[Flow]) -> dict[str, Any]:
    """Write the flows of one tenant and event type as a decision table that collects the names of all that fit."""
    inputs = [{"id": "when", "name": "when"}]
    outputs = [{"id": "flow", "name": "flow", "field": "flow"}]
    rules = [{"_id": flow.name, "when": _expression(flow.conditions), "flow": json.dumps(flow.name)} for flow in flows]
    content = {"hitPolicy": "collect", "inputs": inputs, "outputs": outputs, "rules": rules}
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode"},
        {"id": "table", "name": "table", "type": "decisionTableNode", "content": content},
        {"id": "out", "name": "out", "type": "outputNode"},
    ]
    edges = [{"id": f"{a}-{b}", "type": "edge", "sourceId": a, "targetId": b} for a, b in (("in", "table"), ("table", "out"))]
    return {"contentType": "application/vnd.gorules.decision", "nodes": nodes, "edges": edges}


def engine_for(flows: Sequence[Flow]) -> zen.ZenEngine:
    """Load all decisions at once."""
    by_place: dict[str, list[Flow]] = {}
    for flow in flows:
        by_place.setdefault(f"{flow.tenant}/{flow.event}", []).append(flow)
    content = {place: decision(listed) for place, listed in by_place.items()}
    return zen.ZenEngine({"loader": {"type": "static", "content": content}})


def evaluate(engine: zen.ZenEngine, events: Sequence[Mapping[str, Any]], batch: int = BATCH) -> list[tuple[str, str]]:
    """Give (event id, flow name) of all that fit."""
    found = []
    for start in range(0, len(events), batch):
        part = events[start : start + batch]
        answers = engine.evaluate_batch([{"key": f"{e['tenant']}/{e['type']}", "context": e["data"]["deal"]} for e in part])
        for event, answer in zip(part, answers, strict=True):
            if not answer["success"]:
                raise RuntimeError(f"zen: {answer['error']}")
            found += [(event["id"], hit["flow"]) for hit in answer["data"]["result"]]
    return found


def measure(size: Size, share: float, count: int, seed: int) -> dict[str, float]:
    """Give events a second, the best of several batch sizes."""
    flows = workload.rare_flows(size, share)
    events = list(workload.draw(size, count, seed).rows(size))
    engine = engine_for(flows)
    if set(evaluate(engine, events)) != workload.expected(flows, events):  # warms up, too
        raise AssertionError("zen found other flows than the conditions say")
    rates = []
    for batch in (100, BATCH, 10_000):
        started = time.perf_counter()
        evaluate(engine, events, batch)
        rates.append(len(events) / (time.perf_counter() - started))
    return {"events_per_s": max(rates)}


def _expression(conditions: Sequence[Condition]) -> str:
    """Write conditions in ZEN's language, which spells these operators as we do."""
    return " and ".join(f"{field} {operator} {json.dumps(value)}" for field, operator, value in conditions)


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("flows", 10_000), ("tenants", 500), ("types", 10), ("events", 100_000), ("seed", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--share", type=float, default=0.01)
    asked = parser.parse_args()
    print(json.dumps(measure(Size(asked.flows, asked.tenants, asked.types), asked.share, asked.events, asked.seed)))


if __name__ == "__main__":
    main()
