"""How punctual are 100,000 schedules? Cron expressions in 30 zones, of which every minute some 15,000 come due.

One engine process under the wall clock. Each schedule has a jitter within the minute, as the language offers it, so that work
comes evenly; the error of a slot is from its time with that jitter until its command is seen in the log by another process.
`preview_ms` is what listing a year of the densest expression there is takes, 525,600 slots.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import workload
from benchmarks.home import Home
from benchmarks.measure import Options, finish, parse_options, quantile, repeat, scratch, significant
from benchmarks.running import Roles, running
from infra.file_reader import FileReader
from operators.schedules.schedule import jitter_us, slots_between
from schemas.topics import ACTIONS_PREFIX, INGRESS_FILE, engine_file

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
YEAR_US: Final = 365 * 86_400 * SECOND_US
EVERY: Final = 7  # minutes between two slots of one schedule
ZONES: Final = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Madrid",
    "Europe/Paris",
    "Europe/Rome",
    "Europe/Warsaw",
    "Europe/Athens",
    "Europe/Lisbon",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "America/Bogota",
    "America/Toronto",
    "America/Mexico_City",
    "Asia/Tokyo",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Kolkata",
    "Asia/Dubai",
    "Asia/Kathmandu",
    "Asia/Seoul",
    "Australia/Sydney",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Africa/Cairo",
    "Africa/Lagos",
)


@dataclass(frozen=True, slots=True)
class Load:
    """How many schedules there are, and how many minutes are measured."""

    flows: int
    tenants: int
    zones: int
    minutes: int
    every: int = EVERY
    jitter: str = "1m"
    jitter_us: int = MINUTE_US

    @property
    def schedules(self) -> int:
        """Give how many schedules that makes."""
        return self.flows * self.tenants * self.zones


class Ran(msgspec.Struct, frozen=True):
    """What a command says of the slot that caused it."""

    tenant: str
    flow: str
    causationid: str  # the slot
    data: Any  # its parameters


def documents(load: Load) -> Iterator[dict[str, Any]]:
    """Give the flows: each for all tenants of the load, in all its zones."""
    names = list(workload.tenants(load.tenants))
    for index in range(load.flows):
        minutes = "*" if load.every == 1 else f"{index % load.every}-59/{load.every}"
        trigger = {"schedule": f"{minutes} * * * *", "zone": list(ZONES[: load.zones]), "jitter": load.jitter, "overlap": "allow"}
        step = {"action": "sweep", "with": {"zone": "{{ schedule.zone }}", "slot": "{{ schedule.slot }}"}}
        yield {"flow": f"sweep_{index:03d}", "tenant": names, "trigger": trigger, "steps": [step]}


def errors_ms(home: Home, roles: Roles, load: Load) -> list[float]:
    """Watch commands come for some minutes; give the error of each in ms."""
    started_us = time.time_ns() // 1000
    first_us = (started_us // MINUTE_US + (2 if load.every > 1 else 1)) * MINUTE_US  # the first whole minute
    until_us = first_us + load.minutes * MINUTE_US
    if load.every == 1:
        until_us = first_us + 3 * SECOND_US  # tiny: some are enough
    decoder = msgspec.json.Decoder(Ran)
    reader = FileReader(home.path / engine_file(0), lambda topic: topic.startswith(ACTIONS_PREFIX), {})
    found = []
    while (now_us := time.time_ns() // 1000) < until_us + SECOND_US:
        chunks = reader.poll(50_000)
        for chunk in chunks:
            for record in chunk.records:
                due_us = _due_us(decoder.decode(record), load)
                if first_us <= due_us < until_us:
                    found.append((now_us - due_us) / 1000)
        roles.look()
        if not chunks:
            time.sleep(0.001)
    reader.close()
    return found


def _due_us(ran: Ran, load: Load) -> int:
    zone = ran.data["zone"]
    at = time.strptime(ran.data["slot"][:16], "%Y-%m-%dT%H:%M")
    slot_us = (int(time.mktime(at)) - time.timezone) * SECOND_US
    return slot_us + jitter_us((ran.tenant, ran.flow, "", zone), load.jitter_us)


def preview_ms() -> float:
    """List a year of slots."""
    started_s = time.perf_counter()
    found = slots_between("* * * * *", "America/New_York", 1_767_225_600 * SECOND_US, 1_767_225_600 * SECOND_US + YEAR_US)
    if len(found) != YEAR_US // MINUTE_US:
        raise AssertionError(f"{len(found)} slots in a year")
    return (time.perf_counter() - started_s) * 1000


def measure(load: Load, options: Options) -> dict[str, Any]:
    """Deploy all, start the engine, watch."""
    with scratch() as folder, Home(Path(folder), workload.TINY) as home:
        home.deploy_documents([{"action": "sweep", "params": {"zone": "string", "slot": "timestamp"}}, *documents(load)])
        started_s = time.monotonic()
        with running(home.path, "engine") as roles:
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            ready_s = time.monotonic() - started_s
            found = errors_ms(home, roles, load)
            peak_mb = roles.peak_mb("engine")
    preview = repeat(preview_ms, options.runs)
    if not found:
        raise AssertionError("no slot came due")
    return {
        "error_p99_ms": round(quantile(found, 0.99), 2),
        "preview_ms": round(preview.median, 1),
        "slots_per_minute": round(len(found) / load.minutes),
        "ready_s": round(ready_s, 2),
        "p50_ms": round(quantile(found, 0.5), 2),
        "p99_ms": round(quantile(found, 0.99), 2),
        "max_ms": round(max(found), 2),
        "peak_mb": round(peak_mb),
        "spread": {"preview_ms": {key: significant(value) for key, value in preview.line().items()}},
    }


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    load = Load(2, 2, 3, 1, 1, "1s", SECOND_US) if options.tiny else Load(112, 30, 30, 3)
    finish(
        "schedules", options, {"schedules": load.schedules, "zones": load.zones, "minutes": load.minutes}, measure(load, options)
    )


if __name__ == "__main__":
    main()
