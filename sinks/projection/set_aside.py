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

import duckdb

from schemas.errors import HomeLocked, StateTooNew, StorageFailed
from schemas.ports import Slot
from sinks.projection.damage import must_be_duckdb
from sinks.projection.file_format import check_format
from sinks.projection.snapshot import NAME, copy_snapshot
from sinks.projection.tables import HALVES, TABLES
from sinks.projection.views_file import last_positions

KEPT: Final = 2
MEMORY: Final = "768MB"
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
            f"{path}: {error.strerror}; it is damaged and must be set aside: the home must be writable"
        ) from error


def aside_name(path: Path, mark: str) -> Path:
    """Name what a damaged file is called once it is set aside."""
    return path.with_name(f"{path.name}{ASIDE}{mark}")


def take_snapshot(path: Path, fits: Callable[[Mapping[Slot, int]], bool]) -> bool:
    """Make the file anew from its snapshot; False where none is whole, of this version's format and at positions that fit."""
    snapshot = path.with_name(NAME)
    positions = _read_whole(snapshot) if snapshot.is_file() else None
    if positions is None or not fits(positions):
        return False
    try:
        copy_snapshot(snapshot, path)
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}; the disk must have room for a copy of {NAME}") from error
    return True


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


def _read_whole(snapshot: Path) -> dict[Slot, int] | None:
    """Read every value of a copy, for DuckDB checks a block only when it is asked for; give its positions."""
    try:
        must_be_duckdb(snapshot)
        with duckdb.connect(str(snapshot), read_only=True, config={"memory_limit": MEMORY}) as copy:
            check_format(copy, snapshot)
            tables = [f"{half}.{name}" for half in HALVES for name in TABLES]
            for table in (*tables, "log.progress", "log.sources"):
                copy.execute(f"select bit_xor(hash(one)) from {table} one").fetchone()
            return last_positions(copy)
    except (duckdb.Error, StateTooNew, StorageFailed):
        return None


def _sync(folder: Path) -> None:
    """Make names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
