"""Bytewax's own window operators over the same events: a count and a sum of each key over an hour.

Its sliding windows move by a fixed offset: here half an hour, so each event lies in two, where ours has one that ends at each
event. That is the least it can do. Items are made before the clock starts; nothing is decoded, matched or kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bytewax.operators as op
import bytewax.operators.windowing as win
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

HOUR: Final = timedelta(hours=1)
BATCH: Final = 4_096
Item = tuple[str, tuple[datetime, float]]


def items_of(keys: int, count: int, seed: int) -> list[Item]:
    """Draw events: a million an hour, evenly over the keys."""
    rng = np.random.default_rng(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    drawn = zip(rng.integers(0, keys, count).tolist(), rng.integers(1, 200, count).tolist(), strict=True)
    return [(f"c{key}", (start + timedelta(microseconds=3_600 * at), float(total))) for at, (key, total) in enumerate(drawn)]


def measure(items: Sequence[Item]) -> float:
    """Give the items a second of one run."""
    flow = Dataflow("windows")
    found: list[Any] = []
    stream = op.input("in", flow, TestingSource(items, batch_size=BATCH))
    clock: win.EventClock[tuple[datetime, float]] = win.EventClock(lambda value: value[0], wait_for_system_duration=timedelta(0))
    windower = win.SlidingWindower(length=HOUR, offset=HOUR / 2, align_to=datetime(2026, 1, 1, tzinfo=UTC))

    def add(state: tuple[int, float], value: tuple[datetime, float]) -> tuple[int, float]:
        return state[0] + 1, state[1] + value[1]

    def merge(one: tuple[int, float], two: tuple[int, float]) -> tuple[int, float]:
        return one[0] + two[0], one[1] + two[1]

    windowed = win.fold_window("fold", stream, clock, windower, lambda: (0, 0.0), add, merge)
    op.output("out", windowed.down, TestingSink(found))
    started_s = time.perf_counter()
    run_main(flow)  # type: ignore[no-untyped-call]
    seconds = time.perf_counter() - started_s
    counted = sum(count for _, (_, (count, _)) in found)
    if counted < len(items):
        raise AssertionError(f"{counted} of {len(items)} events are in some window")
    return len(items) / seconds


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("keys", 100_000), ("events", 100_000), ("seed", 7), ("runs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    items = items_of(asked.keys, asked.events, asked.seed)
    rates = sorted(measure(items) for _ in range(asked.runs))
    print(json.dumps({"events_per_s": rates[-1]}))


if __name__ == "__main__":
    main()
