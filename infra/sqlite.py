"""The one door to SQLite: opens files for their writer and for readers, and turns its exceptions into ours.

Promise: what `transaction` left without an error is on the disk (WAL, synchronous=FULL). Nobody retries a COMMIT that failed:
the caller stops and reads the file again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw

from schemas.errors import BrokenInvariant, Fatal, HomeLocked, StorageFailed

Connection = apsw.Connection

LEAST_VERSION: Final = 3_051_003  # below: the WAL-reset bug can corrupt a file
PAGE_BYTES: Final = 8192
CACHE_KIB: Final = 64 * 1024
READER_CACHE_KIB: Final = 8 * 1024
CHECKPOINT_PAGES: Final = 1024  # 8 MiB of WAL; 32 MiB would write 2 % less, and hold up a commit for three times as long
BUSY_MS: Final = 5_000


def open_writer(path: Path, *, vfs: str | None = None) -> Connection:
    """Open or create a file for its one writer; the caller holds the file's lock. Raises StorageFailed or HomeLocked."""
    _refuse_old_library()
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    with storage_errors(path):
        connection = apsw.Connection(_uri(path, "rwc"), flags=flags, vfs=vfs)
        try:
            connection.set_busy_timeout(BUSY_MS)
            connection.execute(f"pragma page_size = {PAGE_BYTES}")
            mode = connection.execute("pragma journal_mode = wal").get
            if mode != "wal":  # an error of the disk on the way is answered with the old mode, not raised
                raise StorageFailed(f"{path}: SQLite cannot switch to WAL (it stays {mode!r}); the home must be on a local disk")
            connection.execute("pragma synchronous = full")
            connection.execute(f"pragma cache_size = -{CACHE_KIB}")
            connection.wal_autocheckpoint(CHECKPOINT_PAGES)
            _make_durable(path, vfs)
        except BaseException:
            close(connection)
            raise
    return connection


def open_reader(path: Path, *, vfs: str | None = None) -> Connection:
    """Open an existing file for reading only. Raises StorageFailed, also where there is no file.

    A file whose writer died while it made it (the only time without a WAL) is empty until the writer comes back and undoes
    what it had begun; a reader may not undo it, so it gets an empty file.
    """
    _refuse_old_library()
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with storage_errors(path):
        connection = apsw.Connection(_uri(path, "ro"), flags=flags, vfs=vfs)
        connection.set_busy_timeout(BUSY_MS)
        try:
            connection.execute(f"pragma cache_size = -{READER_CACHE_KIB}")
            _make_durable(path, vfs)
        except (apsw.ReadOnlyError, apsw.IOError) as error:
            connection.close(force=True)
            if getattr(error, "extendedresult", 0) not in _HALF_MADE:
                raise
            connection = apsw.Connection(":memory:")
        except BaseException:
            close(connection)
            raise
    return connection


def close(connection: Connection) -> None:
    """Let go of a file. What fails here loses nothing: commits are on the disk, and the next to open does the checkpoint."""
    try:
        connection.close(force=True)
    except apsw.Error:
        return


def rows(connection: Connection, query: str, bindings: Sequence[Any] = ()) -> Iterator[Any]:
    """Give the rows of a query one by one, as tuples; who asked knows their types."""
    return connection.execute(query, bindings)


def value(connection: Connection, query: str, bindings: Sequence[Any] = ()) -> Any:
    """Give the first row of a query: its value, or a tuple where it has several; None without a row."""
    return connection.execute(query, bindings).get


def library_version() -> int:
    """Give the version of the SQLite library as a number, 3.54.0 is 3054000."""
    return apsw.SQLITE_VERSION_NUMBER


def has_table(connection: Connection, name: str) -> bool:
    """Tell whether a table is there; a file whose writer has only just made it has none."""
    with storage_errors(connection.filename):
        return bool(connection.execute("select count(*) from sqlite_schema where name = ?", (name,)).get)


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Run the body in one write transaction; commit, or roll back on any error.

    Raises StorageFailed where the disk failed. After that the caller must stop: whether the last commit is in the file, the
    file alone can tell.
    """
    with storage_errors(connection.filename):
        connection.execute("begin immediate")
        try:
            yield
            connection.execute("commit")
        except BaseException:
            _roll_back(connection)
            raise


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Run the body on one state of the file. Keep it short: an open snapshot lets the WAL grow."""
    with storage_errors(connection.filename):
        connection.execute("begin")
        try:
            yield
        finally:
            _roll_back(connection)


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn what SQLite raises in the body into StorageFailed, HomeLocked or BrokenInvariant, with what to do."""
    try:
        yield
    except apsw.Error as error:
        raise _ours(str(path), error) from error


def _ours(path: str, error: apsw.Error) -> Fatal:
    folder = Path(path).parent
    if isinstance(error, apsw.IOError | apsw.CantOpenError) and folder.is_dir():  # SQLite has these words for much
        if shutil.disk_usage(folder).free < PAGE_BYTES:
            return StorageFailed(f"{path}: {_FULL} (SQLite says: {error})")
        if not os.access(folder, os.W_OK):
            return StorageFailed(f"{path}: {_READ_ONLY} (SQLite says: {error})")
    for theirs, ours, advice in _ADVICE:
        if isinstance(error, theirs):
            return ours(f"{path}: {advice} (SQLite says: {error})")
    return BrokenInvariant(f"{path}: SQLite refused a statement ({type(error).__name__}: {error}); this is a bug: report it")


def _roll_back(connection: Connection) -> None:
    """Leave the transaction, if the error has not ended it already; what failed first is what the caller hears of."""
    if connection.in_transaction:
        try:
            connection.execute("rollback")
        except apsw.Error:
            return


def _make_durable(path: Path, vfs: str | None) -> None:
    """Sync the WAL that was just opened, and its name in the folder.

    The last commit of a writer that died while it synced stands in the WAL, and the first to open the file finds it there. Who
    reads it keeps what follows from it in other files: a loss of power must not take it away any more.
    """
    wal = f"{path.absolute()}-wal"
    if Path(wal).exists():
        file = apsw.VFSFile(vfs or "", wal, [_WAL_FLAGS, 0])
        try:
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
        finally:
            file.xClose()


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _refuse_old_library() -> None:
    version = apsw.SQLITE_VERSION_NUMBER
    if version < LEAST_VERSION:
        raise Fatal(f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL file; 3.51.3 or newer is wanted: upgrade apsw")


_WAL_FLAGS: Final = (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
)  # to create: the folder's sync too
_HALF_MADE: Final = (apsw.SQLITE_READONLY_ROLLBACK, apsw.SQLITE_IOERR_LOCK)  # what a reader hears of another's rollback journal
_FULL: Final = "the disk is full; a commit needs room: free some and start again"
_READ_ONLY: Final = "the folder is read-only, it must be writable, for readers leave marks in it too: change its owner or mode"
_ADVICE: Final[tuple[tuple[type[apsw.Error], type[Fatal], str], ...]] = (
    (apsw.FullError, StorageFailed, _FULL),
    (apsw.ReadOnlyError, StorageFailed, "the file is read-only, it must be writable: change its owner or mode"),
    (apsw.CantOpenError, StorageFailed, "the file cannot be opened: check that its folder exists, its owner and its mode"),
    (apsw.PermissionsError, StorageFailed, "access is denied, it must be readable and writable: change its owner or mode"),
    (apsw.CorruptError, StorageFailed, "the file is damaged: keep a copy, see `millrace doctor`, restore it from a backup"),
    (apsw.NotADBError, StorageFailed, "this is not a SQLite file: move it away, or name another home with --home"),
    (apsw.BusyError, HomeLocked, "another process writes the file, one may: stop it and start again"),
    (apsw.LockedError, HomeLocked, "another connection writes the file, one may: stop it and start again"),
    (apsw.IOError, StorageFailed, "the disk failed to read or write: check it (dmesg, quota) and start again"),
    (apsw.NoMemError, StorageFailed, "memory ran out: free some and start again"),
)
