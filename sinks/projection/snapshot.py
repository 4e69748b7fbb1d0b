"""A copy of the views for other tools, since DuckDB lets nobody open the file that the projector writes.

Promise: `views.snapshot.duckdb` is whole at any time: the WAL is merged, the file copied beside, synced, and renamed over.
While a copy runs the writer goes on, into the WAL only: the main file changes at checkpoints, and these wait.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Final

from schemas.errors import StorageFailed
from schemas.ports import Clock
from sinks.projection.views_file import ViewsFile

NAME: Final = "views.snapshot.duckdb"
EVERY_US: Final = 60_000_000


class Snapshots:
    """Makes a snapshot now and then, on a thread of its own. All methods are for the projector's thread."""

    def __init__(self, file: ViewsFile, clock: Clock, every_us: int = EVERY_US) -> None:
        self._file = file
        self._target = file.path.with_name(NAME)
        self._clock = clock
        self._every_us = every_us
        self._next_us = clock.now_us() + every_us
        self._copying: threading.Thread | None = None
        self._failure: OSError | None = None
        self._dirty = _is_stale(self._target, file.path)

    def changed(self) -> None:
        """Note that rows were committed."""
        self._dirty = True

    def tick(self) -> None:
        """Begin a snapshot where it is time and something changed. Raises StorageFailed where the last one failed."""
        self._reap()
        if self._copying is None and self._dirty and self._clock.now_us() >= self._next_us:
            self._begin()

    def finish(self) -> None:
        """Make a last snapshot and wait for it."""
        if self._copying is not None:
            self._copying.join()
        self._reap()
        if self._dirty:
            self._begin()
        if self._copying is not None:
            self._copying.join()
            self._reap()

    def _begin(self) -> None:
        if not self._file.checkpoint():
            return
        self._file.copying = True
        self._dirty = False
        self._next_us = self._clock.now_us() + self._every_us
        self._copying = threading.Thread(target=self._copy, name="snapshot")
        self._copying.start()

    def _copy(self) -> None:
        part = self._target.with_name(NAME + ".part")
        try:
            shutil.copyfile(self._file.path, part)
            with part.open("rb") as copied:
                os.fsync(copied.fileno())
            part.replace(self._target)
        except OSError as error:
            self._failure = error
            part.unlink(missing_ok=True)

    def _reap(self) -> None:
        if self._copying is None or self._copying.is_alive():
            return
        self._copying = None
        self._file.copying = False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise StorageFailed(f"{self._target}: {failure.strerror}; the disk must have room for a second copy")


def _is_stale(target: Path, source: Path) -> bool:
    """Tell whether a snapshot may lack rows: a projector that was killed had no time for a last one."""
    if not target.exists():
        return True
    parts = (source, source.with_name(source.name + ".wal"))
    return any(part.stat().st_mtime_ns > target.stat().st_mtime_ns for part in parts if part.exists())
