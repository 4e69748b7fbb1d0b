"""What do a million pending delays cost? Insertion, memory, a restart, and how punctually they fire.

A million executions wait for a time weeks ahead. Then the engine is stopped and started again over its file, and 1,000 delays a
second fall due for some seconds: the error of each is from its due time to its command being seen in the log by another process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import workload
from benchmarks.home import Home
from benchmarks.measure import Options, Spread, finish, parse_options, quantile, scratch, significant
from benchmarks.running import Commands, Roles, Watch, running, wait_commands
from schemas.topics import INGRESS_FILE

EVENT: Final = "deal.parked"
CONTRACT: Final = {"event": EVENT, "fields": {"deal": {"id": "string", "due": "timestamp"}}, "topic": workload.TOPIC}
FLOW: Final = {
    "flow": "remind_later",
    "trigger": {"event": EVENT},
    "steps": [{"until": "deal.due"}, {"action": "remind", "with": {"deal": "{{ deal.id }}"}}],
}
FAR_US: Final = 30 * 86_400_000_000
DUE_PER_S: Final = 1_000
LEAD_US: Final = 8_000_000  # the delays that fall due are inserted this long before the first of them
SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """How many delays wait, in how many slices they are inserted, and how many fall due."""

    pending: int
    slices: int
    due: int


def parked(first: int, count: int, due_us: int, apart_us: int) -> Iterator[dict[str, Any]]:
    """Give events whose delays end one after the other."""
    now_us = time.time_ns() // 1000
    for index in range(first, first + count):
        deal = {"id": f"p{index}", "due": due_us + (index - first) * apart_us}
        tenant = f"tenant{index % 500:04d}"
        yield {
            "id": f"p{index}",
            "source": workload.SOURCE,
            "type": EVENT,
            "subject": deal["id"],
            "time": now_us,
            "tenant": tenant,
            "data": {"deal": deal},
        }


def insert(home: Home, roles: Roles, load: Load) -> list[float]:
    """Insert all delays; give the delays a second of each slice, from its append until it is committed."""
    rates = []
    each = load.pending // load.slices
    for number in range(load.slices):
        far_us = time.time_ns() // 1000 + FAR_US
        frames = home.encode_rows(parked(number * each, each, far_us, 1_000))
        started_s = home.append(frames)
        roles.wait_idle("engine", INGRESS_FILE, home.seq())
        rates.append(each / (time.monotonic() - started_s))
    return rates


def restart(home: Home, load: Load) -> float:
    """Start an engine over the file; give the seconds from its start until it has carried out an event that waited for it."""
    home.append(home.encode_rows(parked(load.pending, 1, 1, 0)))  # due since 1970: its command comes at once
    commands = Commands(home.path)
    started_s = time.monotonic()
    with running(home.path, "engine") as roles:
        seconds = wait_commands(roles, commands, 1) - started_s
    commands.close()
    return seconds


def fire(home: Home, roles: Roles, load: Load) -> list[float]:
    """Let delays fall due at 1,000 a second; give the error of each in ms."""
    first_us = time.time_ns() // 1000 + LEAD_US
    first = load.pending + 10
    frames = home.encode_rows(parked(first, load.due, first_us, SECOND_US // DUE_PER_S))
    offset_us = time.time_ns() // 1000 - round(time.monotonic() * SECOND_US)
    with Watch(home.path).on() as watch:
        home.append(frames)
        roles.wait_idle("engine", INGRESS_FILE, home.seq())
        if time.time_ns() // 1000 > first_us:
            raise AssertionError("the delays were inserted after the first of them fell due; raise LEAD_US")
        roles.wait(lambda: len(watch.arrivals) >= load.due + 1, "all delays fired")  # one: the command of `restart`
        seen_us = {workload.index_of(event): seen_s * SECOND_US + offset_us for seen_s, event, _ in watch.arrivals}
    apart_us = SECOND_US // DUE_PER_S
    return [(seen_us[first + number] - first_us - number * apart_us) / 1000 for number in range(load.due)]


def measure(load: Load, options: Options) -> dict[str, Any]:
    """Run it all once over one home, the restarts several times."""
    with scratch() as folder, Home(Path(folder), workload.TINY, contracts=[CONTRACT]) as home:
        home.deploy_documents([FLOW])
        with running(home.path, "engine") as roles:
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            rates = insert(home, roles, load)
            peak_mb = roles.peak_mb("engine")
        seconds = restart(home, load)
        with running(home.path, "engine") as roles:
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            errors_ms = fire(home, roles, load)
            peak_mb = max(peak_mb, roles.peak_mb("engine"))
    edge = max(1, load.slices // 10)
    first, last = (Spread(tuple(part)).median for part in (rates[1 : 1 + edge] or rates, rates[-edge:]))
    return {
        "restart_s": round(seconds, 2),
        "rss_mb": round(peak_mb),
        "error_p99_ms": round(quantile(errors_ms, 0.99), 2),
        "insert_slowdown": round(first / last, 3),
        "inserts_per_s": significant(load.pending / sum(load.pending / load.slices / rate for rate in rates)),
        "p50_ms": round(quantile(errors_ms, 0.5), 2),
        "p99_ms": round(quantile(errors_ms, 0.99), 2),
        "peak_mb": round(peak_mb),
        "spread": {"inserts_per_s": Spread(tuple(rates)).line()},
        "seed": options.seed,
    }


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    load = Load(2_000, 2, 200) if options.tiny else Load(1_000_000, 20, 20_000)
    workload_words = {"pending": load.pending, "due": load.due, "due_per_s": DUE_PER_S, "homes": 1}
    finish("timers", options, workload_words, measure(load, options))


if __name__ == "__main__":
    main()
