"""Does a tenant that bursts make the others wait? Nineteen quiet tenants, and one whose events come 100 to 1, a second's at once.

Each quiet tenant appends 100 events a second on a fixed schedule, first alone, then beside the loud one, which appends 10,000 at
once every second. A quiet event counts from the moment at which it was due to the moment at which its command is seen in the log;
p50 and p99 are those beside the loud tenant.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import workload
from benchmarks.home import Frames, Home
from benchmarks.measure import Options, Spread, finish, parse_options, quantile, scratch
from benchmarks.running import Roles, Watch, running
from benchmarks.workload import Events, Size
from schemas.topics import INGRESS_FILE

TENANTS: Final = 20
QUIET_RATE: Final = 100  # events a second of each quiet tenant
LOUDER: Final = 100
SECONDS: Final = 5
BEATS: Final = 100  # appends a second
LOUD: Final = 0
FULL: Final = Size(flows=10_000, tenants=TENANTS, types=10)
TINY: Final = Size(flows=400, tenants=TENANTS, types=4)


@dataclass(slots=True)
class Found:
    """The quiet tenants' latencies in ms, a list a run: alone, and beside the loud one."""

    alone: list[list[float]] = field(default_factory=list)
    beside: list[list[float]] = field(default_factory=list)
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one run appends: beats of quiet events, and before each second's first beat a burst (or none)."""

    beats: list[Frames]
    bursts: list[Frames]


def quiet_events(size: Size, count: int, seed: int) -> Events:
    """Draw events of all tenants but the loud one."""
    drawn = workload.draw(size, count, seed)
    return replace(drawn, tenant=1 + drawn.tenant % (size.tenants - 1))


def loud_events(size: Size, count: int, seed: int, first: int) -> Events:
    """Draw events of the loud tenant."""
    drawn = workload.draw(size, count, seed + 1, first)
    return replace(drawn, tenant=np.full(count, LOUD))


def send(home: Home, roles: Roles, load: Load) -> list[float]:
    """Append on schedule; give the time in seconds at which each quiet event was due."""
    due_s: list[float] = []
    started_s = time.monotonic() + 1 / BEATS
    for number, beat in enumerate(load.beats):
        at_s = started_s + number / BEATS
        time.sleep(max(0.0, at_s - time.monotonic()))
        if number % BEATS == 0 and load.bursts:
            home.append(load.bursts[number // BEATS])
        home.append(beat)
        due_s += [at_s] * len(beat)
        if number % 20 == 0:
            roles.look()
    return due_s


def measure(size: Size, seconds: int, options: Options) -> Found:
    """Run by turns without and with the loud tenant. The first run of each warms up and is not given."""
    each = QUIET_RATE * (size.tenants - 1) // BEATS
    with scratch() as folder, Home(Path(folder), size) as home:
        home.deploy(workload.partition_flows(size))
        count, burst = each * BEATS * seconds, QUIET_RATE * LOUDER
        quiet = home.encode(quiet_events(size, count, options.seed))
        loud = home.encode(loud_events(size, burst * seconds, options.seed, first=count))
        found = Found()
        with running(home.path, "engine") as roles, Watch(home.path).on() as watch:
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            for run in range(2 * (options.runs + 1)):
                bursts = [loud[at : at + burst] for at in range(0, len(loud), burst)] if run % 2 else []
                load = Load(
                    [home.renamed(quiet[at : at + each], run) for at in range(0, count, each)],
                    [home.renamed(one, run) for one in bursts],
                )
                before, wanted = len(watch.arrivals), count + sum(map(len, load.bursts))
                due_s = send(home, roles, load)
                roles.wait(lambda: len(watch.arrivals) >= before + wanted, "all commands")  # noqa: B023 - used at once
                latencies = _latencies(watch.arrivals[before:], due_s)
                (found.beside if bursts else found.alone).append(latencies)
            found.peak_mb = roles.peak_mb("engine")
    return Found(found.alone[1:], found.beside[1:], found.peak_mb)


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size, seconds = (TINY, 1) if options.tiny else (FULL, SECONDS)
    found = measure(size, seconds, options)
    alone, beside = ([quantile(run, 0.99) for run in runs] for runs in (found.alone, found.beside))
    ratios = Spread(tuple(loud / quiet for quiet, loud in zip(alone, beside, strict=True)))
    figures = {
        "quiet_p99_ratio": round(ratios.median, 2),
        "alone_p99_ms": round(Spread(tuple(alone)).median, 2),
        "p50_ms": round(Spread(tuple(quantile(run, 0.5) for run in found.beside)).median, 2),
        "p99_ms": round(Spread(tuple(beside)).median, 2),
        "peak_mb": round(found.peak_mb),
        "spread": {"quiet_p99_ratio": ratios.line()},
    }
    shape = {"flows": size.flows, "quiet_tenants": size.tenants - 1, "quiet_rate": QUIET_RATE, "burst": QUIET_RATE * LOUDER}
    finish("fairness", options, {**shape, "seconds": seconds}, figures)


def _latencies(arrivals: list[tuple[float, str, str]], due_s: list[float]) -> list[float]:
    """Give the quiet events' latencies in milliseconds; each must have arrived once."""
    seen = {index: seen_s for seen_s, event, _ in arrivals if (index := workload.index_of(event)) < len(due_s)}
    if len(seen) != len(due_s):
        raise AssertionError(f"{len(seen)} commands for {len(due_s)} quiet events")
    return [(seen[index] - at_s) * 1000 for index, at_s in enumerate(due_s)]


if __name__ == "__main__":
    main()
