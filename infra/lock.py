"""A file's one writer: an advisory lock on `<file>.lock` that ends with its process, however that ends.

Promise: two live processes never both hold it. It is close-on-exec: a spawned child does not keep it alive. A stopped
(SIGSTOP) process keeps it; the epoch in the file is the second line.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from schemas.errors import HomeLocked, StorageFailed


class FileLock:
    """Holds the lock from the start until `release`."""

    def __init__(self, file: Path) -> None:
        """Take the lock of `file` at once. Raises HomeLocked naming the holder, StorageFailed in a read-only folder."""
        self.path = file.with_name(file.name + ".lock")
        self._fd = _open(self.path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StorageFailed(
                    f"{self.path}: the file system refuses locks ({error.strerror}); put the home on a local disk"
                ) from error
            raise _held(file, holder) from error
        _write_pid(self._fd)

    def release(self) -> None:
        """Let go of the lock; more than once is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailed(
            f"{path}: cannot make the lock file ({error.strerror}); the home must be a writable folder: "
            "change its owner or mode, or name another with --home"
        ) from error


def _write_pid(fd: int) -> None:
    """Name the holder. A full disk must not keep a home from starting, so a failed write leaves the holder unnamed."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        return


def _held(file: Path, holder: str) -> HomeLocked:
    who = f"process {holder}" if holder else "another process"
    stop = f"stop it (kill {holder})" if holder else "stop it"
    return HomeLocked(
        f"{file}: {who} writes this file and a file has one writer; {stop} and start again, or name another home with --home"
    )
