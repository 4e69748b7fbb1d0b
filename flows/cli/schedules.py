"""`millrace schedules`: which slots flows have, and when they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from flows.cli.home import must_exist
from flows.cli.saying import time_of
from flows.cli.terminal import Terminal
from flows.settings import load_settings
from flows.versions.programs import deployed_programs
from infra.clock import SystemClock
from operators.schedules.schedule import local_us_of, next_slot, slots_between
from schemas.errors import InvalidInput
from schemas.expression.literals import print_duration, print_timestamp
from schemas.program import Schedule

YEAR_US: Final = 366 * 86_400_000_000
LISTED: Final = ("flow", "tenant", "trigger", "schedule", "zone", "missed", "overlap", "jitter", "next", "next_local")
PREVIEWED: Final = ("at", "zone", "local", "fold", "flow", "trigger")


class _Run(NamedTuple):
    """One schedule of one flow in one zone."""

    tenant: str
    flow: str
    schedule: Schedule
    zone: str


def list_schedules(terminal: Terminal, *, tenant: str | None, home: Path | None) -> int:
    """List the schedules in force, each zone for itself, with its next slot."""
    settings = load_settings(home=home, tenant=tenant)
    now_us = SystemClock().now_us()
    terminal.rows([_listed(run, now_us) for run in _runs(must_exist(settings.home), settings.tenant)], LISTED)
    return 0


def preview(terminal: Terminal, *, flow: str, count: int, since: str | None, tenant: str | None, home: Path | None) -> int:
    """Show the next slots of a flow, over all its zones. Raises InvalidInput for a flow without a schedule."""
    settings = load_settings(home=home, tenant=tenant)
    runs = [run for run in _runs(must_exist(settings.home), settings.tenant) if run.flow == flow]
    if not runs:
        known = ", ".join(sorted({run.flow for run in _runs(settings.home, settings.tenant)})) or "none"
        raise InvalidInput(f"no flow '{flow}' with a schedule is in force; there are: {known}")
    after_us = SystemClock().now_us() if since is None else time_of(since, "--from")
    rows = [row for run in runs for row in _slots(run, after_us, count)]
    rows.sort(key=lambda row: (row["at"], row["zone"]))
    terminal.rows(rows[:count], PREVIEWED)
    return 0


def _runs(home: Path, tenant: str | None) -> Iterator[_Run]:
    for deployed in deployed_programs(home):
        if tenant is not None and deployed.tenant not in (tenant, "*"):
            continue
        for trigger in deployed.programs[-1].triggers:  # slots have no entity: they stay with the version of the rest
            if isinstance(trigger, Schedule):
                for zone in trigger.zones:
                    yield _Run(deployed.tenant, deployed.flow, trigger, zone)


def _listed(run: _Run, now_us: int) -> Mapping[str, Any]:
    following = next_slot(run.schedule.cron, run.zone, now_us)
    return {
        "flow": run.flow,
        "tenant": run.tenant,
        "trigger": run.schedule.name,
        "schedule": run.schedule.cron,
        "zone": run.zone,
        "missed": run.schedule.missed,
        "overlap": run.schedule.overlap,
        "jitter": print_duration(run.schedule.jitter_us),
        "next": None if following is None else print_timestamp(following.at_us),
        "next_local": None if following is None else following.local,
    }


def _slots(run: _Run, after_us: int, count: int) -> Iterator[dict[str, Any]]:
    for slot in slots_between(run.schedule.cron, run.zone, after_us, after_us + 10 * YEAR_US, count):
        shown = slot.local if local_us_of(slot.at_us, run.zone)[0] == slot.local_us else f"{slot.local} (does not exist)"
        yield {
            "at": print_timestamp(slot.at_us),
            "zone": run.zone,
            "local": shown,
            "fold": slot.fold,
            "flow": run.flow,
            "trigger": run.schedule.name,
        }
