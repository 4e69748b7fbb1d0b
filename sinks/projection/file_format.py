"""Is a views.duckdb of the format that this version reads and writes? Asked by its writer, and by whoever reads it alone."""

from __future__ import annotations

from pathlib import Path

import duckdb

from schemas.errors import StateTooNew, StorageFailed
from sinks.projection.tables import FORMAT


def check_format(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raises StateTooNew for a newer format, StorageFailed for an older one."""
    (found,) = connection.execute("select max(format) from log.progress").fetchone() or (0,)
    if found > FORMAT:
        raise StateTooNew(f"{path}: written in format {found}, this version reads up to {FORMAT}; upgrade Millrace")
    if found < FORMAT:
        raise StorageFailed(
            f"{path}: written in format {found}, this version reads {FORMAT}; views can be rebuilt: move the file away and "
            "start the projector again"
        )
