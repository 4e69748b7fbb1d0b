"""Where a home speaks HTTP: the port it listens on, written into the home, and the keys that let people in."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Final
from uuid import uuid4

from flows.roles.questions import StoredQuestions
from infra.file_reader import FileReader
from infra.key_file import made_key
from schemas.errors import StorageFailed
from schemas.ports import Clock
from schemas.topics import CONTROL, INGRESS_FILE
from sinks.ingress.doors import DoorKeys, Doors
from sinks.ingress.server import HttpDoor
from sinks.links import KEY_FILE
from sinks.secrets import from_environment

HOST: Final = "127.0.0.1"
PORT_FILE: Final = "http.port"
API_KEY_FILE: Final = "api.key"
BACKLOG: Final = 128


def build_door(home: Path, clock: Clock, partitions: int, port: int = 0) -> tuple[HttpDoor, Doors]:
    """Listen and make what answers. Raises StorageFailed where the wanted port is taken."""
    keys = DoorKeys(made_key(home / KEY_FILE), made_key(home / API_KEY_FILE).hex(), from_environment(os.environ))
    control = FileReader(home / INGRESS_FILE, CONTROL.__eq__, {})
    doors = Doors(keys, control, clock, partitions, lambda: uuid4().hex, StoredQuestions(home))
    listener = _listen(home, port)
    _write_port(home, listener.getsockname()[1])
    return HttpDoor(listener, doors), doors


def door_of(home: Path) -> str | None:
    """Give the address that a home was last served at; None where it never was."""
    try:
        return f"http://{HOST}:{int((home / PORT_FILE).read_text(encoding='ascii'))}"
    except (FileNotFoundError, ValueError):
        return None


def _listen(home: Path, port: int) -> socket.socket:
    """Listen at the port that is wanted; where none is, at the last one, so that links stay good, or at a free one."""
    if port:
        return _bound(port)
    last = door_of(home)
    if last is not None:
        try:
            return _bound(int(last.rpartition(":")[2]))
        except StorageFailed:
            return _bound(0)
    return _bound(0)


def _bound(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=BACKLOG)
    except OSError as error:
        taken = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise StorageFailed(f"port {port} of {HOST} {taken}; name another with --port, or leave it out for a free one") from error


def _write_port(home: Path, port: int) -> None:
    fresh = home / f"{PORT_FILE}.new"
    fresh.write_text(f"{port}\n", encoding="ascii")
    fresh.replace(home / PORT_FILE)
