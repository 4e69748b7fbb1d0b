"""DBOS running one durable one-step workflow an event: a whole batch through `DBOS.start_workflow`, then all results.

SQLite, and Postgres where the Debian package is installed; log level ERROR, tracing off, and the best of several sizes of its
thread pool. The step returns what our action would carry. DBOS commits each step, Millrace each turn: say so beside the figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from dbos import DBOS, DBOSConfig

from benchmarks import workload
from benchmarks.measure import ROOT
from benchmarks.peers import postgres

THREADS: Final = (8, 32)
WARM_UP: Final = 20


@DBOS.step()
def create_task(event: dict[str, Any]) -> dict[str, Any]:
    """Make the action's record."""
    return {"type": "create_task", "tenant": event["tenant"], "title": "Call the customer", "deal": event["data"]["deal"]["id"]}


@DBOS.workflow()
def automation(event: dict[str, Any]) -> dict[str, Any]:
    """Run the one step."""
    return dict(create_task(event))


def run_batch(events: list[dict[str, Any]]) -> float:
    """Start a workflow for each event, wait for all, and give workflows a second."""
    started = time.perf_counter()
    handles = [DBOS.start_workflow(automation, event) for event in events]
    answers = [handle.get_result() for handle in handles]
    seconds = time.perf_counter() - started
    if [answer["deal"] for answer in answers] != [event["data"]["deal"]["id"] for event in events]:
        raise AssertionError("DBOS gave other results than the step makes")
    return len(events) / seconds


def measure_here(url: str, threads: int, count: int, seed: int) -> float:
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
    events = list(workload.draw(workload.TINY, count + WARM_UP, seed).rows(workload.TINY))
    run_batch(events[:WARM_UP])
    rate = run_batch(events[WARM_UP:])
    DBOS.destroy()
    return rate


def measure(url: str, count: int, seed: int) -> float:
    """Give workflows a second, the best over the sizes of the thread pool, each in a process of its own."""
    rates = []
    for threads in THREADS:
        one = ["--url", url.format(threads=threads), "--threads", str(threads), "--workflows", str(count), "--seed", str(seed)]
        command = [sys.executable, "-m", "benchmarks.peers.dbos_peer", *one]
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
    asked = parser.parse_args()
    if asked.url:
        print(json.dumps({"workflows_per_s": measure_here(asked.url, asked.threads, asked.workflows, asked.seed)}))
        return
    rates: dict[str, float | None] = {"sqlite_per_s": None, "postgres_per_s": None}
    with tempfile.TemporaryDirectory(prefix="millrace-dbos-") as folder:
        rates["sqlite_per_s"] = measure(f"sqlite:///{Path(folder)}/dbos{{threads}}.sqlite", asked.workflows, asked.seed)
    programs = postgres.find_programs()
    if programs:
        with postgres.server(programs) as url:
            rates["postgres_per_s"] = measure(url, asked.workflows, asked.seed)
    best = max(rate for rate in rates.values() if rate is not None)
    print(json.dumps({**rates, "workflows_per_s": best}))


if __name__ == "__main__":
    main()
