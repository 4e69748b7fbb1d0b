"""Full disks, read-only folders, second writers and files of newer versions: a clear message, exit 1, nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw
import duckdb
import pytest

from flows.roles.projector import build_projector
from infra.clock import SystemClock
from schemas.topics import INGRESS_FILE, dispatcher_file, engine_file
from sinks.projection.projector import ProjectorSettings
from sinks.projection.query_socket import FILE as VIEWS
from sinks.projection.views_file import ViewsFile
from tests.flows.driving import DEADLINE_S, ROOT, command, deployed, process, sent, thing, value

SMALL_FILES: Final = ("sh", "-c", 'ulimit -f 1000 && exec "$@"', "sh")  # no file may be over 500 KiB: then a write is refused
ROLES: Final = ("server", "engine", "dispatcher", "projector")
FILES: Final = (INGRESS_FILE, engine_file(0), dispatcher_file(0), VIEWS)  # what each role writes
MANY: Final = [thing(str(number), extra="x" * 400) for number in range(1_000)]


def _all_done(home: Path) -> None:
    counted = value("query", "select count(*) as n, count(distinct trigger_event) as events from executions", home=home)
    assert counted == [{"n": len(MANY), "events": len(MANY)}]
    assert value("query", "select status, count(*) as n from actions group by all", home=home) == [
        {"status": "delivered", "n": len(MANY)}
    ]


def test_a_full_disk_stops_send_with_a_message_and_what_was_said_to_be_sent_is_there(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    sent(home, *MANY[:10])
    file = tmp_path / "many.jsonl"
    shutil.copy(tmp_path / "home.jsonl", file)
    with file.open("a") as out:
        out.writelines((tmp_path / "home.jsonl").read_text() for _ in range(300))
    said = process("send", "--topic", "lab.events", str(file), home=home, code=1, under=SMALL_FILES).stderr
    assert "ingress.db" in said
    assert "disk" in said
    assert "Traceback" not in said
    topics = {topic["topic"]: topic["records"] for topic in value("topics", home=home)}
    assert topics["lab.events"] in {10 + 1_000 * batches for batches in range(4)}
    assert all(finding["level"] != "wrong" or finding["what"] == "disk" for finding in value("doctor", home=home))


@pytest.mark.slow
def test_a_full_disk_stops_up_with_a_message_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    sent(home, *MANY)
    said = process("up", "--until-idle", home=home, code=1, under=SMALL_FILES).stderr
    assert "millrace up: " in said
    assert any(word in said for word in ("disk", "room"))
    assert "Traceback" not in said
    process("up", "--until-idle", home=home)
    _all_done(home)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MiB; where that is not allowed, skip."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a disk cannot be mounted here; run as root to test a really full one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _remount(place: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True)


@pytest.mark.slow
def test_a_really_full_disk_leaves_nothing_half_made_that_stops_the_next_start(small_disk: Path) -> None:
    home = deployed(small_disk / "home")
    sent(home, *MANY[:50])
    fill = small_disk / "fill"
    subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=1k"], capture_output=True, check=False)
    said = process("up", "--until-idle", home=home, code=1).stderr
    assert "the disk is full; a commit needs room: free some and start again" in said
    assert "the disk is full" in process("send", "--topic", "lab.events", _copy(home), home=home, code=1).stderr
    fill.unlink()
    _remount(small_disk, "size=100m")
    sent(home, *MANY)
    process("up", "--until-idle", home=home)
    _all_done(home)


def _copy(home: Path) -> str:
    return str(home.parent / f"{home.name}.jsonl")


@pytest.mark.slow
def test_a_read_only_disk_is_refused_by_what_writes_and_goes_on_when_it_is_mended(small_disk: Path) -> None:
    _remount(small_disk, "size=100m")
    home = deployed(small_disk / "home")
    sent(home, *MANY[:5])
    process("up", "--until-idle", home=home)
    events, flow = _copy(home), str(small_disk / "home.yaml")
    _remount(small_disk, "ro")
    try:
        for arguments in (
            ["send", "--topic", "lab.events", events],
            ["deploy", flow],
            ["connectors", "set", "*", "file"],
            ["run", "engine"],
        ):
            run = process if "run" in arguments else command
            said = run(*arguments, home=home, code=1).stderr
            assert "writable" in said, arguments
            assert "Traceback" not in said
        said = process("up", "--until-idle", home=home, code=1).stderr
        assert "writable" in said
        assert "Traceback" not in said
        assert "cannot make the home" in command("up", home=small_disk / "new", code=1).stderr
    finally:
        _remount(small_disk, "rw")
    sent(home, *MANY)
    process("up", "--until-idle", home=home)
    _all_done(home)


def test_a_home_that_cannot_be_made_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    flow = tmp_path / "flow.yaml"
    flow.write_text("event: thing.made\ntopic: lab.events\nfields: {thing: {id: string}}\n")
    for arguments in (["deploy", str(flow)], ["up", "--until-idle"], ["connectors", "set", "*", "file"]):
        said = command(*arguments, home=home, code=1).stderr
        assert f"{home}: cannot make the home" in said
        assert "--home" in said


@pytest.mark.slow
def test_a_second_of_every_role_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    line = [sys.executable, "-m", "flows", "up", "--home", str(home)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not all((home / name).exists() for name in ("query.sock", "ingress.sock", "engine-0.db.lock")):
                assert time.monotonic() < deadline, "up did not start"
                time.sleep(0.05)
            with ThreadPoolExecutor(5) as side_by_side:
                up = side_by_side.submit(process, "up", home=home, code=1)
                seconds = {role: side_by_side.submit(process, "run", role, home=home, code=1) for role in ROLES}
            assert f"process {first.pid} " in up.result().stderr
            for role, second in seconds.items():
                said = second.result().stderr
                assert any(word in said for word in ("writes this file", "has it open")), role
                assert "Traceback" not in said
            sent(home, *MANY)
        finally:
            first.send_signal(signal.SIGTERM)
            assert first.wait(DEADLINE_S) == 0
    process("up", "--until-idle", home=home)
    _all_done(home)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = deployed(tmp_path_factory.mktemp("newer") / "home")
    sent(home, *MANY[:3])
    process("up", "--until-idle", home=home)
    return home


@pytest.mark.slow
def test_a_file_of_a_newer_version_is_refused_and_nothing_is_lost(worked: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(worked, home)
    for role, file in zip(ROLES, FILES, strict=True):
        format_before = _set_format(home / file, 99)
        starts = [["run", role], *([["up", "--until-idle"]] if file == VIEWS else [])]
        for start in starts:
            said = process(*start, home=home, code=1).stderr
            assert f"{file}: written in format 99" in said
            assert "upgrade" in said
            assert "Traceback" not in said
        assert "written in format 99" in "".join(command("doctor", home=home, code=1))
        _set_format(home / file, format_before)
    process("up", "--until-idle", home=home)
    assert value("query", "select count(*) as n from executions", home=home) == [{"n": 3}]


@pytest.mark.slow  # a home that all roles, each a process, have worked in
def test_how_old_the_views_are_is_said_once(worked: Path) -> None:
    execution = value("executions", "list", home=worked)[0]["execution"]
    shown = command("executions", "show", execution, home=worked)
    assert shown.stderr.count("no `up` runs") == 1
    assert execution in shown.stdout


@pytest.mark.slow
def test_doctor_names_every_file_of_a_newer_version(worked: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(worked, home)
    for file in FILES:
        _set_format(home / file, 99)
    wrong = {one["what"]: one["detail"] for one in value("doctor", home=home, code=1) if one["level"] == "wrong"}
    assert {*FILES[:3], "views"} <= set(wrong)
    assert all("written in format 99" in wrong[what] for what in (*FILES[:3], "views"))


def _project(home: Path) -> None:
    """Bring the views up to date."""
    with closing(ViewsFile(home / VIEWS)) as file:
        projector = build_projector(home, file, ProjectorSettings(), SystemClock())
        while projector.step():
            pass


def _set_format(path: Path, number: int) -> int:
    """Write another format number into a file; give what was there."""
    if path.name == VIEWS:
        with duckdb.connect(str(path)) as views:
            (before,) = views.execute("select max(format) from log.progress").fetchone() or (0,)
            views.execute("update log.progress set format = ?", [number])
        return int(before)
    connection = apsw.Connection(os.fspath(path))
    (text,) = next(connection.execute("select value from meta where key = 'format'"))
    connection.execute("update meta set value = ? where key = 'format'", (str(number),))
    connection.close()
    return int(text)


@pytest.mark.slow
def test_views_that_were_left_half_made_are_made_anew_and_broken_ones_say_what_to_do(worked: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(worked, home)
    whole = (home / VIEWS).read_bytes()
    for left in (b"", whole[:5_000]):
        (home / VIEWS).write_bytes(left)
        assert "nothing has been projected" in command("query", "select 1", home=home, code=2).stderr
        _project(home)
        assert value("query", "select count(*) as n from executions", home=home) == [{"n": 3}]
    (home / VIEWS).write_bytes(b"\xff" * len(whole))
    assert "move" in process("up", "--until-idle", home=home, code=1).stderr
    assert "move it away" in command("query", "select 1", home=home, code=1).stderr
    (home / VIEWS).unlink()
    process("up", "--until-idle", home=home)
    assert value("query", "select count(*) as n from executions", home=home) == [{"n": 3}]
