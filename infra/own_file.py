"""A file of a role: its lock and its one writing connection are taken together, or neither is."""

from __future__ import annotations

from pathlib import Path

from infra.lock import FileLock
from infra.sqlite import Connection, open_writer


def open_own(path: Path, *, vfs: str | None = None) -> tuple[FileLock, Connection]:
    """Take a file's lock, then open or make it. Raises HomeLocked, StorageFailed."""
    lock = FileLock(path)
    try:
        return lock, open_writer(path, vfs=vfs)
    except BaseException:
        lock.release()
        raise
