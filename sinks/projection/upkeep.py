"""What is done to views.duckdb now and then, on a thread beside the writer: its WAL is merged, and a snapshot is copied.

Promise: commits go on meanwhile. One thing at a time: while a copy runs nothing is merged, and only merges change the file.
A kill may have torn a block that nobody has asked for since, so the first copy of a process takes the last one's place only
after all of it was read, which takes one core some 3 s a GB.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from schemas.errors import Fatal, HomeLocked, StorageFailed
from schemas.ports import Clock
from sinks.projection.damage import ViewsDamaged
from sinks.projection.read_whole import read_whole
from sinks.projection.snapshot import NAME, copy_snapshot, is_stale
from sinks.projection.views_file import ViewsFile

EVERY_US: Final = 60_000_000
WAL_BYTES: Final = 32 << 20
REST: Final = 9  # a large file's copy takes at most a tenth of the time
_log = logging.getLogger(__name__)


class Upkeep:
    """Merges, and makes snapshots. All methods are for the projector's thread."""

    def __init__(self, file: ViewsFile, clock: Clock, every_us: int = EVERY_US, wal_bytes: int = WAL_BYTES) -> None:
        self._file = file
        self._target = file.path.with_name(NAME)
        self._clock = clock
        self._every_us = every_us
        self._wal_bytes = wal_bytes
        self._next_us = clock.now_us() + every_us
        self._thread: threading.Thread | None = None
        self._failure: Fatal | None = None
        self._whole = False  # a copy of this file was read, and what was written since is this process's
        self._dirty = is_stale(self._target, file.path)

    @property
    def busy(self) -> bool:
        """Tell whether something is under way."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def damage(self) -> ViewsDamaged | None:
        """Tell what the last merge or copy found; for after `close`."""
        return self._failure if isinstance(self._failure, ViewsDamaged) else None

    def changed(self) -> None:
        """Note that rows were committed."""
        self._dirty = True

    def tick(self) -> None:
        """Begin what is due. Raises StorageFailed where the last merge or copy failed."""
        if self.busy:
            return
        self.wait()
        if self._dirty and self._clock.now_us() >= self._next_us:
            self._begin(copy=True)
        elif self._file.wal_bytes() >= self._wal_bytes:
            self._begin(copy=False)

    def finish(self) -> None:
        """Merge all, make a last snapshot and wait for it."""
        self.wait()
        self._begin(copy=self._dirty)
        self.wait()

    def wait(self) -> None:
        """Wait for what is under way. Raises StorageFailed where it failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Wait for what is under way, whatever comes of it: it must not outlive the file."""
        if self._thread is not None:
            self._thread.join()

    def _begin(self, *, copy: bool) -> None:
        self._file.turn_over()
        if copy:
            self._dirty = False  # what is committed from here on is in the next one
        self._thread = threading.Thread(target=self._guarded, args=(copy,), name="upkeep")
        self._thread.start()

    def _guarded(self, copy: bool) -> None:
        try:
            merged = self._file.merge()
            if copy and merged:
                self._copy()
            elif copy:
                self._dirty = True
        except Fatal as error:
            self._failure = error

    def _copy(self) -> None:
        started_us = self._clock.now_us()
        try:
            copy_snapshot(self._file.path, self._target, None if self._whole else self._read)
        except _Unread as error:
            _log.warning("%s; %s stays as it is until then", error, self._target.name)
            self._dirty = True
        except OSError as error:
            raise StorageFailed(f"{self._target}: {error.strerror}; the disk must have room for a second copy") from error
        now_us = self._clock.now_us()
        self._next_us = max(started_us + self._every_us, now_us + REST * (now_us - started_us))

    def _read(self, copy: Path) -> None:
        """Raises ViewsDamaged of the views where their copy is, _Unread where that cannot be known."""
        try:
            read_whole(copy)
        except ViewsDamaged as damage:
            raise ViewsDamaged(f"{self._file.path}: damaged, as its copy shows ({damage})") from damage
        except (StorageFailed, HomeLocked) as error:
            raise _Unread(str(error)) from error
        self._whole = True


class _Unread(Exception):
    """A copy could not be read for want of memory, or the like."""
