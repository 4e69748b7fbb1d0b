"""Where connectors are called: beside the dispatcher in a process, at once and in order in a simulation.

Promise: every job submitted comes back once, with its outcome. A connector that raises is a bug: it raises again in `collect`.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

from schemas.dispatch import Command, Connector, Outcome, StreamConnector
from sinks.settlement import UNTOLD


class Job(NamedTuple):
    """A command on its way, with the number that its outcome comes back under."""

    row: int
    command: Command


Ended = tuple[int, Outcome]


class Calls(Protocol):
    """Carries jobs to connectors."""

    def submit(self, connector: Connector, jobs: Sequence[Job]) -> None:
        """Take jobs over; does not wait for them."""
        ...

    def ask(self, connector: Connector, job: Job) -> None:
        """Find out what became of attempts that were made; it comes back like the end of a call. Does not wait."""
        ...

    def collect(self, wait_us: int) -> list[Ended]:
        """Give what has ended, in any order; wait up to `wait_us` for the first."""
        ...

    def close(self) -> list[int]:
        """Wait for what runs, to be collected, and let go; give the rows whose call never began."""
        ...


class InlineCalls:
    """Calls at once, on the caller's thread, one batch after the other."""

    def __init__(self) -> None:
        self._ended: list[Ended] = []
        self._connectors: set[Connector] = set()

    def submit(self, connector: Connector, jobs: Sequence[Job]) -> None:
        """Call the connector with all of them."""
        self._connectors.add(connector)
        self._ended.extend(_call(connector, jobs))

    def ask(self, connector: Connector, job: Job) -> None:
        """Ask the connector now."""
        self._ended.extend(_resolve(connector, job))

    def collect(self, wait_us: int) -> list[Ended]:
        """Give what has ended; nothing is ever under way."""
        del wait_us
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> list[int]:
        """Let go of the connectors."""
        for connector in self._connectors:
            connector.close()
        return []


class BesideCalls:
    """Calls beside the dispatcher: connectors that stream have it so, each of the others has a thread.

    A slow receiver holds up its own commands only.
    """

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[list[Ended] | Future[list[Ended]]] = queue.SimpleQueue()
        self._running: dict[Future[list[Ended]], Sequence[Job]] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._connectors: dict[str, Connector] = {}

    def submit(self, connector: Connector, jobs: Sequence[Job]) -> None:
        """Begin the jobs, or queue them in calls of the size that the connector likes."""
        self._connectors[connector.name] = connector
        if isinstance(connector, StreamConnector):
            for job in jobs:
                connector.begin(job.command, lambda outcome, row=job.row: self._ended.put([(row, outcome)]))  # type: ignore[misc]
            return
        for start in range(0, len(jobs), connector.at_once):
            part = jobs[start : start + connector.at_once]
            future = self._thread(connector.name).submit(_call, connector, part)
            self._running[future] = part
            future.add_done_callback(self._ended.put)

    def ask(self, connector: Connector, job: Job) -> None:
        """Ask on the connector's thread, one after the other; what was not asked before the end is asked at the next start."""
        self._connectors[connector.name] = connector
        future = self._thread(connector.name).submit(_resolve, connector, job)
        self._running[future] = ()
        future.add_done_callback(self._ended.put)

    def collect(self, wait_us: int) -> list[Ended]:
        """Give what has ended, in any order; wait up to `wait_us` for the first."""
        ended: list[Ended] = []
        try:
            ended += self._result(self._ended.get(timeout=wait_us / 1_000_000) if wait_us else self._ended.get_nowait())
            while True:
                ended += self._result(self._ended.get_nowait())
        except queue.Empty:
            return ended

    def close(self) -> list[int]:
        """Wait for what runs; give the rows that no thread had begun with."""
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)
        for connector in self._connectors.values():
            connector.close()
        return [job.row for future, jobs in self._running.items() if future.cancelled() for job in jobs]

    def _thread(self, name: str) -> ThreadPoolExecutor:
        if name not in self._threads:
            self._threads[name] = ThreadPoolExecutor(1, thread_name_prefix=f"call-{name}")
        return self._threads[name]

    def _result(self, ended: list[Ended] | Future[list[Ended]]) -> list[Ended]:
        if isinstance(ended, list):
            return ended
        if ended.cancelled():
            return []
        del self._running[ended]
        return ended.result()


def _call(connector: Connector, jobs: Sequence[Job]) -> list[Ended]:
    outcomes = connector.call([job.command for job in jobs])
    return [(job.row, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]


def _resolve(connector: Connector, job: Job) -> list[Ended]:
    return [(job.row, connector.resolve(job.command) or UNTOLD)]
