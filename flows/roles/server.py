"""The server role: sole writer of ingress.db, for everyone who appends over `ingress.sock`, and for HTTP on 127.0.0.1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from flows.roles.http_door import build_door
from flows.roles.process import RoleOptions, RoleProcess, begin
from flows.roles.retention import Retention
from flows.settings import load_settings
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from schemas.ports import Clock
from schemas.records import Control
from schemas.topics import CONTROL, INGRESS_FILE
from sinks.ingress.doors import Doors
from sinks.ingress.protocol import HOLD_PREFIX
from sinks.ingress.server import HttpDoor, IngressServer

WAIT_S: Final = 0.2
READ_RECORDS: Final = 4096
_controls: Final = msgspec.json.Decoder(Control)


def build_server(home: Path, writer: IngressLog, clock: Clock, http: HttpDoor | None = None) -> IngressServer:
    """Listen in a home; whatever an earlier life held of the event clock is released."""
    return IngressServer(home, writer, clock, writer.partitions, sorted(_held(home)), http)


def run(options: RoleOptions) -> None:
    """Serve a home until told to stop."""
    process = begin("server", options)
    options.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    writer = IngressLog(options.home / INGRESS_FILE)
    try:
        http, doors = build_door(options.home, SystemClock(), writer.partitions, options.port)
        server = build_server(options.home, writer, SystemClock(), http)
        days = load_settings(home=options.home).retention_days
        retention = Retention(options.home, INGRESS_FILE, writer, days, SystemClock())
        try:
            while not process.stopping:
                server.step(WAIT_S)
                retention.tick()
                _report(process, server, doors)
        finally:
            server.close()
    finally:
        writer.close()


def _report(process: RoleProcess, server: IngressServer, doors: Doors) -> None:
    """A home in which somebody holds the clock, such as a `send` that is not done, is not idle."""
    status = server.status()
    counts = {"records": status.records, "commits": status.commits, "connections": status.connections, "stalled": server.stalled}
    counts |= {name: doors.counts[name] for name in ("requests", "refused")}
    process.report(idle=not status.holds, read={}, counts=counts)


def _held(home: Path) -> set[str]:
    held: set[str] = set()
    for control in _controls_of(home):
        if control.key.startswith(HOLD_PREFIX):
            name = control.key.removeprefix(HOLD_PREFIX)
            held.discard(name) if control.value is None else held.add(name)
    return held


def _controls_of(home: Path) -> Iterator[Control]:
    """Give all control records that can be read."""
    reader = FileReader(home / INGRESS_FILE, CONTROL.__eq__, {})
    try:
        while chunks := reader.poll(READ_RECORDS):
            for record in (record for chunk in chunks for record in chunk.records):
                try:
                    yield _controls.decode(record)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
    finally:
        reader.close()
