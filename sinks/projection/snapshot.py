"""A copy of the views for other tools, since DuckDB lets nobody open the file that the projector writes.

Promise: `views.snapshot.duckdb` is whole at any time: the file is copied beside it, synced, and renamed over it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

NAME: Final = "views.snapshot.duckdb"
PIECE_BYTES: Final = 4 << 20  # synced one by one: a commit waits for what others have written and not synced


def copy_snapshot(source: Path, target: Path, check: Callable[[Path], object] | None = None) -> None:
    """Copy a file that does not change meanwhile; raises OSError, and leaves nothing half made then.

    What `check` raises of the copy keeps it from taking the place of what is there.
    """
    part = target.with_name(target.name + ".part")
    try:
        with source.open("rb") as original, part.open("wb") as copy:
            while piece := original.read(PIECE_BYTES):
                copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
        if check is not None:
            check(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def is_stale(target: Path, source: Path) -> bool:
    """Tell whether a snapshot may lack rows: a projector that was killed had no time for a last one."""
    if not target.exists():
        return True
    parts = (source, source.with_name(source.name + ".wal"))
    return any(part.stat().st_mtime_ns > target.stat().st_mtime_ns for part in parts if part.exists())
