"""The engine role: wires the engine to the home's files and runs it as a Bytewax dataflow."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from flows.engine.careful import Careful
from flows.engine.engine import Engine, Stopped
from flows.engine.settings import EngineSettings, Ports
from flows.engine.work import Done
from flows.roles.partitions import await_partitions
from flows.roles.process import RoleOptions, RoleProcess, begin
from flows.roles.retention import Retention
from flows.run_bytewax import run as run_dataflow
from flows.settings import load_settings
from infra.clock import SystemClock
from infra.file_reader import FileReader
from infra.seen import SeenWindow
from infra.state_store import SqliteStateStore
from operators.triggers.seen import MARGIN_US, WINDOW_US
from schemas.errors import FileReplaced, HomeLocked, StateTooNew, StorageFailed
from schemas.ports import Clock, Slot
from schemas.topics import CONTROL, INGRESS_FILE, RESULTS, dispatcher_file, engine_file, is_events, is_said_to_engine

ENGINE: Final = 0
NOT_A_ROWS_FAULT: Final = (FileReplaced, HomeLocked, StateTooNew, StorageFailed)
CAREFUL_FILE: Final = "engine-0.starts"
TURNS_A_COLLECTION: Final = 64


def open_store(home: Path, vfs: str | None = None, ended_days: int | None = None) -> SqliteStateStore:
    """Open the engine's file, which takes its lock; ended executions stay in it `ended_days`, or for ever."""
    window = SeenWindow(WINDOW_US + MARGIN_US)
    return SqliteStateStore(home / engine_file(ENGINE), window=window, ended_days=ended_days, vfs=vfs)


def build_engine(
    home: Path,
    settings: EngineSettings,
    *,
    clock: Clock | None = None,
    vfs: str | None = None,
    store: SqliteStateStore | None = None,
) -> Engine:
    """Make the engine of a home: over its store, its inputs at the committed positions."""
    store = store or open_store(home, vfs)
    try:
        return _wire(home, store, settings, (clock or SystemClock(), vfs))
    except BaseException:
        store.close()
        raise


def _wire(home: Path, store: SqliteStateStore, settings: EngineSettings, machine: tuple[Clock, str | None]) -> Engine:
    clock, vfs = machine
    meta = store.meta()
    ingress = home / INGRESS_FILE
    readers = (
        FileReader(ingress, is_said_to_engine, meta.positions, vfs=vfs).expecting(meta.sources),
        FileReader(home / dispatcher_file(0), RESULTS.__eq__, meta.positions, vfs=vfs).expecting(meta.sources),
        FileReader(home / engine_file(ENGINE), is_events, meta.positions, vfs=vfs).expecting(meta.sources),
    )
    controls = FileReader(ingress, CONTROL.__eq__, {}, vfs=vfs).expecting(meta.sources)

    def reopen(source: str, positions: Mapping[Slot, int]) -> FileReader:
        return FileReader(home / source, is_events, positions, vfs=vfs).expecting(meta.sources)

    return Engine(Ports(store, readers, controls, clock, reopen), settings, Careful(home / CAREFUL_FILE, meta.turn))


def run(options: RoleOptions) -> None:
    """Run the engine of a home until it is told to stop."""
    process = begin("engine", options)
    partitions = await_partitions(options.home, process, SystemClock())
    if partitions is None:
        return
    said = load_settings(home=options.home)
    settings = EngineSettings(
        options.clock, partitions=partitions, default_tenant=options.default_tenant, weights=said.tenant_weights
    )
    store = open_store(options.home, ended_days=said.ended_days)
    engine = build_engine(options.home, settings, store=store)
    days = said.retention_days
    retention = Retention(options.home, engine_file(ENGINE), store, days, SystemClock())
    gc.collect()
    gc.freeze()  # what was loaded lives as long as the process: leave it out of every later collection
    gc.disable()  # a turn makes tens of thousands of records and hardly a cycle: collected every so many turns instead
    engine.between = lambda: _between(engine, process)
    try:
        with suppress(Stopped):
            run_dataflow(engine, lambda: _more(engine, process, retention), lambda done: _tell(engine, process, done))
    except NOT_A_ROWS_FAULT:
        engine.close()
        raise
    engine.close()  # not behind other errors: to leave in order would hide a death from the careful mode


def _more(engine: Engine, process: RoleProcess, retention: Retention) -> bool:
    _report(engine, process)
    retention.tick()
    return not process.stopping


def _between(engine: Engine, process: RoleProcess) -> bool:
    _report(engine, process)
    return not process.stopping


def _tell(engine: Engine, process: RoleProcess, done: Done) -> None:
    if engine.counts.turns % TURNS_A_COLLECTION == 0:
        gc.collect(1)  # what has come since; all of it would stop a turn for a third of a second
    _report(engine, process, at_once=done.dead > 0)


def _report(engine: Engine, process: RoleProcess, *, at_once: bool = False) -> None:
    read = engine.read()
    if not process.wants_report(at_once=at_once):
        return
    held = engine.held
    idle = engine.idle() and not held
    now = {"waiting": engine.live, "open_actions": engine.open_actions, "now_us": engine.now_us, "held": int(held)}
    lag_us = 0 if idle else engine.lag_us
    counts = {**engine.counts._asdict(), **now}
    process.report(idle=idle, read=read, counts=counts, lag_us=lag_us, at_once=at_once)
