"""Roles of a home as `up` runs them, and what a benchmark sees of them from outside: commands in the log, rate, memory.

Nothing here looks inside the engine: input goes in as bytes through the log's writer, what comes out is read from the action
topics as any tailing process reads it, so a command counts only once its turn is committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.beside import beside
from benchmarks.home import Frames, Home
from benchmarks.measure import Options, Spread, peak_memory_mb
from flows.roles.process import RoleStatus
from flows.up.supervisor import Supervisor, UpOptions
from infra.file_reader import FileReader
from schemas.topics import ACTIONS_PREFIX, INGRESS_FILE, engine_file

LOOK_S: Final = 0.001
DEADLINE_S: Final = 120.0
POLL_RECORDS: Final = 50_000


class Seen(msgspec.Struct, frozen=True):
    """What a benchmark reads of a command."""

    causationid: str  # the event's id
    flow: str


class Roles:
    """The role processes of one home. A role that ends by itself is an error: a benchmark never measures a restart."""

    def __init__(self, supervisor: Supervisor, said: list[str]) -> None:
        self._supervisor = supervisor
        self._said = said

    def look(self, timeout_s: float = 0.0) -> None:
        """Hear what the roles say. Raises RuntimeError where one was started again."""
        self._supervisor.poll(timeout_s)
        if any(self._supervisor.restarts.values()):
            raise RuntimeError("a role ended and was started again:\n" + "\n".join(self._said[-40:]))

    def status(self, role: str) -> RoleStatus | None:
        """Give the last status line of a role."""
        return self._supervisor.statuses[role]

    def wait(self, done: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until `done()`; raise TimeoutError behind the deadline."""
        end_s = time.monotonic() + deadline_s
        while not done():
            if time.monotonic() > end_s:
                raise TimeoutError(f"not within {deadline_s:.0f} s: {what}\n" + "\n".join(self._said[-40:]))
            self.look(0.01)

    def wait_idle(self, role: str, file: str, seq: int) -> None:
        """Wait until a role has committed everything of a file up to `seq` and has nothing to do."""

        def settled() -> bool:
            status = self.status(role)
            return status is not None and status.idle and status.read.get(file, 0) >= seq

        self.wait(settled, f"{role} has read {file} to {seq}")

    def peak_mb(self, role: str) -> float:
        """Give the most resident memory of a role's process so far."""
        status = self.status(role)
        if status is None:
            raise RuntimeError(f"{role} has not spoken yet")
        return peak_memory_mb(status.pid)


@contextmanager
def running(home: Path, *roles: str) -> Iterator[Roles]:
    """Run roles of a home until the body is left."""
    said: list[str] = []
    supervisor = Supervisor(UpOptions(home, roles=roles), lambda role, line: said.append(f"{role}: {line}"))
    up = Roles(supervisor, said)
    try:
        up.wait(lambda: all(up.status(role) is not None for role in roles), f"{', '.join(roles)} started")
        yield up
    finally:
        supervisor.stop()


class Commands:
    """Counts the commands on the action topics of an engine's file, from the outside."""

    def __init__(self, home: Path) -> None:
        self._reader = FileReader(home / engine_file(0), lambda topic: topic.startswith(ACTIONS_PREFIX), {})
        self.count = 0

    def poll(self) -> list[bytes]:
        """Give the commands committed since the last call."""
        records = [record for chunk in self._reader.poll(POLL_RECORDS) for record in chunk.records]
        self.count += len(records)
        return records

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


def wait_commands(roles: Roles, commands: Commands, count: int) -> float:
    """Wait until so many commands in all are in the log; give the monotonic time in seconds when the last was seen."""

    def arrived() -> bool:
        while commands.poll():
            pass
        return commands.count >= count

    end_s = time.monotonic() + DEADLINE_S
    next_look_s = 0.0
    while not arrived():
        now_s = time.monotonic()
        if now_s > end_s:
            raise TimeoutError(f"{commands.count} of {count} commands within {DEADLINE_S:.0f} s; {roles.status('engine')}")
        if now_s > next_look_s:
            roles.look()
            next_look_s = now_s + 0.2
        time.sleep(LOOK_S)
    return time.monotonic()


def engine_rates(home: Home, frames: Frames, commands_a_run: int, options: Options) -> tuple[Spread, float]:
    """Give the events a second of each run through one engine, and its peak memory in MB. The first run warms up."""
    rates = []
    with running(home.path, "engine") as roles, closing(Commands(home.path)) as commands:
        roles.wait_idle("engine", INGRESS_FILE, home.seq())
        for run in range(options.runs + 1):
            started_s = home.append(home.renamed(frames, run))
            ended_s = wait_commands(roles, commands, (run + 1) * commands_a_run)
            rates.append(len(frames) / (ended_s - started_s))
        roles.wait_idle("engine", INGRESS_FILE, home.seq())
        commands.poll()
        if commands.count != commands_a_run * len(rates):
            raise AssertionError(f"{commands.count} commands, {commands_a_run * len(rates)} expected")
        return Spread(tuple(rates[1:])), roles.peak_mb("engine")


@dataclass(slots=True)
class Watch:
    """Notes in a thread of its own when each command became visible: (monotonic seconds, event id, flow), in order."""

    home: Path
    arrivals: list[tuple[float, str, str]] = field(default_factory=list)

    @contextmanager
    def on(self) -> Iterator[Watch]:
        """Watch while the body runs."""
        with beside("watch", self._run):
            yield self

    def _run(self, stop: threading.Event) -> None:
        with closing(Commands(self.home)) as commands:
            while not stop.is_set():
                records = commands.poll()
                seen_s = time.monotonic()
                for record in records:
                    seen = _decoder.decode(record)
                    self.arrivals.append((seen_s, seen.causationid, seen.flow))
                if not records:
                    stop.wait(LOOK_S)


_decoder = msgspec.json.Decoder(Seen)
