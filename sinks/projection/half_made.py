"""A views.duckdb whose maker died, or whose disk was full, before DuckDB had written its headers: it holds nothing.

Promise: only a file that can hold nothing and that no process has locked is removed.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from schemas.errors import HomeLocked, StorageFailed

HEADER_BYTES: Final = 3 * 4_096  # DuckDB writes them first; a file without them it calls "not a valid DuckDB database file"


def is_half_made(path: Path) -> bool:
    """Tell whether there is a file that is too short for DuckDB's headers."""
    return path.exists() and path.stat().st_size < HEADER_BYTES


def remove_half_made(path: Path) -> None:
    """Remove such a file. Raises HomeLocked where a process is making it, StorageFailed where the folder is read-only."""
    if not is_half_made(path):
        return
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # DuckDB's own kind of lock
            path.unlink()
    except BlockingIOError as error:
        raise HomeLocked(f"{path}: another process is making it; start again when it is done") from error
    except OSError as error:
        raise StorageFailed(
            f"{path}: {error.strerror}; it was left half made and must be removed: the home must be writable"
        ) from error
