"""What a home says about itself before a role opens it."""

from __future__ import annotations

from pathlib import Path

from infra import file_meta
from infra.embedded_log import LAYOUT
from infra.sqlite import open_reader, storage_errors


def partitions_of(ingress: Path, *, vfs: str | None = None) -> int | None:
    """Give the partitions a topic of a home has, None while its ingress file is not made yet."""
    if not ingress.exists():
        return None
    connection = open_reader(ingress, vfs=vfs)
    try:
        if not file_meta.is_made(connection):
            return None
        with storage_errors(ingress):
            return int(file_meta.read(connection, LAYOUT)["partitions"])
    finally:
        connection.close()
