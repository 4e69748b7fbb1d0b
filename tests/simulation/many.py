"""Runs many seeds on all cores, until their number or a budget of CPU seconds is used up."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from tests.simulation.run import SeedFailed
from tests.simulation.seeds import run_any

CHUNK: Final = 4  # seeds a task


@dataclass(slots=True)
class Outcome:
    """What some seeds came to."""

    seeds: int = 0
    cpu_s: float = 0.0
    coverage: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Add what other seeds came to."""
        self.seeds += other.seeds
        self.cpu_s += other.cpu_s
        self.coverage.update(other.coverage)
        self.failures += other.failures


def run_many(first: int, seeds: int | None, cpu_s: float | None, jobs: int | None = None) -> Outcome:
    """Run seeds from `first` on; stop after so many, after so many CPU seconds, or soon after the first failure."""
    jobs = jobs or os.cpu_count() or 1
    total = Outcome()
    numbers = count(first) if seeds is None else iter(range(first, first + seeds))
    context = multiprocessing.get_context("spawn")  # threads of our libraries do not survive a fork
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # there is a worker a core already
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_ready) as pool:
        running: set[Future[Outcome]] = set()
        while True:
            enough = bool(total.failures) or (cpu_s is not None and total.cpu_s >= cpu_s)
            while not enough and len(running) < jobs and (chunk := list(islice(numbers, CHUNK))):
                running.add(pool.submit(run_chunk, chunk))
            if not running:
                return total
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())


def _ready() -> None:
    """Take what this module has loaded out of all later collections, which take long; the module is loaded to find this."""
    gc.freeze()


def run_chunk(seeds: list[int]) -> Outcome:
    """Run a few seeds in this process."""
    found = Outcome()
    started_s = time.process_time()
    for seed in seeds:
        try:
            run_any(seed, found.coverage)
        except SeedFailed as failure:
            found.failures.append(str(failure))
        found.seeds += 1
    found.cpu_s = time.process_time() - started_s
    return found


def fresh_seed(text: str | None) -> int:
    """Give the base seed: that of the run where there is one, so that one number repeats everything."""
    return int(text) if text else int.from_bytes(os.urandom(4), "big")
