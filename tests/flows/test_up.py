"""The supervisor with real child processes: what it starts, restarts, gives up and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.roles.process import RoleStatus
from flows.up.crashes import Crashes
from flows.up.home import locked_home
from flows.up.idle import all_idle, all_read
from flows.up.supervisor import SILENT_S, RoleFailed, Supervisor, UpOptions
from schemas.errors import HomeLocked

ROLE = """
import os, sys, time
from flows.roles.process import RoleOptions, begin
from pathlib import Path
process = begin({name!r}, RoleOptions(Path("."), report=True, parent={parent}))
{body}
while not process.stopping:
    process.report(idle=True, read={{"ingress.db": 3}}, counts={{"events": 2, "waiting": 1}})
    time.sleep(0.01)
"""


def supervisor(
    home: Path, bodies: dict[str, str], said: list[str] | None = None, limit: int = 5, silent_s: float = SILENT_S
) -> Supervisor:
    def command(options: UpOptions, name: str) -> list[str]:
        return [sys.executable, "-c", ROLE.format(name=name, parent=os.getpid(), body=bodies[name])]

    lines = said if said is not None else []
    options = UpOptions(home, crashes_a_minute=limit, silent_s=silent_s, roles=tuple(bodies))
    return Supervisor(options, lambda role, line: lines.append(f"{role}: {line}"), command)


def until(run: Supervisor, holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "this did not come in time"
        run.poll(0.02)


def test_every_role_is_started_and_stopped_with_its_last_counts(tmp_path: Path) -> None:
    run = supervisor(tmp_path, {"server": "", "engine": ""})
    until(run, lambda: all_idle(run.statuses))
    pids = [status.pid for status in run.statuses.values() if status]
    run.stop()
    assert run.final_counts["engine"] == {"events": 2, "waiting": 1}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_killed_role_comes_back_and_its_counts_go_on_but_gauges_do_not_add_up(tmp_path: Path) -> None:
    run = supervisor(tmp_path, {"engine": ""}, limit=1)
    until(run, lambda: all_idle(run.statuses))
    first = run.statuses["engine"]
    assert first is not None
    assert run.kill("engine")  # on purpose: with a limit of one crash it must not count
    until(run, lambda: (status := run.statuses["engine"]) is not None and status.pid != first.pid)
    assert run.counts["engine"] == {"events": 4, "waiting": 1}
    assert run.restarts == {"engine": 1}
    run.stop()


def test_a_role_that_keeps_crashing_is_given_up_with_its_last_error(tmp_path: Path) -> None:
    run = supervisor(tmp_path, {"engine": "raise RuntimeError('the moon is full')"}, limit=2)
    with pytest.raises(RoleFailed, match=r"engine crashed 2 times within a minute(.|\n)*the moon is full"):
        until(run, lambda: False)


@pytest.mark.slow
def test_a_role_that_keeps_falling_silent_is_given_up_however_long_the_silences_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.up.crashes.WINDOW_S", 2.5)  # two silences are longer than a minute, as real ones are
    said: list[str] = []
    silent = "process.report(idle=True, read={}, counts={}); time.sleep(600)"
    run = supervisor(tmp_path, {"engine": silent}, said, limit=3, silent_s=1.5)
    with pytest.raises(RoleFailed, match=r"engine crashed 3 times within a minute(.|\n)*silent for 1.5 s"):
        until(run, lambda: False)
    assert said == ["engine: silent for 1.5 s; killed"] * 3


def test_a_role_that_cannot_start_stops_everything_at_once_and_says_why(tmp_path: Path) -> None:
    fatal = 'print(\'{"end":"fatal","role":"engine","error":"StateTooNew","message":"written by version 9"}\'); sys.exit(1)'
    run = supervisor(tmp_path, {"server": "", "engine": fatal})
    with pytest.raises(RoleFailed, match="engine cannot start: written by version 9"):
        until(run, lambda: False)
    assert all(status is None for status in run.statuses.values())


def test_what_a_role_says_on_stderr_is_passed_on(tmp_path: Path) -> None:
    said: list[str] = []
    run = supervisor(tmp_path, {"engine": "sys.stderr.write('half a line'); sys.stderr.write(' and the rest\\n')"}, said)
    until(run, lambda: all_idle(run.statuses))
    run.stop()
    assert said == ["engine: half a line and the rest"]


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_up
run = test_up.supervisor(Path({str(tmp_path)!r}), {{"engine": ""}})
test_up.until(run, lambda: test_up.all_idle(run.statuses))
print(run.statuses["engine"].pid, flush=True)
test_up.until(run, lambda: False, 60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_home_has_one_supervisor(tmp_path: Path) -> None:
    with locked_home(tmp_path / "home") as home, pytest.raises(HomeLocked, match=str(os.getpid())), locked_home(home):
        pass


def test_crashes_are_forgotten_after_a_minute_and_the_wait_doubles() -> None:
    crashes = Crashes(limit=3)
    assert crashes.wait_s == 0.0
    crashes.count(100.0)
    assert crashes.wait_s == 0.1
    crashes.count(130.0)
    assert crashes.wait_s == 0.2
    crashes.count(161.0)
    assert not crashes.given_up
    crashes.count(162.0)
    assert crashes.given_up


def test_a_process_that_set_a_record_aside_went_on_so_earlier_crashes_do_not_count_against_it() -> None:
    crashes = Crashes(limit=3)
    for second in range(2):
        crashes.count(100.0 + second)
    crashes.count(102.0, went_on=True)
    assert not crashes.given_up
    assert crashes.wait_s == 0.1


def test_idle_is_only_what_every_reader_has_read_to_its_end() -> None:
    statuses = {
        "engine": RoleStatus("engine", 1, True, {"ingress.db": 7}, {}),
        "dispatcher": RoleStatus("dispatcher", 2, True, {"engine-0.db": 4}, {}),
    }
    ends = {"ingress.db": 7, "engine-0.db": 4, "dispatcher-0.db": 0}
    assert all_idle(statuses)
    assert all_read(statuses, ends)
    assert not all_read(statuses, {**ends, "dispatcher-0.db": 1})  # the engine has not read the results
    assert not all_read({**statuses, "projector": None}, ends)


def test_a_thread_that_raises_ends_its_role(tmp_path: Path) -> None:
    said: list[str] = []
    body = "import threading; threading.Thread(target=lambda: 1 / 0).start()"
    run = supervisor(tmp_path, {"server": body}, said, limit=2)
    with pytest.raises(RoleFailed, match="ZeroDivisionError"):
        until(run, lambda: False)
