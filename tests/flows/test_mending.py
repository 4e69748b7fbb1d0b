"""Damaged views mend themselves: whatever happened to the file, the projector shows again what a fresh one shows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from flows.roles.mending import HOUR_US, MOST, NOTE, Mending, mended, said
from flows.roles.retention import DAY_US, TOLD
from infra.embedded_log import IngressLog
from infra.log_tables import day_of
from schemas.errors import StorageFailed
from schemas.ports import Append, Slot
from schemas.topics import INGRESS_FILE
from sinks.projection.query_socket import FILE
from sinks.projection.set_aside import KEPT, aside_name, set_aside
from sinks.projection.snapshot import NAME
from sinks.projection.tables import VIEWS
from sinks.projection.upkeep import Upkeep
from sinks.projection.views_file import Progress, ViewsFile
from tests.flows.driving import DEADLINE_S, ROOT, command, deployed, process, sent, thing, value

BLOCK: Final = 262_144  # DuckDB's
BEGIN: Final = 3 * 4_096  # of the first block, behind the headers
MANY: Final = [thing(str(number), extra=os.urandom(300).hex()) for number in range(3_000)]
ORDERED: Final = ("steps", "history", "turns")  # their `position` goes by how the log was cut
COMPARED: Final = {name: f"select {'* exclude (position)' if name in ORDERED else '*'} from shown.{name}" for name in VIEWS}


class _Projector:
    """The real role, in a process of its own."""

    def __init__(self, home: Path) -> None:
        line = [sys.executable, "-m", "flows", "run", "projector", "--home", str(home), "--report"]
        self.child = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def until_idle(self) -> None:
        """Wait until all is shown."""
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if json.loads(line).get("idle"):
                return
        raise AssertionError(self.said())

    def said(self) -> str:
        """Wait for its end; give what it said on stderr."""
        return self.child.communicate(timeout=DEADLINE_S)[1].decode()

    def end(self, how: signal.Signals = signal.SIGTERM) -> str:
        """End it."""
        self.child.send_signal(how)
        return self.said()


def _projected(home: Path) -> str:
    """Let the role show all there is and stop in order; give what it said."""
    role = _Projector(home)
    role.until_idle()
    said = role.end()
    assert role.child.returncode == 0, said
    return said


def _shown(home: Path) -> dict[str, list[Any]]:
    with duckdb.connect(str(home / FILE), read_only=True) as views:
        views.execute("set timezone = 'UTC'")
        lines = "select cast(to_json(one) as varchar) from ({}) one order by all"
        return {name: views.execute(lines.format(query)).fetchall() for name, query in COMPARED.items()}


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = deployed(tmp_path_factory.mktemp("mending") / "home")
    sent(home, *MANY)
    process("up", "--until-idle", home=home)
    return home


@pytest.fixture(scope="module")
def fresh(worked: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What a projection shows that began anew."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    shutil.copytree(worked, home, ignore=shutil.ignore_patterns("views.*"))
    _projected(home)
    shown = _shown(home)
    assert len(shown["events"]) == len(shown["actions"]) == len(MANY)
    return shown


@pytest.fixture
def home(worked: Path, tmp_path: Path) -> Path:
    """A home of its own, worked off."""
    shutil.copytree(worked, tmp_path / "home")
    return tmp_path / "home"


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(64)
        file.seek(at)
        file.write(bytes(byte ^ 0x5A for byte in before))


def _flip_blocks(path: Path) -> None:
    for block in range((path.stat().st_size - BEGIN) // BLOCK):
        _flip(path, BEGIN + block * BLOCK + 1_000)


def _flip_headers(path: Path) -> None:
    for at in (4_096, 8_192):
        _flip(path, at)


DAMAGE: Final[dict[str, Callable[[Path], None]]] = {
    "bytes in every block": _flip_blocks,
    "bytes in both headers": _flip_headers,
    "half of the file": lambda path: os.truncate(path, path.stat().st_size // 2),
    "all but the headers": lambda path: os.truncate(path, BEGIN),
}


def _said_so(home: Path, said: str) -> None:
    """The role says it once, and doctor does."""
    aside = list(home.glob(f"{FILE}.damaged-*Z"))
    assert len(aside) == 1
    assert said.count("set aside as views.duckdb.damaged-") == 1
    told = [one for one in value("doctor", home=home) if aside[0].name in one["detail"]]
    assert [one["level"] for one in told] == ["note"]


@pytest.mark.slow  # real roles, each a process
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("snapshot", ["whole", "none", "damaged"])
def test_damage_is_set_aside_and_the_views_are_those_of_a_fresh_projection(
    home: Path, fresh: dict[str, list[Any]], damage: Callable[[Path], None], snapshot: str
) -> None:
    damage(home / FILE)
    if snapshot == "none":
        (home / NAME).unlink()
    elif snapshot == "damaged":
        _flip_what_only_queries_read(home / NAME)
    said = _projected(home)
    assert _shown(home) == fresh
    assert ("made again from their snapshot" in said) == (snapshot == "whole")
    _said_so(home, said)


@pytest.mark.slow
@pytest.mark.parametrize(("at", "found"), [(40, False), (200_000, True)])  # a false length reads like the end of the WAL
def test_a_damaged_wal_is_set_aside_with_its_file(home: Path, fresh: dict[str, list[Any]], at: int, *, found: bool) -> None:
    for old in home.glob("views.*"):
        old.unlink()
    role = _Projector(home)
    role.until_idle()
    role.end(signal.SIGKILL)
    wal = home / (FILE + ".wal")
    _flip(wal, at)
    said = _projected(home)
    assert _shown(home) == fresh
    assert len(list(home.glob(f"{FILE}.damaged-*Z.wal"))) == found
    if found:
        _said_so(home, said)


def _flip_what_only_queries_read(path: Path) -> None:
    """Damage a block that opening the file does not need."""
    whole = path.read_bytes()
    for block in range((len(whole) - BEGIN) // BLOCK):
        _flip(path, BEGIN + block * BLOCK + 1_000)
        try:
            with duckdb.connect(str(path), read_only=True) as views:
                views.execute("select count(*) from duckdb_tables()").fetchone()
                try:
                    views.execute("select bit_xor(hash(data)) from log.events").fetchone()
                except duckdb.IOException:
                    return
        except duckdb.Error:
            pass
        path.write_bytes(whole)
    raise AssertionError("no such block")


@pytest.mark.slow
def test_damage_that_a_query_finds_is_mended_at_the_next_start(home: Path, fresh: dict[str, list[Any]]) -> None:
    _flip_what_only_queries_read(home / FILE)
    role = _Projector(home)
    role.until_idle()
    assert "damaged" in command("query", "select count(distinct data) from events", home=home, code=1).stderr
    assert "damaged" in role.said()
    assert role.child.returncode == 1
    assert "the next start" in json.dumps(value("doctor", home=home, code=0))
    _said_so(home, _projected(home))
    assert _shown(home) == fresh


@pytest.mark.slow
def test_a_kill_at_any_moment_of_mending_loses_nothing_and_repeats_nothing(home: Path, fresh: dict[str, list[Any]]) -> None:
    (home / NAME).unlink()
    _flip_blocks(home / FILE)
    moments: list[Callable[[], object]] = [
        (home / NOTE).exists,
        lambda: list(home.glob(f"{FILE}.damaged-*")),
        lambda: (home / FILE).exists() and list(home.glob(f"{FILE}.damaged-*")),
        lambda: (home / (FILE + ".wal")).exists() and (home / (FILE + ".wal")).stat().st_size > BLOCK,
    ]
    for moment in moments:
        role = _Projector(home)
        deadline_s = time.monotonic() + DEADLINE_S
        while not moment():
            assert time.monotonic() < deadline_s
        role.end(signal.SIGKILL)
    _projected(home)
    assert _shown(home) == fresh
    note = mended(home)
    assert note is not None
    assert (note.wanted, note.whole, note.whole_from_us) == (False, True, None)


def _foreign(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as other:
        other.execute("create table mine as select 1 as x")


def _text(path: Path) -> None:
    path.write_text("a,b,c\n" * 5_000)


def _sqlite(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.executescript("create table t(a); insert into t values (zeroblob(20000))")
    other.close()


def _of_a_newer_duckdb(path: Path) -> None:
    """Write a version that no DuckDB has yet; it is looked at before the checksum."""
    with path.open("r+b") as file:
        file.seek(16)
        before = file.read(16)
        file.seek(16)
        file.write(bytes(byte ^ 0x5A for byte in before))


MISTAKES: Final[dict[str, Callable[[Path], None]]] = {
    "text": _text,
    "another DuckDB file": _foreign,
    "SQLite": _sqlite,
    "a newer DuckDB": _of_a_newer_duckdb,
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_what_is_no_views_file_of_ours_is_left_where_it_is(home: Path, mistake: Callable[[Path], None]) -> None:
    mistake(home / FILE)
    before = (home / FILE).read_bytes()
    said = process("run", "projector", home=home, code=1).stderr
    assert "move it away" in said
    assert "Traceback" not in said
    assert (home / FILE).read_bytes() == before
    assert not list(home.glob("*damaged*"))
    assert not (home / NOTE).exists()


class _HandClock:
    """A clock that is set by hand."""

    us = 1_780_000_000_000_000

    def now_us(self) -> int:
        return self.us

    def sleep_us(self, us: int) -> None:
        self.us += us


def _damaged_again(home: Path, clock: _HandClock) -> None:
    (home / FILE).write_bytes(str(clock.us).encode())
    (home / TOLD).write_bytes(b"[]")
    clock.us += 60_000_000
    Mending(home, clock).want("torn")
    Mending(home, clock).mend()
    assert not (home / TOLD).exists()  # else retention could drop what is about to be read again


def test_what_was_set_aside_is_not_written_over_when_mending_dies_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / FILE
    for found in (b"damaged", b"a copy of the snapshot"):
        path.write_bytes(found)
        set_aside(path, "mark")
    assert aside_name(path, "mark").read_bytes() == b"damaged"


def test_damage_again_and_again_stops(tmp_path: Path) -> None:
    clock = _HandClock()
    for _ in range(MOST):
        _damaged_again(tmp_path, clock)
    clock.us += 2 * HOUR_US
    with pytest.raises(StorageFailed, match="look at the disk"):  # the views were never whole in between
        _damaged_again(tmp_path, clock)
    Mending(tmp_path, clock).caught_up()
    for _ in range(MOST):
        clock.us += HOUR_US
        _damaged_again(tmp_path, clock)
        Mending(tmp_path, clock).caught_up()
    newest = sorted(tmp_path.glob(f"{FILE}.damaged-*"))
    assert len(newest) == KEPT
    assert newest[-1].read_bytes() == str(clock.us - 60_000_000).encode()


def _projected_once(home: Path) -> None:
    file = ViewsFile(home / FILE)
    file.commit({}, Progress(1, 0, 0, {Slot("a", "b", 0): 7}))
    upkeep = Upkeep(file, _HandClock())
    upkeep.changed()
    upkeep.finish()
    file.close()


def test_a_whole_snapshot_is_taken_each_time(tmp_path: Path) -> None:
    _projected_once(tmp_path)
    whole = (tmp_path / NAME).read_bytes()
    clock = _HandClock()
    for _ in range(MOST):
        clock.us += HOUR_US * 58 // 60
        _damaged_again(tmp_path, clock)
        assert (tmp_path / FILE).read_bytes() == (tmp_path / NAME).read_bytes() == whole
        Mending(tmp_path, clock).caught_up()


@pytest.mark.parametrize("follows", [True, False])
def test_a_snapshot_that_is_not_taken_is_kept_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, follows: bool
) -> None:
    _projected_once(tmp_path)
    if follows:
        _flip_headers(tmp_path / NAME)
    else:
        monkeypatch.setattr(Mending, "follows", lambda mending, positions: False)
    before = (tmp_path / NAME).read_bytes()
    _damaged_again(tmp_path, _HandClock())
    (aside,) = tmp_path.glob(f"{NAME}.damaged-*")
    assert aside.read_bytes() == before
    assert aside.name in said(tmp_path)
    assert not (tmp_path / NAME).exists()
    assert not (tmp_path / FILE).exists()


def test_what_was_mended_is_told_until_its_file_is_deleted(tmp_path: Path) -> None:
    clock = _HandClock()
    _damaged_again(tmp_path, clock)
    (aside,) = tmp_path.glob(f"{FILE}.damaged-*")
    aside.unlink()
    assert "made again" in said(tmp_path)  # not whole yet
    Mending(tmp_path, clock).caught_up()
    assert not said(tmp_path)
    aside.touch()
    assert aside.name in said(tmp_path)


def test_what_retention_has_dropped_is_said_to_the_instant(tmp_path: Path) -> None:
    clock = _HandClock()
    first_us, since_us = clock.us, clock.us + DAY_US
    with closing(IngressLog(tmp_path / INGRESS_FILE)) as log:
        for at_us in (first_us, since_us):
            log.append([Append("lab.events", 0, [b"{"])], at_us)
        Mending(tmp_path, clock).opened(anew=True)
        assert mended(tmp_path) is None  # all is there: nothing to say
        log.drop_before(day_of(since_us), [])
    Mending(tmp_path, clock).opened(anew=True)
    note = mended(tmp_path)
    assert note is not None
    assert note.whole_from_us == since_us
    assert said(tmp_path).startswith("the views are whole from 2026-05-29T20:26:40.000000Z on: ")


def test_a_snapshot_is_not_taken_where_the_logs_no_longer_follow_it(home: Path) -> None:
    positions = {Slot(INGRESS_FILE, "lab.events", 0): 1}
    mending = Mending(home, _HandClock())
    with closing(IngressLog(home / INGRESS_FILE)) as log:
        assert mending.follows(positions)
        log.drop_before(99_999_999, [])
    assert not mending.follows(positions)
