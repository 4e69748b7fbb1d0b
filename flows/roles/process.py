"""What every role process does alike: dies with its parent, hears SIGTERM, says how far it is.

Promise: a status line says only what the role has committed; the line after the last change comes within 250 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final, Literal

import msgspec

ClockName = Literal["wall", "events"]
_PR_SET_PDEATHSIG: Final = 1
_CHANGED_S: Final = 0.1  # a change is told this much after the line before it, at the earliest
_STILL_S: Final = 1.0  # nothing changed: the line is told again, as a sign of life


@dataclass(frozen=True, slots=True)
class RoleOptions:
    """What a role is told at its start. Every role module has `run(options: RoleOptions) -> None`."""

    home: Path
    clock: ClockName = "wall"
    report: bool = False
    default_tenant: str | None = None
    port: int = 0  # of HTTP, for the server role
    parent: int | None = None  # the supervisor's process id; the role ends when it is gone


class RoleStatus(msgspec.Struct, frozen=True):
    """One status line. `read[file]` is the pack sequence up to which the role has taken and committed everything."""

    role: str
    pid: int
    idle: bool
    read: dict[str, int]
    counts: dict[str, int]
    lag_us: int = 0


class RoleEnd(msgspec.Struct, frozen=True, tag_field="end", tag="fatal"):
    """The last line of a role that cannot go on: the error's name and its message."""

    role: str
    error: str
    message: str


class RoleProcess:
    """The role's own process: its stop flag and its status lines."""

    def __init__(self, role: str, *, report: bool, parent: int | None = None, out: BinaryIO | None = None) -> None:
        self.role = role
        self._parent = parent
        self._out = (out or sys.stdout.buffer) if report else None
        self._stop = False
        self._told: RoleStatus | None = None
        self._told_s = 0.0

    @property
    def stopping(self) -> bool:
        """Tell whether the role shall stop after its current unit of work."""
        return self._stop or (self._parent is not None and os.getppid() != self._parent)

    def stop(self) -> None:
        """Ask the role to stop after its current unit of work."""
        self._stop = True

    def wants_report(self, *, at_once: bool = False) -> bool:
        """Tell whether a line may be due: where none is, nobody need find out how far the role is."""
        return self._out is not None and (at_once or time.monotonic() - self._told_s >= _CHANGED_S)

    def report(
        self, *, idle: bool, read: Mapping[str, int], counts: Mapping[str, int], lag_us: int = 0, at_once: bool = False
    ) -> None:
        """Tell the supervisor how far the role is; call it on every pass of the loop, it writes only when there is need.

        `at_once`: what changed must be known even if the process dies on the next record.
        """
        if self._out is None:
            return
        status = RoleStatus(self.role, os.getpid(), idle, dict(read), dict(counts), lag_us)
        since = time.monotonic() - self._told_s
        if since >= _STILL_S or ((at_once or since >= _CHANGED_S) and status != self._told):
            self._out.write(msgspec.json.encode(status) + b"\n")
            self._out.flush()
            self._told, self._told_s = status, time.monotonic()

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: stop after the current unit of work."""
        del number, frame
        self._stop = True


def begin(role: str, options: RoleOptions) -> RoleProcess:
    """Tie this process to its supervisor and hear SIGTERM and SIGINT; the first thing that a role does."""
    if options.parent is not None:
        die_with_parent()
    process = RoleProcess(role, report=options.report, parent=options.parent)
    signal.signal(signal.SIGTERM, process.hear)
    signal.signal(signal.SIGINT, process.hear)
    threading.excepthook = _end_with_thread
    return process


def _end_with_thread(failed: threading.ExceptHookArgs) -> None:
    """End the process with a thread that raised: nobody would hear what waits for it, and a role can always be killed."""
    threading.__excepthook__(failed)
    sys.stderr.flush()
    os._exit(1)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies (Linux; elsewhere `stopping` notices)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
