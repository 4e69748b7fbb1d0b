"""The supervisor: starts the roles of a home, starts them again when they crash, and stops them all together.

Promise: at most one process a role (the old one is killed and reaped before a new one starts); when the supervisor goes,
however it goes, its children go too. One thread, no fork: it reads pipes and waits for nothing else.
"""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from flows.roles.process import ClockName, RoleStatus
from flows.up.child import Child
from flows.up.crashes import Crashes
from schemas.errors import Fatal

ORDER: Final = ("server", "engine", "dispatcher", "projector")
SILENT_S: Final = 60.0  # a role tells a line every second; one that says nothing this long is killed and replaced
STOP_S: Final = 15.0  # what a role gets to finish its unit of work
GAUGES: Final = frozenset(
    {"waiting", "open", "timers", "open_actions", "now_us", "held"}
)  # counts that tell what is now; all others tell what was since the start
SET_ASIDE: Final = ("dead_letters", "poison")


Command = Callable[["UpOptions", str], list[str]]


class RoleFailed(Fatal):
    """A role cannot run; the message is its own last error."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What to run: the home, the clock, how many crashes a minute of one role end it all, and how long it may be silent."""

    home: Path
    clock: ClockName = "wall"
    default_tenant: str | None = None
    crashes_a_minute: int = 5
    port: int = 0
    roles: tuple[str, ...] = ORDER
    silent_s: float = SILENT_S


@dataclass(slots=True)
class _Role:
    name: str
    crashes: Crashes
    child: Child | None = None
    next_start_s: float = 0.0
    heard_s: float = 0.0
    silent_s: float = 0.0  # spent waiting for processes that never spoke again; left out where crashes a minute are counted
    restarts: int = 0
    forgiven: bool = False  # killed on purpose: the crash does not count
    base: dict[str, int] = field(default_factory=dict)  # counts of the processes before this one


class Supervisor:
    """All roles of one home. Call `poll` often; it starts what is due, reads what was said and reaps what ended."""

    def __init__(self, options: UpOptions, log: Callable[[str, str], None], command: Command | None = None) -> None:
        """Prepare; nothing runs before the first `poll`. `log(role, line)` gets every line that a role says on stderr."""
        self.options = options
        self._command = command or role_command
        self._log = log
        self._roles = {name: _Role(name, Crashes(options.crashes_a_minute)) for name in options.roles}

    @property
    def statuses(self) -> Mapping[str, RoleStatus | None]:
        """Give the last status of each role's present process, None where it has not spoken yet."""
        return {name: role.child.status if role.child else None for name, role in self._roles.items()}

    @property
    def restarts(self) -> Mapping[str, int]:
        """Count how often each role was started again."""
        return {name: role.restarts for name, role in self._roles.items()}

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Give each role's counts, over all its processes since the start."""
        return {name: _counted(role) for name, role in self._roles.items()}

    @property
    def final_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Give each role's counts as they were when it was stopped."""
        return {name: role.base for name, role in self._roles.items()}

    def poll(self, timeout_s: float = 0.05) -> None:
        """Do what is due now, then wait up to `timeout_s` for a role to speak. Raises RoleFailed, after stopping all."""
        try:
            self._start_due()
            self._wait(timeout_s)
            for role in self._roles.values():
                self._look_after(role)
        except Fatal:
            self.stop()
            raise

    def kill(self, name: str) -> bool:
        """Kill a role with SIGKILL, on purpose; tell whether it ran. It is started again and the crash does not count."""
        role = self._roles[name]
        if role.child is None or role.child.status is None or not role.child.alive:
            return False
        role.forgiven = True
        role.child.process.kill()
        role.child.process.wait()
        return True

    def stop(self) -> None:
        """Ask all roles to finish their unit of work, wait, kill what is left. The server goes last: others may need it."""
        children = [role.child for role in reversed(self._roles.values()) if role.child is not None]
        for child in children:
            child.terminate()
        deadline_s = time.monotonic() + STOP_S
        while any(child.alive for child in children) and time.monotonic() < deadline_s:
            _wait_for(children, 0.05)
            for child in children:
                child.read()
        for child in children:
            child.end()
        for role in self._roles.values():
            role.base, role.child = dict(_counted(role)), None

    def _start_due(self) -> None:
        now_s = time.monotonic()
        first = self._roles[self.options.roles[0]]
        for role in self._roles.values():
            if role is not first and (first.child is None or first.child.status is None) and not role.restarts:
                continue  # the first role makes the home's files; the others start when it has spoken
            if role.child is None and role.next_start_s <= now_s:
                role.child = Child(self._command(self.options, role.name), partial(self._log, role.name))
                role.heard_s = now_s

    def _wait(self, timeout_s: float) -> None:
        _wait_for([role.child for role in self._roles.values() if role.child is not None], timeout_s)

    def _look_after(self, role: _Role) -> None:
        child = role.child
        if child is None:
            return
        now_s = time.monotonic()
        if child.read():
            role.heard_s = now_s
        if not child.alive:
            self._bury(role, child)
        elif now_s - role.heard_s > self.options.silent_s:
            why = f"silent for {self.options.silent_s:g} s; killed"
            child.tail.append(why)
            self._log(role.name, why)
            role.silent_s += now_s - role.heard_s
            self._bury(role, child)

    def _bury(self, role: _Role, child: Child) -> None:
        child.end()
        now_s = time.monotonic()
        if child.status is None and child.fatal is not None:
            raise RoleFailed(f"{role.name} cannot start: {child.last_error()}")
        if not role.forgiven:
            role.crashes.count(now_s - role.silent_s, went_on=_set_aside(child))
        if role.crashes.given_up:
            limit = self.options.crashes_a_minute
            raise RoleFailed(
                f"{role.name} crashed {limit} times within a minute and is given up; its last error: {child.last_error()}"
            )
        role.base = dict(_counted(role))
        role.next_start_s = now_s + (0.0 if role.forgiven else role.crashes.wait_s)
        role.forgiven = False
        role.child = None
        role.restarts += 1


def role_command(options: UpOptions, name: str) -> list[str]:
    """Give the command line of a role's process."""
    command = [sys.executable, "-m", "flows", "run", name, "--home", str(options.home), "--clock", options.clock]
    command += ["--report", "--parent", str(os.getpid())]
    if name == "server" and options.port:
        command += ["--port", str(options.port)]
    return command + (["--default-tenant", options.default_tenant] if options.default_tenant else [])


def _set_aside(child: Child) -> bool:
    """Tell whether a process set records aside: the next death is then another record's, and their number is the bound."""
    return child.status is not None and any(child.status.counts.get(name, 0) for name in SET_ASIDE)


def _counted(role: _Role) -> Mapping[str, int]:
    status = role.child.status if role.child else None
    if status is None:
        return role.base
    now = status.counts
    return {name: now.get(name, 0) + (0 if name in GAUGES else role.base.get(name, 0)) for name in {*role.base, *now}}


def _wait_for(children: Sequence[Child], timeout_s: float) -> None:
    """Wait until one of the children speaks or ends."""
    with selectors.DefaultSelector() as selector:
        for child in children:
            for pipe in child.pipes:
                selector.register(pipe, selectors.EVENT_READ)
        if selector.get_map():
            selector.select(timeout_s)
        else:
            time.sleep(timeout_s)
