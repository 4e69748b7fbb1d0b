"""The writer of a file that is nothing but a log (ingress.db); its readers are in file_reader.

Promise: `append` returns when the records are on the disk; a crash leaves all of a batch or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra import file_meta, log_tables
from infra.file_meta import FORMATS, Layout
from infra.file_reader import FileReader
from infra.log_tables import Registered, last_seq
from infra.own_file import open_own
from infra.sqlite import Connection, close, storage_errors, transaction
from schemas.ports import Append
from schemas.topics import PARTITIONS

__all__ = ["FileReader", "IngressLog", "Registered", "last_seq"]

LAYOUT: Final = Layout("log", FORMATS["log"])


class IngressLog:
    """The writer of a file that is nothing but a log. Holds the file's lock."""

    def __init__(
        self, path: Path, *, partitions: int = PARTITIONS, vfs: str | None = None, incarnation: str | None = None
    ) -> None:
        """Open the log, or make it with so many partitions a topic. Raises HomeLocked, StorageFailed, StateTooNew."""
        self.path = path
        self._lock, self._connection = open_own(path, vfs=vfs)
        try:
            meta = _prepare(self._connection, partitions, incarnation)
        except BaseException:
            self.close()
            raise
        self.partitions = int(meta["partitions"])
        self.incarnation = meta["incarnation"]

    def append(self, batch: Sequence[Append], now_us: int) -> list[int]:
        """Append durably in one transaction; give the base position of each item. After StorageFailed: close and open again."""
        with transaction(self._connection):
            return log_tables.append(self._connection, batch, now_us)

    def drop_before(self, day: int, readers: Sequence[Registered]) -> list[int]:
        """Drop days before `day` (YYYYMMDD) that every reader has read; give the days dropped."""
        with transaction(self._connection):
            return log_tables.drop_before(self._connection, day, readers)

    def free_dropped(self) -> bool:
        """Give some of the room of dropped days back to the file; tell whether there is more to do."""
        with transaction(self._connection):
            return log_tables.free_dropped(self._connection)

    def close(self) -> None:
        """Let go of the file and its lock."""
        close(self._connection)
        self._lock.release()


def _prepare(connection: Connection, partitions: int, incarnation: str | None) -> dict[str, str]:
    if not file_meta.is_made(connection):
        with transaction(connection):
            file_meta.make(connection, LAYOUT, {"partitions": str(partitions)}, incarnation)
            log_tables.create(connection)
    with storage_errors(connection.filename):
        return file_meta.read(connection, LAYOUT)
