"""A disk that fails on purpose, under the real SQLite: power loss, a failing operation, no space. For simulation and tests.

Writes, truncations, syncs and deletions are counted; at a chosen one the power goes, and everything fails until `power_cycle`.
What was not synced by then is lost, kept, or torn, as the seed says: each file is wound back to its last sync and a random part
of what came after is done again. Locks and the WAL's shared memory are the operating system's own, so readers work beside.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import apsw

from schemas.errors import BrokenInvariant

SECTOR_BYTES: Final = 512  # what a disk writes whole
_SYNC_FOLDER: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL  # as os_unix.c: with the first sync of a new one


class _Change(NamedTuple):
    """An unsynced write, or a truncation (`new` empty) to `at`; with what was there before."""

    at: int
    new: bytes
    old: bytes  # from `at` on
    old_size: int


@dataclass(slots=True)
class _Unsynced:
    """What a power loss may take from one file, oldest first; `fresh`: perhaps the whole file."""

    changes: list[_Change] = field(default_factory=list)
    fresh: bool = False


class FaultyDisk(apsw.VFS):
    """A VFS to be named in `vfs=`. Operations are numbered from 1 on."""

    def __init__(self, name: str, seed: int) -> None:
        """Register under a name; the seed decides what a power loss leaves."""
        self.name = name
        self.operations = 0
        self.counts: Counter[tuple[str, str]] = Counter()  # (file name, write|truncate|sync|delete)
        self.power_losses = 0
        self.crash_at: int | None = None  # the power goes at this operation
        self.fail_at: int | None = None  # this one operation fails, the next works
        self.full = False  # while true no file grows
        self.off = False
        self._rng = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._unsynced: dict[str, _Unsynced] = {}
        self._deleted: dict[str, bytes] = {}
        self._handles = 0
        super().__init__(name, "")

    def power_cycle(self) -> None:
        """Lose what was not synced and start again. Every store, log and reader on this disk must have been closed."""
        if self._handles:
            raise BrokenInvariant(f"{self._handles} files are open on {self.name}: close every store, log and reader first")
        for name, unsynced in self._unsynced.items():
            _wind_back(Path(name), unsynced, self._rng)
        for name, content in self._deleted.items():
            if self._rng.random() < 0.5 and not Path(name).exists():
                Path(name).write_bytes(content)
        self._unsynced.clear()
        self._deleted.clear()
        self.power_losses += self.off
        self.off = False
        self.crash_at = None

    def close(self) -> None:
        """Take the name away from SQLite; a simulation makes many disks, and SQLite looks through all."""
        self.unregister()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file; temporary ones are not watched."""
        self.refuse_when_off()
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        made = not Path(path).exists()
        opened = _File(self, path, name, flags)
        if made:
            self._deleted.pop(path, None)
            self._unsynced[path] = _Unsynced(fresh=True)
        self._handles += 1
        return opened

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        """Delete a file; unless the folder is synced a power loss may bring it back."""
        self.step(filename, "delete")
        path = Path(filename)
        if path.exists() and not syncdir:
            self._deleted[filename] = path.read_bytes()
        super().xDelete(filename, syncdir)
        self._unsynced.pop(filename, None)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 - SQLite's name
        """Look for a file."""
        self.refuse_when_off()
        return super().xAccess(pathname, flags)

    def excepthook(
        self,
        etype: type[BaseException] | None,  # noqa: ARG002 - apsw's signature
        evalue: BaseException | None,
        etraceback: TracebackType | None,  # noqa: ARG002
    ) -> bool:
        """Say nothing of faults that SQLite has nobody to report to, as while closing."""
        return isinstance(evalue, apsw.Error)

    def step(self, path: str, operation: str, happen: Callable[[], None] | None = None) -> None:
        """Count an operation and let it fail if its time has come; `happen` notes what the power loss found under way."""
        self.refuse_when_off()
        self.operations += 1
        self.counts[os.path.basename(path), operation] += 1  # noqa: PTH119 - a Path costs more than the write
        if self.operations == self.fail_at:
            raise apsw.IOError(f"injected: {operation} of {path} failed")
        if self.operations == self.crash_at:
            if happen is not None:
                happen()
            self.off = True
            self.refuse_when_off()

    def refuse_when_off(self) -> None:
        """Fail as everything does while there is no power."""
        if self.off:
            raise apsw.IOError("injected: the power is off")

    def unsynced(self, path: str) -> _Unsynced:
        """Give the changes that a file would lose."""
        return self._unsynced.setdefault(path, _Unsynced())

    def synced(self, path: str, *, folder_too: bool) -> None:
        """Note that a file's changes are durable, and with the folder which files are in it."""
        self.unsynced(path).changes.clear()
        if folder_too:
            folder = Path(path).parent
            for name, unsynced in self._unsynced.items():
                unsynced.fresh &= Path(name).parent != folder
            self._deleted = {name: content for name, content in self._deleted.items() if Path(name).parent != folder}

    def closed(self) -> None:
        """Count one handle less."""
        self._handles -= 1


class _File(apsw.VFSFile):
    """An open file on a faulty disk; its writes reach the real file at once and are remembered until a sync."""

    def __init__(self, disk: FaultyDisk, path: str, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        self._syncs_folder = bool(flags[0] & _SYNC_FOLDER and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        self._disk.refuse_when_off()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        size = self.xFileSize()
        new = bytes(data)
        change = _Change(offset, new, self._bytes_at(offset, len(new), size), size)
        self._disk.step(self._path, "write", lambda: self._remember(change))
        if self._disk.full and offset + len(new) > size:
            raise apsw.FullError(f"injected: no space for {self._path}")
        self._remember(change)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        size = self.xFileSize()
        self._disk.step(self._path, "truncate")
        self._remember(_Change(newsize, b"", self._bytes_at(newsize, size - newsize, size), size))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002
        """Note what is durable. The real file is not synced: power is lost here in play, and a sync would only cost time."""
        self._disk.step(self._path, "sync")
        self._disk.synced(self._path, folder_too=self._syncs_folder)
        self._syncs_folder = False

    def xFileSize(self) -> int:  # noqa: N802
        self._disk.refuse_when_off()
        return super().xFileSize()

    def xLock(self, level: int) -> None:  # noqa: N802
        self._disk.refuse_when_off()
        super().xLock(level)

    def xClose(self) -> None:  # noqa: N802
        self._disk.closed()
        super().xClose()

    def excepthook(
        self, etype: type[BaseException] | None, evalue: BaseException | None, etraceback: TracebackType | None
    ) -> bool:
        return self._disk.excepthook(etype, evalue, etraceback)

    def _remember(self, change: _Change) -> None:
        self._disk.unsynced(self._path).changes.append(change)

    def _bytes_at(self, offset: int, amount: int, size: int) -> bytes:
        """Read what is there; the door strips zeros from the end of a short read, so they are put back."""
        there = max(0, min(amount, size - offset))
        return super().xRead(there, offset).ljust(there, b"\0") if there else b""


def _wind_back(path: Path, unsynced: _Unsynced, rng: random.Random) -> None:
    """Undo what was not synced, then do a random part of it again."""
    if not path.exists():
        return
    content = bytearray(path.read_bytes())
    for change in reversed(unsynced.changes):
        _undo(content, change)
    for change in _survivors(unsynced.changes, rng):
        _redo(content, change)
    if unsynced.fresh and rng.random() < 0.5:
        path.unlink()
    elif unsynced.changes:
        path.write_bytes(content)


def _undo(content: bytearray, change: _Change) -> None:
    content.extend(bytes(max(0, change.old_size - len(content))))
    content[change.at : change.at + len(change.old)] = change.old
    del content[change.old_size :]


def _redo(content: bytearray, change: _Change) -> None:
    content.extend(bytes(max(0, change.at - len(content))))
    if change.new:
        content[change.at : change.at + len(change.new)] = change.new
    else:
        del content[change.at :]


def _survivors(changes: list[_Change], rng: random.Random) -> list[_Change]:
    """Choose what reached the disk: nothing, all, the first few with the last torn, or any of them, torn or whole."""
    match rng.randrange(4):
        case 0:
            return []
        case 1:
            return changes
        case 2:
            first = changes[: rng.randint(0, len(changes))]
            return [*first[:-1], _torn(first[-1], rng)] if first else []
        case _:
            return [_torn(change, rng) if rng.random() < 0.2 else change for change in changes if rng.random() < 0.5]


def _torn(change: _Change, rng: random.Random) -> _Change:
    sectors = rng.randint(0, len(change.new) // SECTOR_BYTES)
    return change._replace(new=change.new[: sectors * SECTOR_BYTES]) if sectors else change
