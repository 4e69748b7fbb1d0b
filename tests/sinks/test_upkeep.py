"""Merging the views' WAL and copying the file, beside a writer that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from infra.clock import SystemClock
from schemas.errors import BrokenInvariant, StorageFailed
from schemas.ports import Slot
from sinks.projection.damage import ViewsDamaged, is_damage
from sinks.projection.set_aside import set_aside, take_snapshot
from sinks.projection.snapshot import NAME
from sinks.projection.tables import DEAD_LETTERS, EVENTS, HALVES, RESULTS
from sinks.projection.upkeep import Upkeep
from sinks.projection.views_file import Progress, ViewsFile
from tests.sinks.world import wait_until

ROWS = 20_000
SLOW = {"debug_checkpoint_scan_sleep_ms": "250"}  # DuckDB's own, made for such tests: it sleeps while a table is being merged

_CHILD = """
import sys
from pathlib import Path
from infra.clock import SystemClock
from sinks.projection.upkeep import Upkeep
from sinks.projection.views_file import ViewsFile
from tests.sinks.test_upkeep import append

file = ViewsFile(Path(sys.argv[1]))
upkeep = Upkeep(file, SystemClock(), wal_bytes=0)
for number in range(file.progress().ord, 1_000_000):
    append(file, number, 500)
    upkeep.tick()
    print(number, flush=True)
"""


def append(file: ViewsFile, number: int, rows: int) -> None:
    """Commit so many results and a position."""
    frame = pl.DataFrame(
        {
            "ord": [number] * rows,
            "tenant": ["acme"] * rows,
            "action": [f"a-{number}-{row}" for row in range(rows)],
            "status": ["delivered"] * rows,
            "attempts": pl.Series([1] * rows, dtype=pl.Int32),
        }
    )
    file.commit({RESULTS: frame}, Progress(number + 1, 0, 0, {Slot("a", "b", 0): number + 1}))


def _connect_slow(
    connect: Callable[..., duckdb.DuckDBPyConnection], path: str, config: dict[str, str], *, read_only: bool = False
) -> Any:
    return connect(path, read_only=read_only, config=config | SLOW)


def _counts(file: ViewsFile) -> list[int]:
    with file.cursor() as cursor:
        return [cursor.execute(f"select count(*) from {half}.{RESULTS}").fetchone()[0] for half in HALVES]  # type: ignore[index]


def test_commits_do_not_wait_for_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb, "connect", partial(_connect_slow, duckdb.connect))
    file = ViewsFile(tmp_path / "views.duckdb")
    append(file, 0, ROWS)
    upkeep = Upkeep(file, SystemClock(), wal_bytes=1)
    upkeep.tick()
    during = 0
    while upkeep.busy:
        append(file, during + 1, 10)
        during += 1
    upkeep.wait()
    assert during > 3, "commits must go on while a merge sleeps; behind it there would be one"
    assert _counts(file) == [ROWS, 10 * during]
    upkeep.finish()
    assert file.progress().ord == during + 1
    file.close()


def _killed(path: Path, merging: Path, lines: int) -> int:
    """Let a child write until it has said so many lines and merges, kill it, and give the last number it said."""
    command = [sys.executable, "-c", _CHILD, str(path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(lines)]
        wait_until(merging.exists)
        os.kill(child.pid, signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().splitlines()]
    return told[-1]


def _seen_alone(path: Path) -> int:
    """Read the file as a query does while no projector runs."""
    with duckdb.connect(str(path), read_only=True) as other:
        (seen,) = other.execute("select max(ord) from log.progress").fetchone() or (0,)
    return int(seen)


def _whole_after(path: Path, told: int) -> bool:
    """Check what a kill has left; False where DuckDB itself has torn it (sinks/projection/damage.py): that is mended."""
    try:
        seen = _seen_alone(path)
        file = ViewsFile(path)
    except (duckdb.IOException, ViewsDamaged) as error:
        assert isinstance(error, ViewsDamaged) or is_damage(error), error
        set_aside(path, str(told))
        return False
    done = file.progress().ord
    assert done >= seen > told
    assert sum(_counts(file)) == done * 500
    file.close()
    return True


@pytest.mark.slow  # real processes, killed again and again
def test_a_kill_at_any_moment_of_a_merge_leaves_all_of_it_once_or_damage_that_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "views.duckdb"
    merging = path.with_name(path.name + ".wal.checkpoint")
    caught = kills = 0
    while caught < 2 or kills < 4:
        told = _killed(path, merging, 3 + 2 * kills)
        met = merging.exists()
        caught += _whole_after(path, told) and met
        kills += 1
        assert kills < 16, "no kill met a merge and left it whole"


def test_progress_is_kept_once_and_views_hold_both_halves(tmp_path: Path) -> None:
    file = ViewsFile(tmp_path / "views.duckdb")
    upkeep = Upkeep(file, SystemClock())
    for number in range(4):
        append(file, number, 3)
        upkeep.finish()
    with file.cursor() as cursor:
        assert cursor.execute("select count(*), max(ord) from log.progress").fetchone() == (1, 4)
        assert cursor.execute("select count(*), count(distinct action) from log.results").fetchone() == (12, 12)
    assert _counts(file) == [6, 6]
    assert {EVENTS, DEAD_LETTERS} <= _views(file)
    file.close()


def _views(file: ViewsFile) -> set[str]:
    with file.cursor() as cursor:
        return {name for (name,) in cursor.execute("select view_name from duckdb_views() where schema_name = 'log'").fetchall()}


class _Busy:
    """A cursor while DuckDB says that other transactions are in the way."""

    def __init__(self, real: duckdb.DuckDBPyConnection) -> None:
        self._real = real

    def __enter__(self) -> _Busy:
        return self

    def __exit__(self, *error: object) -> None:
        self._real.close()

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        if sql == "checkpoint":
            raise duckdb.TransactionException("Cannot CHECKPOINT: there are other write transactions active")
        return self._real.execute(sql)


def test_a_merge_that_something_stops_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ViewsFile(tmp_path / "views.duckdb")
    upkeep = Upkeep(file, SystemClock(), every_us=0)
    upkeep.changed()
    cursor = file.cursor
    with monkeypatch.context() as busy:
        busy.setattr(file, "cursor", lambda: _Busy(cursor()))
        upkeep.tick()
        upkeep.wait()
        assert not (tmp_path / NAME).exists()
    upkeep.finish()
    assert (tmp_path / NAME).exists()
    file.close()


def test_a_snapshot_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    file = ViewsFile(tmp_path / "views.duckdb")
    (tmp_path / NAME).mkdir()
    upkeep = Upkeep(file, SystemClock())
    upkeep.changed()
    with pytest.raises(StorageFailed, match="room for a second copy"):
        upkeep.finish()
    assert not (tmp_path / (NAME + ".part")).exists()
    file.close()


def _copied(folder: Path) -> Path:
    """Make views and their snapshot, as a projector that stops in order leaves them."""
    file = ViewsFile(folder / "views.duckdb")
    append(file, 0, 10 * ROWS)  # so that they have blocks of their own
    upkeep = Upkeep(file, SystemClock())
    upkeep.changed()
    upkeep.finish()
    file.close()
    return folder / NAME


def _tear_rows(path: Path) -> None:
    """Damage a block that opening the file does not need."""
    whole = path.read_bytes()
    for at in range(3 * 4_096 + 1_000, len(whole), 262_144):
        path.write_bytes(whole[:at] + bytes(byte ^ 0x5A for byte in whole[at : at + 64]) + whole[at + 64 :])
        try:
            file = ViewsFile(path)
        except ViewsDamaged:
            continue
        with file.cursor() as cursor:
            try:
                cursor.execute(f"select bit_xor(hash(one)) from log.{RESULTS} one").fetchone()
            except duckdb.IOException:
                return
            finally:
                file.close()
    raise AssertionError("no such block")


def test_a_file_that_was_torn_never_takes_the_place_of_its_whole_snapshot(tmp_path: Path) -> None:
    snapshot = _copied(tmp_path)
    whole = snapshot.read_bytes()
    _tear_rows(tmp_path / "views.duckdb")
    file = ViewsFile(tmp_path / "views.duckdb")
    upkeep = Upkeep(file, SystemClock())
    upkeep.changed()
    with pytest.raises(ViewsDamaged, match="as its copy shows"):
        upkeep.finish()
    assert snapshot.read_bytes() == whole
    assert not snapshot.with_name(NAME + ".part").exists()
    beside = Upkeep(file, SystemClock(), every_us=0)
    beside.changed()
    beside.tick()
    beside.close()
    assert isinstance(beside.damage, ViewsDamaged)  # heard by a writer that failed meanwhile
    file.close()


def test_without_the_memory_to_read_it_a_snapshot_is_neither_replaced_nor_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = _copied(tmp_path)
    whole = snapshot.read_bytes()
    file = ViewsFile(tmp_path / "views.duckdb")
    append(file, 1, 1)
    upkeep = Upkeep(file, SystemClock())
    upkeep.changed()
    with monkeypatch.context() as starved:
        starved.setattr("sinks.projection.read_whole.MEMORY", "64KB")
        upkeep.finish()
        assert "could not be read" in caplog.text
        assert snapshot.read_bytes() == whole
        with pytest.raises(StorageFailed, match="nothing is lost") as caught:
            take_snapshot(tmp_path / "views.duckdb", "mark", lambda positions: True)
        assert not isinstance(caught.value, ViewsDamaged)
        assert snapshot.read_bytes() == whole
    upkeep.finish()
    assert snapshot.read_bytes() != whole
    file.close()


def test_what_duckdb_repeats_after_it_has_stopped_is_no_damage() -> None:
    said = "database has been invalidated because of a previous fatal error. Original error: "
    assert not is_damage(duckdb.FatalException(f'{said}"Corrupt database file"'))


def test_a_statement_that_is_wrong_does_not_read_like_a_disk_at_fault(tmp_path: Path) -> None:
    file = ViewsFile(tmp_path / "views.duckdb")
    with pytest.raises(BrokenInvariant, match="this is a bug"):
        file.commit({RESULTS: pl.DataFrame({"colour": ["red"]})}, Progress(1, 0, 0, {}))
    file.close()


def test_a_commit_without_memory_says_that_queries_took_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ViewsFile(tmp_path / "views.duckdb", memory="100MB")
    with monkeypatch.context() as starved:
        starved.setattr(file, "_append", partial(_allocate, file))
        with pytest.raises(StorageFailed, match="more memory than DuckDB may take") as caught:
            append(file, 0, 1)
    assert "move the file" not in str(caught.value)
    file.close()


def _allocate(file: ViewsFile, table: str, frame: pl.DataFrame) -> None:
    """Need more memory in a commit than there is."""
    del table, frame
    with file.cursor() as cursor:
        cursor.execute("select list(i) from range(40_000_000) t(i)").fetchone()
