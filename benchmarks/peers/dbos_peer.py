"""DBOS running one durable workflow an event, of one step or of four: a batch through `DBOS.start_workflow`, then all results.

SQLite, and Postgres where the Debian package is installed; log level ERROR, tracing off, and the best of several sizes of its
thread pool. A step returns what our action would carry; with `--flow four` a workflow waits for a message, branches, sleeps, and
takes two steps. DBOS commits each step, Millrace each turn: say so beside the figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from dbos import DBOS, DBOSConfig

from benchmarks import workload
from benchmarks.measure import ROOT
from benchmarks.peers import postgres

THREADS: Final = (8, 32)
WARM_UP: Final = 20
RECEIVE_S: Final = 60
DELAY_S: Final = 0.05
PRICE: Final = 100


class Work(NamedTuple):
    """What is to be run."""

    flow: str
    workflows: int
    seed: int


@DBOS.step()
def create_task(event: dict[str, Any]) -> dict[str, Any]:
    """Make the action's record."""
    return {"type": "create_task", "tenant": event["tenant"], "title": "Call the customer", "deal": event["data"]["deal"]["id"]}


@DBOS.workflow()
def automation(event: dict[str, Any]) -> dict[str, Any]:
    """Run the one step."""
    return dict(create_task(event))


@DBOS.workflow()
def four_steps(event: dict[str, Any]) -> dict[str, Any]:
    """Wait for what was paid, branch, wait, and take two steps."""
    paid = DBOS.recv(timeout_seconds=RECEIVE_S)
    DBOS.sleep(DELAY_S)
    first = dict(create_task(event))
    return first if paid is None or paid["amount"] < PRICE else dict(create_task(event))


def run_batch(events: list[dict[str, Any]], flow: str) -> float:
    """Start a workflow for each event, wait for all, and give workflows a second."""
    started = time.perf_counter()
    handles = [DBOS.start_workflow(FLOWS[flow], event) for event in events]
    if flow == "four":
        for handle in handles:
            DBOS.send(handle.get_workflow_id(), {"amount": PRICE})
    answers = [handle.get_result() for handle in handles]
    seconds = time.perf_counter() - started
    if [answer["deal"] for answer in answers] != [event["data"]["deal"]["id"] for event in events]:
        raise AssertionError("DBOS gave other results than the step makes")
    return len(events) / seconds


FLOWS: Final = {"one": automation, "four": four_steps}


def measure_here(url: str, threads: int, work: Work) -> float:
    """Run DBOS in this process; it can be configured once."""
    config: DBOSConfig = {
        "name": "millrace-bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "enable_otlp": False,
        "max_executor_threads": threads,
        "sys_db_pool_size": max(20, threads),
    }
    DBOS(config=config)
    DBOS.launch()
    events = list(workload.draw(workload.TINY, work.workflows + WARM_UP, work.seed).rows(workload.TINY))
    run_batch(events[:WARM_UP], work.flow)
    rate = run_batch(events[WARM_UP:], work.flow)
    DBOS.destroy()
    return rate


def measure(url: str, work: Work) -> float:
    """Give workflows a second, the best over the sizes of the thread pool, each in a process of its own."""
    rates = []
    for threads in THREADS:
        place = ["--url", url.format(threads=threads), "--threads", str(threads)]
        asked = ["--workflows", str(work.workflows), "--seed", str(work.seed), "--flow", work.flow]
        command = [sys.executable, "-m", "benchmarks.peers.dbos_peer", *place, *asked]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"DBOS failed with {url}: {done.stderr[-3000:]}")
        rates.append(float(json.loads(done.stdout.strip().splitlines()[-1])["workflows_per_s"]))
    return max(rates)


def main() -> None:
    """Measure one configuration (--url), or all there are, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="one database, measured in this process")
    parser.add_argument("--threads", type=int, default=THREADS[0])
    parser.add_argument("--workflows", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--flow", choices=sorted(FLOWS), default="one")
    asked = parser.parse_args()
    work = Work(asked.flow, asked.workflows, asked.seed)
    if asked.url:
        print(json.dumps({"workflows_per_s": measure_here(asked.url, asked.threads, work)}))
        return
    rates: dict[str, float | None] = {"sqlite_per_s": None, "postgres_per_s": None}
    with tempfile.TemporaryDirectory(prefix="millrace-dbos-") as folder:
        rates["sqlite_per_s"] = measure(f"sqlite:///{Path(folder)}/dbos{{threads}}.sqlite", work)
    programs = postgres.find_programs()
    if programs:
        with postgres.server(programs) as url:
            rates["postgres_per_s"] = measure(url, work)
    best = max(rate for rate in rates.values() if rate is not None)
    print(json.dumps({**rates, "workflows_per_s": best}))


if __name__ == "__main__":
    main()
