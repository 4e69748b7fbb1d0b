"""A home that is up: its folder, the lock that one supervisor holds, and the loop until it is idle or told to stop.

Promise: two supervisors never run one home; what runs is stopped before the lock is let go.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from flows.up.idle import READERS, all_idle, all_read
from flows.up.supervisor import Supervisor
from infra.embedded_log import last_seq
from infra.lock import FileLock
from schemas.errors import StorageFailed

LOCK: Final = "up"
CONFIRMATIONS: Final = 2  # idle must be seen that often in a row, with the same ends of files


class StopSignal:
    """Set by SIGINT, SIGTERM or SIGHUP."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked = False

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del number, frame
        self.asked = True


class IdleWatch:
    """Sees whether a home is idle for good: the same answer and the same ends of files on consecutive looks."""

    def __init__(self, home: Path) -> None:
        """Watch the files of `home`."""
        self._home = home
        self._ends: dict[str, int] = {}
        self._seen = 0

    def look(self, supervisor: Supervisor) -> bool:
        """Tell whether every role is idle and has read everything, and was and had on the last look too."""
        statuses = supervisor.statuses
        if not all_idle(statuses):
            self._seen = 0
            return False
        ends = file_ends(self._home)
        settled = all_read(statuses, ends)
        self._seen = self._seen + 1 if settled and ends == self._ends else int(settled)
        self._ends = ends
        return self._seen >= CONFIRMATIONS


def file_ends(home: Path) -> dict[str, int]:
    """Give the last pack sequence of each log file of a home, 0 where there is none."""
    files = sorted({file for files in READERS.values() for file in files})
    return {file: last_seq(home / file) for file in files}


@contextmanager
def locked_home(home: Path) -> Iterator[Path]:
    """Make the folder if it is missing and hold its lock. Raises HomeLocked, or StorageFailed where it cannot be written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"{home}: cannot make the home ({error.strerror}); name a writable folder with --home") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise StorageFailed(
            f"{home}: the home is read-only; its folder must be writable: change its owner or mode, or use --home"
        )
    lock = FileLock(home / LOCK)
    try:
        yield home
    finally:
        lock.release()


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Hear SIGINT, SIGTERM and SIGHUP while the body runs."""
    stop = StopSignal()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, stop.hear) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
