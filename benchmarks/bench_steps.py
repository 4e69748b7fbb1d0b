"""How many durable four-step executions a second? Each waits for an event, branches, delays, and issues two commands.

An execution starts by `order.placed`, waits for its `payment.received` (found by the order's number among all that wait), takes
an arm by what was paid, waits 50 ms, and issues two commands. Both events lie in the log as Avro; one engine process does the
rest, every turn a FULL commit. The clock stops when the last command is seen in the log by another process. The peer is DBOS: one
durable workflow of the same steps, its event sent as a message; DBOS commits each step, Millrace each turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.home import Frames, Home
from benchmarks.measure import Options, Spread, finish, parse_options, run_peer, scratch, significant
from benchmarks.running import Commands, running, wait_commands
from benchmarks.workload import SOURCE, TOPIC, Size, tenants
from schemas.topics import INGRESS_FILE

EXECUTIONS: Final = 50_000
TINY_EXECUTIONS: Final = 500
PEER_WORKFLOWS: Final = 1_000
BLOCK: Final = 5_000  # so many orders are placed before the first of them is paid
COMMANDS_EACH: Final = 2
FULL: Final = Size(flows=500, tenants=500, types=2)
TINY: Final = Size(flows=5, tenants=5, types=2)


def contracts() -> list[dict[str, Any]]:
    """Write the contracts of the two event types."""
    return [
        {"event": "order.placed", "topic": TOPIC, "fields": {"order": {"id": "string", "total": "int"}}},
        {"event": "payment.received", "topic": TOPIC, "fields": {"payment": {"order": "string", "amount": "int"}}},
    ]


def flow(tenant: str) -> dict[str, Any]:
    """Write the flow of one tenant."""
    ship = {"action": "ship_order", "as": "ship", "with": {"order": "{{ order.id }}"}}
    tell = {"action": "send_email", "as": "tell", "with": {"order": "{{ order.id }}", "amount": "{{ received.payment.amount }}"}}
    hold = {"action": "hold_order", "as": "hold", "with": {"order": "{{ order.id }}"}}
    owe = {"action": "send_reminder", "as": "owe", "with": {"order": "{{ order.id }}"}}
    paid = {"when": "received.payment.amount >= order.total", "then": [{"delay": "50ms"}, ship, tell]}
    wait = {
        "wait": "payment.received",
        "as": "received",
        "correlate": "received.payment.order == order.id",
        "timeout": "7d",
        "on_timeout": "fail",
    }
    branch = {"branch": [paid], "else": [{"delay": "50ms"}, hold, owe]}
    return {"flow": f"pay_{tenant}", "tenant": tenant, "trigger": {"event": "order.placed"}, "steps": [wait, branch]}


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders and their payments, numbered from `first`; every third is paid too little."""

    size: Size
    first: int
    count: int

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Give the events in order: a block of orders, then their payments."""
        names = tenants(self.size.tenants)
        now_us = time.time_ns() // 1000
        for start in range(self.first, self.first + self.count, BLOCK):
            block = range(start, min(start + BLOCK, self.first + self.count))
            for number in block:
                yield _event(names, number, now_us, "order.placed", {"order": {"id": f"o{number}", "total": 100}})
            for number in block:
                amount = 50 if number % 3 == 0 else 100
                yield _event(names, number, now_us, "payment.received", {"payment": {"order": f"o{number}", "amount": amount}})


def _event(names: Sequence[str], number: int, now_us: int, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"e{number}-{kind}",
        "source": SOURCE,
        "type": kind,
        "subject": None,
        "time": now_us,
        "tenant": names[number % len(names)],
        "data": data,
    }


def measure(size: Size, count: int, runs: int) -> tuple[Spread, float]:
    """Give the executions a second of each run, and the engine's peak memory in MB. The first run warms up."""
    with scratch() as folder, Home(Path(folder), size, contracts()) as home:
        home.deploy_documents([flow(tenant) for tenant in tenants(size.tenants)])
        rates = []
        with running(home.path, "engine") as roles:
            commands = Commands(home.path)
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            for run in range(runs + 1):
                frames: Frames = home.encode_rows(Orders(size, run * count, count).rows())
                started_s = home.append(frames)
                ended_s = wait_commands(roles, commands, (run + 1) * count * COMMANDS_EACH)
                rates.append(count / (ended_s - started_s))
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            commands.poll()
            if commands.count != count * COMMANDS_EACH * len(rates):
                raise AssertionError(f"{commands.count} commands, {count * COMMANDS_EACH * len(rates)} expected")
            peak_mb = roles.peak_mb("engine")
            commands.close()
    return Spread(tuple(rates[1:])), peak_mb


def figures(options: Options, size: Size, count: int) -> dict[str, Any]:
    """Measure, and give what the line says."""
    rate, peak_mb = measure(size, count, options.runs)
    asked = ("--flow", "four", "--workflows", str(20 if options.tiny else PEER_WORKFLOWS))
    peer = run_peer("dbos_peer", *asked) if options.peers else {}
    return {
        "executions_per_s": significant(rate.median),
        "times_dbos": significant(rate.median / peer["workflows_per_s"]) if peer else None,
        "p50_ms": None,
        "p99_ms": None,
        "peak_mb": round(peak_mb),
        "spread": {"executions_per_s": rate.line()},
        "peers": {f"dbos_{name}": significant(value) for name, value in peer.items() if value is not None},
    }


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size, count = (TINY, TINY_EXECUTIONS) if options.tiny else (FULL, EXECUTIONS)
    workload = {"tenants": size.tenants, "executions": count, "steps": 4, "block": BLOCK}
    finish("steps", options, workload, figures(options, size, count))


if __name__ == "__main__":
    main()
