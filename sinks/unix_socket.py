"""Unix sockets in the home: made for their owner alone (0600), also where the path is longer than the 107 bytes they may have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import StorageFailed

PATH_BYTES_MAX: Final = 100
BACKLOG: Final = 128


def listen(path: Path) -> socket.socket:
    """Listen at a path; a socket left there by a process that is gone is replaced. Raises StorageFailed.

    The caller holds the lock of the role's file: no other process can be listening there.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as address:
            server.bind(address)
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise StorageFailed(f"{path}: cannot listen there ({error.strerror}); the home must be a local folder") from error
    finally:
        os.umask(mask)
    return server


def dial(path: Path, timeout_s: float) -> socket.socket | None:
    """Connect to a path; None where nobody listens. Raises StorageFailed where access is denied."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(timeout_s)
    try:
        with _short(path) as address:
            peer.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        peer.close()
        return None
    except OSError as error:
        peer.close()
        raise StorageFailed(f"{path}: cannot connect ({error}); run as the user that runs `up`") from error
    return peer


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give an address that is short enough: through an open descriptor of the folder where the path is not (Linux)."""
    address = str(path)
    if len(os.fsencode(address)) <= PATH_BYTES_MAX:
        yield address
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
