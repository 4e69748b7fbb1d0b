"""What lies in a log file, from its own accounts: for each topic and partition the first position kept and the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.log_tables import day_table
from infra.sqlite import has_table, open_reader, rows, snapshot, value


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


def whole_from_us(path: Path, topics: Callable[[str], bool], now_us: int) -> int | None:
    """Tell since which append time all records of some topics are there; None where retention has dropped none of them."""
    if not any(end.first for end in log_ends(path) if topics(end.topic)):
        return None
    connection = open_reader(path)
    try:
        with snapshot(connection):
            oldest = value(connection, "select day from log_days order by first_seq limit 1")
            query = f"select appended_us from {day_table(oldest)} order by seq limit 1" if oldest else "select null"
            found = value(connection, query)
            return now_us if found is None else int(found)
    finally:
        connection.close()
