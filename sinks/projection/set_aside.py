"""Damaged views are set aside under another name, and the last whole copy of them is taken in their place.

Promise: nothing is removed but what was set aside before the newest two; a copy is taken only after all of it was read.
What died in between is done again: every step may come twice.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import HomeLocked, StorageFailed
from schemas.ports import Slot
from sinks.projection.damage import ViewsDamaged
from sinks.projection.read_whole import read_whole
from sinks.projection.snapshot import NAME, copy_snapshot

KEPT: Final = 2
BESIDE: Final = (".wal", ".wal.checkpoint", ".wal.recovery")  # what DuckDB keeps beside a file
ASIDE: Final = ".damaged-"


def set_aside(path: Path, mark: str) -> None:
    """Rename a file of views and its WALs to `<name>.damaged-<mark>`; raises HomeLocked while a process has it open.

    Where that is done already, what stands there now is a copy of the snapshot.
    """
    if aside_name(path, mark).exists():
        return
    try:
        with _locked(path):
            for part in (*BESIDE, ""):  # the file last: then all is done
                if (found := Path(f"{path}{part}")).exists():
                    found.replace(f"{aside_name(path, mark)}{part}")
        _forget_old(path)
        _sync(path.parent)
    except BlockingIOError as error:
        raise HomeLocked(f"{path}: another process has it open; stop it and start again") from error
    except OSError as error:
        raise StorageFailed(
            f"{path}: {error.strerror}; it cannot be used and must be set aside: the home must be writable"
        ) from error


def aside_name(path: Path, mark: str) -> Path:
    """Name what a damaged file is called once it is set aside."""
    return path.with_name(f"{path.name}{ASIDE}{mark}")


def take_snapshot(path: Path, mark: str, fits: Callable[[Mapping[Slot, int]], bool]) -> bool:
    """Make the file anew from its snapshot; False where none is whole, of this version's format and at positions that fit.

    Such a one is set aside too, for the next copy would take its place. Raises HomeLocked and StorageFailed where that cannot
    be known: then nothing is changed.
    """
    snapshot = path.with_name(NAME)
    if not snapshot.is_file():
        return False
    if not _is_to_be_taken(snapshot, fits):
        set_aside(snapshot, mark)
        return False
    try:
        copy_snapshot(snapshot, path)
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}; the disk must have room for a copy of {NAME}") from error
    return True


def _is_to_be_taken(snapshot: Path, fits: Callable[[Mapping[Slot, int]], bool]) -> bool:
    try:
        return fits(read_whole(snapshot))
    except ViewsDamaged:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, if there is one."""
    if not path.exists():
        yield
        return
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # DuckDB's own kind of lock
        yield


def _forget_old(path: Path) -> None:
    """Remove what was set aside before the newest ones."""
    before = len(path.name) + len(ASIDE)
    parts = sorted(path.parent.glob(f"{path.name}{ASIDE}*"))
    marks = sorted({part.name[before:].split(".")[0] for part in parts})
    for part in parts:
        if part.name[before:].split(".")[0] in marks[:-KEPT]:
            part.unlink()


def _sync(folder: Path) -> None:
    """Make names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
