"""The dispatcher role: reads action topics and carries commands out through connectors."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from flows.roles.partitions import await_partitions
from flows.roles.process import ClockName, RoleOptions, RoleProcess, begin
from flows.roles.retention import Retention
from flows.settings import load_settings
from infra.clock import SystemClock
from infra.dispatch_store import DispatchFile
from infra.file_reader import FileReader
from schemas.ports import Clock
from schemas.topics import ACTIONS_PREFIX, CANCELS, COMMANDS, CONTROL, INGRESS_FILE, PARTITIONS, dispatcher_file, engine_file
from sinks.calls import BesideCalls, Calls
from sinks.connectors.file import FileConnector
from sinks.connectors.http import HttpConnector
from sinks.connectors.webhook import webhook
from sinks.dispatcher import Dispatcher, DispatchWorld
from sinks.secrets import Lookup, from_environment

WAIT_US: Final = 5_000  # for an outcome, or between looks at the log


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """What may differ between a process and a simulation."""

    clock_name: ClockName = "wall"
    partitions: int = PARTITIONS
    clock: Clock = field(default_factory=SystemClock)
    rng: Random = field(default_factory=SystemRandom)
    secrets: Lookup = field(default_factory=lambda: from_environment(os.environ))
    vfs: str | None = None


def build_dispatcher(
    home: Path, settings: DispatcherSettings, calls: Calls | None = None, store: DispatchFile | None = None
) -> Dispatcher:
    """Open the dispatcher of a home: its store (which takes the lock), its inputs at the committed positions."""
    store = store or DispatchFile(home / dispatcher_file(0), vfs=settings.vfs)
    try:
        return _wire(home, store, settings, calls or BesideCalls())
    except BaseException:
        store.close()
        raise


def _wire(home: Path, store: DispatchFile, settings: DispatcherSettings, calls: Calls) -> Dispatcher:
    positions, sources = store.positions(), store.sources()
    ingress = home / INGRESS_FILE
    readers = (
        FileReader(home / engine_file(0), _is_action, positions, vfs=settings.vfs).expecting(sources),
        FileReader(ingress, COMMANDS.__eq__, positions, vfs=settings.vfs).expecting(sources),
    )
    control = FileReader(ingress, CONTROL.__eq__, {}, vfs=settings.vfs).expecting(sources)
    connectors = (FileConnector(home), HttpConnector(), webhook(settings.clock))
    world = DispatchWorld(
        clock=settings.clock,
        rng=settings.rng,
        secrets=settings.secrets,
        partitions=settings.partitions,
        event_time=settings.clock_name == "events",
    )
    return Dispatcher(store, readers, control, connectors, calls, world)


def run(options: RoleOptions) -> None:
    """Dispatch the commands of a home until told to stop."""
    process = begin("dispatcher", options)
    clock = SystemClock()
    partitions = await_partitions(options.home, process, clock)
    if partitions is None:
        return
    store = DispatchFile(options.home / dispatcher_file(0))
    dispatcher = build_dispatcher(options.home, DispatcherSettings(options.clock, partitions, clock), store=store)
    days = load_settings(home=options.home).retention_days
    retention = Retention(options.home, dispatcher_file(0), store, days, clock)
    try:
        while not process.stopping:
            retention.tick()
            if not dispatcher.step(WAIT_US):
                clock.sleep_us(WAIT_US)
            _report(process, dispatcher)
    finally:
        dispatcher.close()


def _report(process: RoleProcess, dispatcher: Dispatcher) -> None:
    counts = {**dispatcher.counts, "open": dispatcher.open_actions, "in_flight": dispatcher.in_flight}
    process.report(idle=dispatcher.idle, read=dispatcher.places, counts=counts)


def _is_action(topic: str) -> bool:
    return topic.startswith(ACTIONS_PREFIX) or topic == CANCELS
