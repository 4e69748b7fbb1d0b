"""A query that runs while the WAL is to be merged: the merge waits, the projector goes on."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from infra.clock import SystemClock
from sinks.projection.snapshot import NAME, Snapshots
from sinks.projection.views_file import ViewsFile


class _Busy:
    """The file's connection while DuckDB says that other transactions are in the way."""

    def __init__(self, real: duckdb.DuckDBPyConnection) -> None:
        self._real = real

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        if sql == "checkpoint":
            raise duckdb.TransactionException("Cannot CHECKPOINT: there are other write transactions active")
        return self._real.execute(sql)

    def close(self) -> None:
        self._real.close()


def test_a_merge_that_a_query_stops_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ViewsFile(tmp_path / "views.duckdb")
    snapshots = Snapshots(file, SystemClock(), every_us=0)
    snapshots.changed()
    with monkeypatch.context() as busy:
        busy.setattr(file, "_connection", _Busy(file._connection))
        assert not file.checkpoint()
        snapshots.tick()
        assert not (tmp_path / NAME).exists()
    assert file.checkpoint()
    snapshots.finish()
    assert (tmp_path / NAME).exists()
    file.close()
