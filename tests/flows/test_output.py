"""What commands write: one JSON value alone on stdout with --json, everything else on stderr, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli.table import COMMANDS
from tests.flows.driving import command, deployed, process, sent, thing

SHOWN = {
    "check {flow}": 0,
    "check {bad}": 2,
    "check {flow} --run {events}": 0,
    "check --schema": 0,
    "explain {flow}": 0,
    "deploy {flow}": 0,
    "send --topic lab.events {events}": 0,
    "send --topic lab.events {events} --infer": 0,
    "topics": 0,
    "doctor": 0,
    "query select~1~as~one": 0,
    "query select~*~from~executions": 0,
    "query select~*~from~executions --tenant nobody": 0,
    "executions list": 0,
    "executions list --status failed": 0,
    "executions show {execution}": 0,
    "dlq list": 0,
    "dlq list --tenant -": 0,
    "dlq redrive": 0,
    "connectors list": 0,
    "connectors set send_* file": 0,
    "connectors remove send_*": 0,
}
REFUSED = (
    "query selec",
    "query drop~table~events",
    "query select~1;select~2",
    "query select~*~from~nowhere",
    "query",
    "executions show zzz",
    "executions list --status asleep",
    "executions list --limit 0",
    "dlq redrive --reason nothing-like-it",
    "dlq redrive --position here",
    "explain {bad}",
    "deploy {bad}",
    "deploy no-such-file.yaml",
    "send {events}",
    "send --topic lab {events}",
    "send --topic lab.events {events}.gz",
    "send --topic lab.events --avro nothing {events}",
    "connectors set a smtp",
    "connectors set a http",
    "connectors remove nothing-like-it",
    "run dancer",
    "up --clock moon",
    "no-such-command",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("output")
    home = deployed(folder / "home")
    sent(home, thing("a"), b"not json")
    summary = json.loads(process("up", "--until-idle", "--json", home=home).stdout)
    assert summary["executions"] == {"completed": 1}
    (folder / "bad.yaml").write_text("flow: one\nsteps: [{delay: 30}]\n")
    (one,) = json.loads(command("executions", "list", "--json", home=home).stdout)
    names = {"flow": folder / "home.yaml", "bad": folder / "bad.yaml", "events": folder / "home.jsonl", "home": home}
    return {**{name: str(path) for name, path in names.items()}, "execution": one["execution"][:12]}


def _words(line: str, place: dict[str, str]) -> list[str]:
    return [word.format(**place).replace("~", " ") for word in line.split()]


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_json_is_one_value_alone_on_stdout(line: str, place: dict[str, str]) -> None:
    ended = command(*_words(line, place), "--json", home=Path(place["home"]), code=SHOWN[line])
    assert ended.stdout.endswith("\n")
    json.loads(ended.stdout)
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_without_json_results_are_on_stdout_and_what_is_said_beside_them_on_stderr(line: str, place: dict[str, str]) -> None:
    ended = command(*_words(line, place), home=Path(place["home"]), code=SHOWN[line])
    assert "no `up` runs" not in ended.stdout
    assert ended.stdout or ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_says_so_on_stderr_alone_and_ends_with_two(line: str, place: dict[str, str]) -> None:
    words = _words(line, place)
    for more in ([], ["--json"]):
        ended = command(*words, *more, home=Path(place["home"]), code=2)
        assert ended.stdout == ""
        assert ended.stderr.strip()
        assert "Traceback" not in ended.stderr


def test_every_command_of_the_table_is_swept_here() -> None:
    swept = {" ".join(line.split()[:2]) for line in SHOWN} | {line.split()[0] for line in SHOWN}
    assert set(COMMANDS) - swept == {"up", "run", "demo"}  # these start processes; they have tests of their own
