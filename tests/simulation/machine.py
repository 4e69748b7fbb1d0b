"""One machine: a faulty disk, a clock that is moved by hand, and the roles that live on it and die on it.

The sender (sole writer of ingress.db), the engine and the dispatcher are the shipped ones, on their real SQLite files.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import apsw

from flows.engine import slices
from flows.engine.engine import Engine
from flows.engine.settings import EngineSettings
from flows.roles.engine import NOT_A_ROWS_FAULT, build_engine
from infra import faults, sqlite
from infra.dispatch_store import DispatchFile
from infra.embedded_log import IngressLog
from infra.faults import FaultyDisk
from infra.file_reader import FileReader
from infra.sqlite import open_reader, value
from schemas.errors import MillraceError, StorageFailed
from schemas.ports import Append
from schemas.topics import ACTIONS_PREFIX, CANCELS, COMMANDS, CONTROL, INGRESS_FILE, dispatcher_file, engine_file
from sinks.calls import InlineCalls
from sinks.dispatcher import Dispatcher, DispatchWorld
from tests.simulation.business import DAY_US, START_US
from tests.simulation.outside import Files, ForgetsKeys, KeepsKeys, PowerCut, Receivers
from tests.simulation.recorder import Recorder

PARTITIONS: Final = 4
ENGINE_FILE: Final = engine_file(0)
DISPATCHER_FILE: Final = dispatcher_file(0)
ROLE_OF: Final = {INGRESS_FILE: "ingress", ENGINE_FILE: "engine", DISPATCHER_FILE: "dispatcher"}
Role = Literal["sender", "engine", "dispatcher"]
FILE_OF: Final[dict[Role, str]] = {"sender": INGRESS_FILE, "engine": ENGINE_FILE, "dispatcher": DISPATCHER_FILE}
ROLES: Final[tuple[Role, ...]] = ("sender", "engine", "dispatcher")


class Disk(FaultyDisk):
    """A faulty disk that remembers at which operation it failed."""

    def __init__(self, name: str, seed: int, coverage: Counter[str]) -> None:
        super().__init__(name, seed)
        self._coverage = coverage
        self.failed_now = False
        self.aim: tuple[str, str] | None = None  # (file name, operation): the next such operation meets the power loss

    @property
    def open_files(self) -> int:
        """Count the files that are open on it."""
        return self._handles

    def step(self, path: str, operation: str, happen: Callable[[], None] | None = None) -> None:
        """Count the operation; note where the fault was."""
        was_off = self.off
        if self.aim == (Path(path).name, operation):
            self.crash_at, self.aim = self.operations + 1, None
        try:
            super().step(path, operation, happen)
        except apsw.IOError:
            if not was_off:
                self.failed_now = True
                kind = "crash" if self.off else "failed operation"
                self._coverage[f"{kind}: {_commit_point(path, operation)}"] += 1
            raise


def _commit_point(path: str, operation: str) -> str:
    name = Path(path).name
    file = name.removesuffix("-wal").removesuffix("-journal")
    part = "log" if name.endswith("-wal") else "journal" if name.endswith("-journal") else "file"
    return f"{ROLE_OF.get(file, file)} {part} {operation}"


class HandClock:
    """The wall clock as one process sees it: moved by hand, and never back within the process (as the shipped one)."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._last_us = 0

    def now_us(self) -> int:
        """Give the time."""
        self._last_us = max(self._last_us, self._machine.wall_us)
        return self._last_us

    def sleep_us(self, us: int) -> None:
        """Let the time pass."""
        self._machine.wall_us += us


@dataclass(slots=True)
class Options:
    """How this machine's roles are set."""

    clock: Literal["wall", "events"]
    turn_rows: int
    in_flight: int
    checkpoint_pages: int
    due_most: int = 20_000  # timers fired in one transaction
    partitions: int = PARTITIONS


@dataclass(slots=True)
class Machine:
    """All that a power loss takes along."""

    home: Path
    disk: Disk
    rng: Random
    options: Options
    receivers: Receivers
    coverage: Counter[str]
    wall_us: int = START_US
    sender: IngressLog | None = None
    engine: Engine | None = None
    dispatcher: Dispatcher | None = None
    recorder: Recorder | None = None
    _parts: list[Any] = field(default_factory=list)  # what the dispatcher holds open

    # --- starting

    def start(self, role: Role) -> bool:
        """Start a role that is not running; tell whether it runs now."""
        if getattr(self, role) is not None:
            return True
        sqlite.CHECKPOINT_PAGES = self.options.checkpoint_pages  # type: ignore[misc]
        slices.DUE_MAX = self.options.due_most  # type: ignore[misc]
        try:
            setattr(self, role, {"sender": self._sender, "engine": self._engine, "dispatcher": self._dispatcher}[role]())
        except (MillraceError, PowerCut) as error:
            self._note(role, error)
        else:
            return True
        self._drop(role)
        self._forget()
        self._after_a_fault()
        return False

    def _sender(self) -> IngressLog:
        return IngressLog(self.home / INGRESS_FILE, partitions=self.options.partitions, vfs=self.disk.name)

    def _engine(self) -> Engine:
        settings = EngineSettings(self.options.clock, turn_rows=self.options.turn_rows, partitions=self.options.partitions)
        engine = build_engine(self.home, settings, clock=HandClock(self), vfs=self.disk.name)
        if self.recorder is not None:
            self.recorder.attach(engine)
        return engine

    def _dispatcher(self) -> Dispatcher:
        store = DispatchFile(self.home / DISPATCHER_FILE, vfs=self.disk.name)
        self._parts.append(store)
        positions, sources = store.positions(), store.sources()
        actions = FileReader(self.home / ENGINE_FILE, _is_action, positions, vfs=self.disk.name).expecting(sources)
        wishes = FileReader(self.home / INGRESS_FILE, COMMANDS.__eq__, positions, vfs=self.disk.name).expecting(sources)
        control = FileReader(self.home / INGRESS_FILE, CONTROL.__eq__, {}, vfs=self.disk.name).expecting(sources)
        files = Files(self.receivers, self.home)
        self._parts += [actions, wishes, control, files]
        world = DispatchWorld(
            HandClock(self),
            self.rng,
            lambda name: None,
            self.options.partitions,
            event_time=self.options.clock == "events",
            in_flight=self.options.in_flight,
            tenant_share=2,
            intake=16,
        )
        connectors = (KeepsKeys(self.receivers), ForgetsKeys(self.receivers), files)
        return Dispatcher(store, [actions, wishes], control, connectors, InlineCalls(), world)

    # --- working

    def append(self, batch: list[Append]) -> bool:
        """Append durably; False where that failed and nobody knows whether it is in the log."""
        return self._guarded("sender", lambda: self._appended(batch)) is True

    def _appended(self, batch: list[Append]) -> bool:
        assert self.sender is not None
        self.sender.append(batch, self.wall_us)
        return True

    def run_engine(self) -> bool:
        """Do one turn; True if there was something to do."""
        return self._guarded("engine", lambda: self.engine is not None and self.engine.step() is not None) is not False

    def run_dispatcher(self) -> bool:
        """Do one step; True if there was something to do."""
        return self._guarded("dispatcher", lambda: self.dispatcher is not None and self.dispatcher.step()) is not False

    def _guarded(self, role: Role, work: Callable[[], bool]) -> bool | None:
        """Run a role's work; where it fails the role is dead (None), or all of them where the power went."""
        if not self.start(role):
            return None
        try:
            return work()
        except (MillraceError, PowerCut) as error:
            self._note(role, error)
            if role == "engine" and isinstance(error, NOT_A_ROWS_FAULT) and not self.disk.off:
                self._excuse()
        self.kill(role)
        self._after_a_fault()
        return None

    def _excuse(self) -> None:
        """Leave as the engine's role does when no row is to blame: this death is not held against the row that was taken."""
        assert self.engine is not None
        with suppress(MillraceError, apsw.Error):
            self.engine.close()

    def _note(self, role: Role, error: BaseException) -> None:
        """Count why a role died; an end that no fault of ours explains is a bug."""
        if isinstance(error, PowerCut):
            self.coverage["crash: between a call and its outcome"] += 1
        elif self.disk.full:
            self.coverage[f"disk full: {role}"] += 1
        elif not (self.disk.failed_now or self.disk.off):
            raise error
        elif not isinstance(error, StorageFailed):
            raise AssertionError(f"a failing disk showed as {type(error).__name__}: {error}") from error

    # --- dying

    def kill(self, role: Role) -> None:
        """End a role as kill -9 does: nothing of what it holds reaches the disk any more."""
        off, self.disk.off = self.disk.off, True
        self._drop(role)
        self.disk.off = off

    def _drop(self, role: Role) -> None:
        holder = getattr(self, role)
        setattr(self, role, None)
        parts: list[Any] = []
        if role == "dispatcher":
            parts, self._parts = self._parts, []
        elif holder is not None:
            parts = [holder] if role == "sender" else [holder._store, holder._intake]
        for part in reversed(parts):
            with suppress(StorageFailed, apsw.Error):  # who is dead closes nothing well
                part.close()

    def leave(self, role: Role) -> None:
        """End a role in order, as SIGTERM does."""
        holder = getattr(self, role)
        if holder is None:
            return
        try:
            holder.close()
        except (MillraceError, PowerCut) as error:
            self._note(role, error)
            self.kill(role)
        else:
            setattr(self, role, None)
            if role == "dispatcher":
                for part in self._parts[1:]:
                    part.close()
                self._parts.clear()
        self._after_a_fault()

    def _after_a_fault(self) -> None:
        self.disk.failed_now = False
        if self.disk.off:
            self.lose_power()

    def lose_power(self) -> None:
        """Everything dies at once; what was not synced is lost, kept or torn."""
        self.disk.off = True
        for role in ROLES:
            self._drop(role)
        self._forget()
        before = dict(_survivors)
        self.disk.power_cycle()
        for what, count in _survivors.items():
            self.coverage[f"power loss: {what}"] += count - before.get(what, 0)
        self.disk.failed_now = False

    def close(self) -> None:
        """Take the machine away."""
        for role in ROLES:
            self.kill(role)
        self._forget()
        self.disk.unregister()

    def _forget(self) -> None:
        """Let Python close what a role that never came up had opened; only then, for it takes long."""
        if self.disk.open_files:
            gc.collect()

    # --- looking at it

    def next_due_us(self) -> int | None:
        """Tell when something falls due, as the files say."""
        found = []
        connection = open_reader(self.home / ENGINE_FILE)
        try:
            due = [value(connection, f"select min(due_us) from {table}") for table in ("timers", "deadlines")]
        finally:
            connection.close()
        if self.options.clock == "wall":
            found += [int(one) for one in due if one is not None]
        sending = self.dispatcher.next_due_us() if self.dispatcher is not None else None
        if sending is not None:
            found.append(sending)
        return min(found, default=None)

    def next_deadline_us(self) -> int | None:
        """Tell when the next deadline is that the clock has not reached, as the engine's file says."""
        if not (self.home / ENGINE_FILE).exists():
            return None
        connection = open_reader(self.home / ENGINE_FILE)
        try:
            found = value(connection, "select min(due_us) from deadlines where due_us >= ?", (self.wall_us,))
        finally:
            connection.close()
        return None if found is None else int(found)

    def jump(self, by_us: int) -> None:
        """Move the wall clock, forwards or back."""
        self.wall_us = max(START_US - 30 * DAY_US, self.wall_us + by_us)
        self.coverage[f"clock jump: {'forwards' if by_us > 0 else 'backwards'}"] += 1


def _is_action(topic: str) -> bool:
    return topic.startswith(ACTIONS_PREFIX) or topic == CANCELS


_survivors: Counter[str] = Counter()
_tear = faults._torn


def _counted_tear(change: Any, rng: Random) -> Any:
    torn = _tear(change, rng)
    _survivors["a write torn"] += torn.new != change.new
    return torn


_choose = faults._survivors


def _counted_choice(changes: list[Any], rng: Random) -> list[Any]:
    kept = _choose(changes, rng)
    _survivors["unsynced writes lost"] += len(changes) > len(kept)
    _survivors["unsynced writes kept"] += bool(kept)
    return kept


faults._torn = _counted_tear
faults._survivors = _counted_choice
