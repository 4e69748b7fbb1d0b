"""Limits of this machine, measured in the same run, so that figures of different machines can be compared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import apsw
import numpy as np
import polars as pl

JOIN_ROWS: Final = 2_000_000
JOIN_KEYS: Final = 10_000


def full_commits_per_s(folder: Path, seconds: float) -> float:
    """Commit one 300-byte row at a time with WAL and synchronous=FULL; give commits a second."""
    path = folder / "yardstick.db"
    connection = apsw.Connection(str(path))
    for statement in (
        "pragma journal_mode=wal",
        "pragma synchronous=full",
        "create table rows(id integer primary key, value blob)",
    ):
        connection.execute(statement).fetchall()
    value, commits = b"x" * 300, 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        connection.execute("insert into rows(value) values (?)", (value,))
        commits += 1
    rate = commits / (time.perf_counter() - started)
    connection.close()
    for file in folder.glob("yardstick.db*"):
        file.unlink()
    return rate


def join_rows_per_s(rows: int = JOIN_ROWS) -> float:
    """Join rows with 10,000 parameters on an integer key and compare one column, as the matcher does; give rows a second."""
    rng = np.random.default_rng(1)
    left = pl.DataFrame({"key": rng.integers(0, JOIN_KEYS, rows), "value": rng.random(rows)})
    right = pl.DataFrame({"key": np.arange(JOIN_KEYS), "least": rng.random(JOIN_KEYS)})
    started = time.perf_counter()
    left.lazy().join(right.lazy(), on="key").filter(pl.col("value") >= pl.col("least")).collect()
    return rows / (time.perf_counter() - started)
