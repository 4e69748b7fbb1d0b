"""How long from the append of an event to its committed action? Open loop at 2,000 events a second, 10,000 flows.

Events are appended on a fixed schedule whatever the engine does. Each counts from the moment at which it was due to be appended
(so a slow append counts too) to the moment at which another process sees its command in the log.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import workload
from benchmarks.home import Frames, Home
from benchmarks.measure import Options, Spread, finish, parse_options, quantile, scratch
from benchmarks.running import Roles, Watch, running
from benchmarks.workload import Size
from schemas.topics import INGRESS_FILE

RATE: Final = 2_000
SECONDS: Final = 10
BEAT_S: Final = 0.005  # ten events are appended together


def send(home: Home, roles: Roles, frames: Frames, rate: int) -> list[float]:
    """Append on schedule; give the time in seconds at which each event was due."""
    each = max(1, round(rate * BEAT_S))
    due_s: list[float] = []
    started_s = time.monotonic() + BEAT_S
    for number, start in enumerate(range(0, len(frames), each)):
        at_s = started_s + number * each / rate
        time.sleep(max(0.0, at_s - time.monotonic()))
        part = frames[start : start + each]
        home.append(part)
        due_s += [at_s] * len(part)
        if number % 20 == 0:
            roles.look()
    return due_s


def measure(size: Size, count: int, options: Options) -> tuple[list[list[float]], float]:
    """Give each run's latencies in ms, and the engine's peak memory in MB. The first run warms up."""
    with scratch() as folder, Home(Path(folder), size) as home:
        home.deploy(workload.partition_flows(size))
        frames = home.encode(workload.draw(size, count, options.seed))
        runs = []
        with running(home.path, "engine") as roles, Watch(home.path).on() as watch:
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            for run in range(options.runs + 1):
                due_s = send(home, roles, home.renamed(frames, run), RATE)
                roles.wait(lambda: len(watch.arrivals) >= (run + 1) * count, "all commands")  # noqa: B023 - used at once
                runs.append(_latencies(watch.arrivals[run * count :], due_s))
            peak_mb = roles.peak_mb("engine")
    return runs[1:], peak_mb


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size = workload.TINY if options.tiny else workload.FULL
    count = RATE // 5 if options.tiny else RATE * SECONDS
    runs, peak_mb = measure(size, count, options)
    p50, p99 = (Spread(tuple(quantile(run, share) for run in runs)) for share in (0.5, 0.99))
    figures = {
        "p50_ms": round(p50.median, 2),
        "p99_ms": round(p99.median, 2),
        "max_ms": round(max(max(run) for run in runs), 2),
        "events_per_s": RATE,
        "peak_mb": round(peak_mb),
        "spread": {"p50_ms": p50.line(), "p99_ms": p99.line()},
    }
    finish("latency", options, {"flows": size.flows, "tenants": size.tenants, "events": count, "events_per_s": RATE}, figures)


def _latencies(arrivals: Sequence[tuple[float, str, str]], due_s: Sequence[float]) -> list[float]:
    """Give milliseconds an event; each must have arrived once."""
    seen = {workload.index_of(event): seen_s for seen_s, event, _ in arrivals}
    if len(seen) != len(arrivals) or len(seen) != len(due_s):
        raise AssertionError(f"{len(arrivals)} commands for {len(due_s)} events")
    return [(seen[index] - at_s) * 1000 for index, at_s in enumerate(due_s)]


if __name__ == "__main__":
    main()
