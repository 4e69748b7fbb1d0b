"""The shipped path whole: `up` with real processes on a home, and the demo with kills, counted against the oracle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.demo.flows import demo_files

FLOWS = [str(path) for path in demo_files()]
DEADLINE_S = 120
DOOR = """
event: door.opened
fields: {door: {id: string}}
---
flow: door
trigger: {event: door.opened}
steps: [{action: ring, with: {door: "{{ door.id }}"}}]
"""
COUNTS = "events executions actions delivered redelivered dead_letters lost duplicated p50_ms p99_ms events_per_s"


class Ended(NamedTuple):
    stdout: str
    stderr: str


def process(*arguments: str, home: Path, code: int = 0) -> Ended:
    command = [sys.executable, "-m", "flows", *arguments, "--home", str(home)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert result.returncode == code, result.stderr
    return Ended(result.stdout, result.stderr)


def millrace(*arguments: str, home: Path, code: int = 0) -> Ended:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)], catch_exceptions=False)
    assert result.exit_code == code, result.stderr
    return Ended(result.stdout, result.stderr)


def rows(*arguments: str, home: Path) -> Any:
    return json.loads(millrace(*arguments, "--json", home=home).stdout)


@contextmanager
def up(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "flows", "up", "--clock", "events", "--home", str(home)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "this did not come in time"
        time.sleep(0.05)


def incident(number: int, priority: str = "1 - Critical", **changes: Any) -> dict[str, Any]:
    data = {"incident": {"number": f"INC{number}", "state": "New", "priority": priority}}
    event = {"id": f"i-{number}", "source": "test", "type": "incident.opened", "time": "2026-01-05T10:00:00Z", "tenant": "acme"}
    return {**event, "data": data, **changes}


def write(path: Path, *events: dict[str, Any] | str) -> str:
    path.write_text("".join((event if isinstance(event, str) else json.dumps(event)) + "\n" for event in events))
    return str(path)


@pytest.mark.slow
def test_up_works_off_what_is_there_and_the_views_and_dead_letters_show_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    millrace("deploy", *FLOWS, home=home)
    unknown = incident(3, type="incident.exploded")
    events = write(tmp_path / "events.jsonl", incident(1), incident(1), incident(2, "4 - Low"), unknown, "{broken")
    millrace("send", "--topic", "support.events", events, home=home)
    summary = json.loads(process("up", "--until-idle", "--clock", "events", "--tenant", "acme", "--json", home=home).stdout)
    assert summary["idle"] is True
    assert (summary["executions"], summary["actions"]) == ({"completed": 1}, {"delivered": 1})

    (paged,) = [json.loads(line) for line in (home / "actions" / "acme" / "page_group.jsonl").read_text().splitlines()]
    assert paged["data"]["number"] == "INC1"
    (listed,) = rows("executions", "list", "--flow", "ticket_escalation", home=home)
    shown = rows("executions", "show", listed["execution"][:20], home=home)
    assert [action["type"] for action in shown["actions"]] == ["page_group"]
    letters = rows("dlq", "list", home=home)
    assert sorted(letter["reason"] for letter in letters) == ["malformed-json", "unknown-event"]
    assert [letter["payload"] for letter in rows("dlq", "list", "--tenant", "-", home=home)] == ["{broken"]
    assert rows("query", "select count(*) as n from events", home=home) == [{"n": 3}]
    assert rows("query", "select count(*) as n from events", "--tenant", "other", home=home) == [{"n": 0}]
    millrace("query", "drop table events", home=home, code=2)


@pytest.mark.slow
def test_a_dead_letter_is_sent_again_after_its_cause_is_mended_beside_a_running_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    millrace("deploy", *FLOWS, home=home)
    with up(home):
        until((home / "query.sock").exists)
        late = {
            "id": "d-1",
            "source": "test",
            "type": "door.opened",
            "time": "2026-01-05T10:00:00Z",
            "tenant": "acme",
            "data": {"door": {"id": "a"}},
        }
        millrace("send", "--topic", "door.events", write(tmp_path / "door.jsonl", late), home=home)
        until(lambda: len(rows("dlq", "list", "--reason", "unknown-event", home=home)) == 1)
        second = process("up", home=home, code=1)
        assert "up" in second.stderr

        flow = tmp_path / "door.yaml"
        flow.write_text(DOOR)
        millrace("deploy", str(flow), "--wait", home=home)
        millrace("dlq", "redrive", "--reason", "unknown-event", "--tenant", "acme", home=home)
        until((home / "actions" / "acme" / "ring.jsonl").exists)
        assert rows("topics", "--tenant", "acme", home=home)


@pytest.mark.slow
def test_a_home_of_a_newer_version_is_refused_with_a_clear_message(tmp_path: Path) -> None:
    home = tmp_path / "home"
    millrace("deploy", *FLOWS, home=home)
    newer = "update meta set value = '999' where key = 'format'"
    script = f"import apsw; apsw.Connection({str(home / 'ingress.db')!r}).execute({newer!r})"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=DEADLINE_S)
    result = process("up", "--until-idle", home=home, code=1)
    assert "999" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    result = millrace("demo", home=tmp_path, code=2)
    assert "no demo made" in result.stderr
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_home_in_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = process("up", "--until-idle", home=tmp_path / "file" / "home", code=1)
    assert "cannot make the home" in result.stderr


@pytest.mark.slow
def test_the_demo_loses_and_doubles_nothing_while_its_processes_are_killed(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    for events, crash in ((2000, 3), (200, 0)):  # the second run empties what the first one left
        counts = json.loads(process("demo", "--events", str(events), "--crash", str(crash), "--json", home=home).stdout)
        assert list(counts) == COUNTS.split()
        assert (counts["events"], counts["lost"], counts["duplicated"]) == (events, 0, 0)
        assert counts["dead_letters"] == events // 250
        assert counts["actions"] == counts["delivered"] > 0
