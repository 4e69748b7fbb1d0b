"""What is in flight is found without reading what has ended: the steps of SQLite's machine are counted."""

from __future__ import annotations

import json
from pathlib import Path

import apsw

from infra.executions import COUNT_LIVE, LIST_LIVE, list_live, live_versions
from infra.state_store import SqliteStateStore
from schemas.ports import NewExecution, TurnCommit

LIVE = 40
NOW_US = 1_767_225_600_000_000


def _store(path: Path, ended: int) -> None:
    """Make a file in which so many executions have ended, and some between them have not."""
    store = SqliteStateStore(path)
    every = ended // LIVE
    starts = [
        NewExecution(
            row, 0, row.to_bytes(16, "big"), "acme", f"f{row // every % 2}", "v1", "x", NOW_US, None if row % every else b"state"
        )
        for row in range(1, ended + 1)
    ]
    store.commit(TurnCommit(1, NOW_US, {}, starts=starts))
    store.close()


def _steps(path: Path, query: str, *bindings: object) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    connection.set_progress_handler(count, 1)
    connection.execute(query, bindings).fetchall()
    connection.close()
    return steps


def test_what_has_ended_is_not_read(tmp_path: Path) -> None:
    asked = (1 << 62, json.dumps(["f0", "f1"]), 500)
    found = []
    for ended in (400, 8_000):
        path = tmp_path / f"{ended}.db"
        _store(path, ended)
        assert len(list_live(path, ["f0", "f1"], None, 500)) == LIVE
        assert sum(live_versions(path).values()) == LIVE
        found.append((_steps(path, LIST_LIVE, *asked), _steps(path, COUNT_LIVE)))
    few, many = found
    assert many[0] < few[0] * 1.2
    assert many[1] < few[1] * 1.2


def test_a_file_of_an_older_version_gets_the_index_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "engine-0.db"
    _store(path, 400)
    connection = apsw.Connection(str(path))
    connection.execute("drop index executions_live")
    without = _steps(path, COUNT_LIVE)
    connection.close()
    assert len(list_live(path, ["f0"], None, 500)) == LIVE // 2
    SqliteStateStore(path).close()
    assert _steps(path, COUNT_LIVE) < without / 2
