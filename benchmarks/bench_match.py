"""How fast are bytes in the log decoded and matched? 10,000 flows of 500 tenants, 1 % of the events match, dedup on.

One engine process works off Avro frames that lie in the log. The clock starts when the append has returned and stops when the
last command is seen in the log by another process; the last event of every run matches, so nothing is left behind it.
`slowdown_from_10_flows` compares with ten flows that match the same share of the same events.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import workload
from benchmarks.home import Home
from benchmarks.measure import Options, Spread, finish, parse_options, run_peer, scratch, significant
from benchmarks.running import engine_rates
from benchmarks.workload import Flow, Size

SHARE: Final = 0.01
EVENTS: Final = 400_000
TINY_EVENTS: Final = 2_000


def measure(size: Size, flows: Sequence[Flow], count: int, options: Options) -> tuple[Spread, float]:
    """Give the events a second of each run, and the engine's peak memory in MB. The first run warms up."""
    with scratch() as folder, Home(Path(folder), size) as home:
        home.deploy(flows)
        events = workload.end_with_a_match(workload.draw(size, count, options.seed))
        frames = home.encode(events)
        matches = len(workload.expected(flows, list(events.rows(size))))
        return engine_rates(home, frames, matches, options)


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size = workload.TINY if options.tiny else workload.FULL
    count = TINY_EVENTS if options.tiny else EVENTS
    many, peak_mb = measure(size, workload.rare_flows(size, SHARE), count, options)
    few, _ = measure(size, workload.few_flows(size, SHARE), count, options)
    peers = _peers(size, options) if options.peers else {}
    figures = {
        "events_per_s": significant(many.median),
        "slowdown_from_10_flows": round(few.median / many.median, 3),
        "times_per_flow_loop": _times(many.median, peers.get("scan_events_per_s")),
        "times_indexed_loop": _times(many.median, peers.get("indexed_events_per_s")),
        "times_zen": _times(many.median, peers.get("zen_events_per_s")),
        "p50_ms": None,
        "p99_ms": None,
        "peak_mb": round(peak_mb),
        "spread": {"events_per_s": many.line(), "events_per_s_10_flows": few.line()},
        "peers": {name: significant(rate) for name, rate in peers.items()},
    }
    finish("match", options, {"flows": size.flows, "tenants": size.tenants, "events": count, "share": SHARE}, figures)


def _peers(size: Size, options: Options) -> dict[str, float]:
    count = TINY_EVENTS if options.tiny else 50_000
    sizes = ["--flows", size.flows, "--tenants", size.tenants, "--types", size.types]
    arguments = [str(word) for word in (*sizes, "--events", count, "--share", SHARE, "--seed", options.seed)]
    zen = run_peer("zen_peer", *arguments)["events_per_s"]
    return {**run_peer("flow_loop", *arguments), "zen_events_per_s": zen}


def _times(ours: float, theirs: float | None) -> float | None:
    return None if theirs is None else significant(ours / theirs)


if __name__ == "__main__":
    main()
