"""How many durable automations a second? Each event matches one of 10,000 flows and its action is committed (FULL sync).

Avro frames lie in the log of the server's file; one engine process decodes, drops duplicates, matches, advances and commits
state, timers, history and commands. The clock stops when the last command is seen in the log by another process. The peer is
DBOS: one durable one-step workflow an event. DBOS commits each step, Millrace each turn; bench_latency says what that costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks import workload
from benchmarks.home import Home
from benchmarks.measure import Options, Spread, finish, parse_options, run_peer, scratch, significant
from benchmarks.running import engine_rates
from benchmarks.workload import Size

EVENTS: Final = 100_000
TINY_EVENTS: Final = 1_000
PEER_WORKFLOWS: Final = 2_000


def measure(size: Size, count: int, options: Options) -> tuple[Spread, float]:
    """Give the automations a second of each run, and the engine's peak memory in MB. The first run warms up."""
    with scratch() as folder, Home(Path(folder), size) as home:
        home.deploy(workload.partition_flows(size))
        frames = home.encode(workload.draw(size, count, options.seed))
        return engine_rates(home, frames, count, options)


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size = workload.TINY if options.tiny else workload.FULL
    count = TINY_EVENTS if options.tiny else EVENTS
    rate, peak_mb = measure(size, count, options)
    peer = run_peer("dbos_peer", "--workflows", str(20 if options.tiny else PEER_WORKFLOWS)) if options.peers else {}
    figures = {
        "automations_per_s": significant(rate.median),
        "times_dbos": significant(rate.median / peer["workflows_per_s"]) if peer else None,
        "p50_ms": None,
        "p99_ms": None,
        "peak_mb": round(peak_mb),
        "spread": {"automations_per_s": rate.line()},
        "peers": {f"dbos_{name}": significant(value) for name, value in peer.items() if value is not None},
    }
    finish("automations", options, {"flows": size.flows, "tenants": size.tenants, "events": count}, figures)


if __name__ == "__main__":
    main()
