"""Kills one role again and again: at random moments after it has worked, or just as it writes to its file.

A kill counts only if the role's process had committed work since the kill before: a vacuous one proves nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Literal

from flows.up.supervisor import Supervisor
from infra.embedded_log import last_seq
from schemas.topics import dispatcher_file, engine_file

WATCH_S: Final = 0.25  # how long a write is waited for
RANDOM_S: Final = 0.3
Moment = Literal["random", "commit"]


def packs_in(home: Path, file: str) -> Callable[[Supervisor], int]:
    """Measure a role's work by the packs that it has committed to its own file."""
    return lambda supervisor: last_seq(home / file)


def packs_read(role: str) -> Callable[[Supervisor], int]:
    """Measure a role's work by the packs that it has taken in and committed, as it says itself."""

    def measure(supervisor: Supervisor) -> int:
        status = supervisor.statuses[role]
        return sum(status.read.values()) if status is not None else 0

    return measure


@dataclass(slots=True)
class Killer:
    """Kills `role` until it was killed `left` times more. `written` is the file whose growth is a commit under way."""

    role: str
    left: int
    measure: Callable[[Supervisor], int]
    written: Path
    rng: Random
    moments: Counter[Moment] = field(default_factory=Counter)
    work: list[int] = field(default_factory=list)  # what was committed between two kills
    _mark: int = 0
    _due_s: float | None = None
    _moment: Moment = "random"

    def strike(self, supervisor: Supervisor) -> None:
        """Kill the role if it is time."""
        if not self.left or supervisor.statuses[self.role] is None:
            return
        done = self.measure(supervisor) - self._mark
        if done <= 0:
            return
        now_s = time.monotonic()
        if self._due_s is None:
            self._moment = self.rng.choice(("random", "commit"))
            self._due_s = now_s + self.rng.uniform(0.0, RANDOM_S)
        if now_s < self._due_s:
            return
        if self._moment == "commit" and not self._sees_a_write():
            self._moment = "random"
        if supervisor.kill(self.role):
            self.left -= 1
            self.moments[self._moment] += 1
            self.work.append(done)
            self._mark, self._due_s = self.measure(supervisor), None

    def _sees_a_write(self) -> bool:
        """Watch the file without a pause until it changes: then a commit is under way, or just over."""
        until_s = time.monotonic() + WATCH_S
        before = _state(self.written)
        while time.monotonic() < until_s:
            if _state(self.written) != before:
                return True
        return False


def make_killers(home: Path, kills: int, rng: Random) -> list[Killer]:
    """Make one for each role that holds state."""
    engine, dispatcher = engine_file(0), dispatcher_file(0)
    return [
        Killer("engine", kills, packs_in(home, engine), home / f"{engine}-wal", rng),
        Killer("dispatcher", kills, packs_in(home, dispatcher), home / f"{dispatcher}-wal", rng),
        Killer("projector", kills, packs_read("projector"), home / "views.duckdb.wal", rng),
    ]


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
