"""The door to views.duckdb for its one writer.

Promise: the rows of a commit and the positions they came from are one transaction. DuckDB lets no other process open the file
meanwhile, so queries run in this process, each on a cursor of its own. `merge` keeps no commit waiting, from any thread.
Cost: about 1.5 ms a table and commit, and 4 µs a row; a merge 2 µs a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import msgspec
import polars as pl

from schemas.errors import BrokenInvariant, HomeLocked, StorageFailed
from schemas.ports import Slot
from sinks.projection.damage import LOCKED, ViewsDamaged, is_damage, must_be_duckdb
from sinks.projection.file_format import check_format
from sinks.projection.half_made import remove_half_made
from sinks.projection.tables import FORMAT, HALVES, HOLD_VACUUM, KEEP_LAST, LAST_PROGRESS, SETUP, VIEWS, create_views

FILE: Final = "views.duckdb"
THREADS: Final = 2
MEMORY: Final = "768MB"
FULL: Final = ("No space left", "File too large")  # DuckDB has no class for it
VERSION: Final = "database file with version number"
OURS: Final = (duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError, duckdb.NotSupportedError)  # not the disk's fault


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the views are. `as_of_us`: wall time up to which everything appended is shown."""

    ord: int
    event_time_us: int  # the highest event time seen
    as_of_us: int
    positions: Mapping[Slot, int]
    sources: Mapping[str, str] = field(default_factory=dict)  # incarnations of the files read; the first one stored stays


class ViewsFile:
    """Opened for writing; configuration is locked before anybody's SQL runs."""

    def __init__(self, path: Path, *, memory: str = MEMORY, threads: int = THREADS) -> None:
        """Open or make the file. Raises HomeLocked, StateTooNew, StorageFailed, ViewsDamaged."""
        self.path = path
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory,
            "python_enable_replacements": False,
            "checkpoint_threshold": "1TB",  # a checkpoint within a commit would stop the writer
        }
        self._half = 0
        self.as_of_us = 0  # later than that of the last commit where nothing was appended since
        remove_half_made(path)
        must_be_duckdb(path)
        with _storage_errors(path):
            self._connection = duckdb.connect(str(path), config=config)
            self._root = self._connection.cursor()
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def progress(self) -> Progress:
        """Tell how far the last commit came."""
        with _storage_errors(self.path):
            row = self._connection.execute(f"select ord, event_time_us, as_of_us {LAST_PROGRESS}").fetchone()
            positions = last_positions(self._connection)
            sources = dict(self._connection.execute("select source, incarnation from log.sources").fetchall())
        assert row is not None
        return Progress(row[0], row[1], row[2], positions, sources)

    def commit(self, rows: Mapping[str, pl.DataFrame], progress: Progress) -> None:
        """Append rows to tables and move the positions, in one transaction. Raises StorageFailed; then the process must stop."""
        positions = msgspec.json.encode([[list(slot), following] for slot, following in progress.positions.items()]).decode()
        fresh = self._fresh_sources(progress)
        self._number += 1
        values = [FORMAT, self._number, progress.ord, progress.event_time_us, progress.as_of_us, positions]
        with _storage_errors(self.path):
            self._connection.execute("begin")
            for table, frame in rows.items():
                self._append(table, frame)
            self._connection.execute("insert into log.progress values (?, ?, ?, ?, ?, ?)", values)
            for source, incarnation in fresh.items():
                self._connection.execute("insert into log.sources values (?, ?)", [source, incarnation])
            self._connection.execute("commit")
        self._sources |= fresh.keys()

    def turn_over(self) -> None:
        """Leave the tables written so far to the next merge; for the writer's thread, while no merge runs."""
        with _storage_errors(self.path):
            self._connection.execute(KEEP_LAST)  # an update in its place would wait for a merge, and a deleted row stays
        self._half = 1 - self._half

    def merge(self) -> bool:
        """Write the WAL's rows into the file, beside the writer; False where DuckDB says that something is in the way.

        An open transaction that writes keeps DuckDB 1.5 from vacuuming, for which every writer would have to wait.
        """
        with _storage_errors(self.path), self.cursor() as underway, self.cursor() as merging:
            underway.execute("begin")
            underway.execute(HOLD_VACUUM)
            try:
                merging.execute("checkpoint")
            except duckdb.TransactionException:
                return False
            underway.execute("rollback")
        return True

    def wal_bytes(self) -> int:
        """Tell how much is in the WAL only."""
        wal = self.path.with_name(self.path.name + ".wal")
        return wal.stat().st_size if wal.exists() else 0

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Give a connection of its own to the same data, for another thread."""
        return self._root.cursor()

    def close(self) -> None:
        """Merge the WAL and let go of the file."""
        with _storage_errors(self.path):
            self._root.close()
            self._connection.close()

    def _fresh_sources(self, progress: Progress) -> dict[str, str]:
        """Give the files whose positions come for the first time, with their incarnations."""
        read = {slot.source for slot in progress.positions} - self._sources
        return {source: incarnation for source, incarnation in progress.sources.items() if source in read}

    def _append(self, table: str, frame: pl.DataFrame) -> None:
        self._connection.register("incoming", frame.to_arrow())
        self._connection.execute(f"insert into {HALVES[self._half]}.{table} by name select * from incoming")
        self._connection.unregister("incoming")

    def _prepare(self) -> None:
        with _storage_errors(self.path):
            self._connection.execute("set timezone = 'UTC'")
            if not self._count("duckdb_schemas() where schema_name = 'log'"):
                self._make()
            check_format(self._connection, self.path)
            (self._number,) = self._connection.execute(f"select number {LAST_PROGRESS}").fetchone()  # type: ignore[misc]
            self._sources = {source for (source,) in self._connection.execute("select source from log.sources").fetchall()}
            for statement in (statement for name in VIEWS for statement in create_views(name)):
                self._connection.execute(statement)
            self._connection.execute("set enable_external_access = false")
            self._connection.execute("set lock_configuration = true")

    def _count(self, what: str) -> int:
        (count,) = self._connection.execute(f"select count(*) from {what}").fetchone() or (0,)
        return int(count)

    def _make(self) -> None:
        if self._count("duckdb_tables()"):
            raise StorageFailed(f"{self.path}: this DuckDB file holds other tables than views; move it away and start again")
        self._connection.execute("begin")
        for statement in SETUP:
            self._connection.execute(statement)
        self._connection.execute("commit")


def last_positions(connection: duckdb.DuckDBPyConnection) -> dict[Slot, int]:
    """Give the positions of the last commit to a file of views."""
    (stored,) = connection.execute(f"select positions {LAST_PROGRESS}").fetchone() or ("[]",)
    return {Slot(*slot): following for slot, following in msgspec.json.decode(stored)}


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turn what DuckDB raises into ours, with what to do."""
    try:
        yield
    except duckdb.IOException as error:
        if LOCKED in str(error):
            raise HomeLocked(f"{path}: another process has it open; stop it and start again ({_first_line(error)})") from error
        raise _failed(path, error) from error
    except duckdb.OutOfMemoryException as error:
        raise StorageFailed(
            f"{path}: queries and views need more memory than DuckDB may take; nothing is lost, start again and ask for less "
            f"({_first_line(error)})"
        ) from error
    except OURS as error:
        raise BrokenInvariant(f"{path}: DuckDB refused a statement ({_first_line(error)}); this is a bug: report it") from error
    except duckdb.Error as error:
        raise _failed(path, error) from error


def _failed(path: Path, error: duckdb.Error) -> StorageFailed:
    if is_damage(error):
        return ViewsDamaged(f"{path}: damaged ({_first_line(error)})")
    return StorageFailed(f"{path}: {_what_to_do(error)}")


def _what_to_do(error: Exception) -> str:
    said = str(error)
    if any(words in said for words in FULL):
        return f"the disk is full; a commit needs room: free some and start again, nothing is lost ({_first_line(error)})"
    if VERSION in said:
        return f"{_first_line(error)}; it is of another version of DuckDB: move it away, or upgrade"
    if isinstance(error, duckdb.IOException):
        return f"{_first_line(error)}; it must be writable, and the disk have room"
    return f"{_first_line(error)}; views can be rebuilt: move the file away and start the projector again"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
