"""What lies in a log file, from its own accounts: for each topic and partition the first position kept and the next one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from infra.sqlite import has_table, open_reader, rows, snapshot


class LogEnd(NamedTuple):
    """The records first .. next - 1 of one partition are there."""

    topic: str
    partition: int
    first: int
    next: int


def log_ends(path: Path, *, vfs: str | None = None) -> list[LogEnd]:
    """Give the ends of every partition of a file by topic, [] where the file is missing or has no log yet."""
    if not path.exists():
        return []
    connection = open_reader(path, vfs=vfs)
    try:
        if not has_table(connection, "log_ends"):
            return []
        with snapshot(connection):
            query = "select name, partition, first, next from log_ends join log_topics on id = topic order by name, partition"
            return [LogEnd(*values) for values in rows(connection, query)]
    finally:
        connection.close()
