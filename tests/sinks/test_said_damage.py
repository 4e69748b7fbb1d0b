"""What a query says of damage is no proof of it: only reading the views is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from infra.clock import SystemClock
from schemas.errors import InvalidInput
from sinks.projection.query import Cursor, Question
from sinks.projection.query_socket import FILE, QueryClient, QueryServer
from sinks.projection.views_file import ViewsFile


class _Troubled:
    """A cursor on which one statement meets what DuckDB says of a damaged block."""

    def __init__(self, real: Cursor) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *values: Any) -> Cursor:
        if sql == "select 42":
            raise duckdb.IOException("Corrupt database file: computed checksum 1 does not match stored checksum 2 in block")
        return self._real.execute(sql, *values)


@contextmanager
def _served(home: Path, cursor: Callable[[ViewsFile], Any]) -> Iterator[QueryServer]:
    with closing(ViewsFile(home / FILE)) as file, closing(QueryServer(home, lambda: cursor(file))) as server:
        yield server


@pytest.mark.parametrize(
    "sql",
    [
        "select cast('Failed to deserialize the JSON body' as int)",
        'select "MetadataReader" from events',
        "select 'Corrupt WAL file'::timestamp",
        "from read_csv('Corrupt database file')",
    ],
)
def test_a_query_cannot_say_that_the_views_are_damaged(tmp_path: Path, sql: str) -> None:
    with _served(tmp_path, ViewsFile.cursor) as server:
        with pytest.raises(InvalidInput):
            QueryClient(tmp_path, SystemClock()).ask(Question(sql))
        assert not server.damage


def test_what_a_query_meets_is_no_damage_where_the_views_can_be_read(tmp_path: Path) -> None:
    with _served(tmp_path, lambda file: _Troubled(file.cursor())) as server:
        with pytest.raises(InvalidInput, match="checksum"):
            QueryClient(tmp_path, SystemClock()).ask(Question("select 42"))
        assert not server.damage
