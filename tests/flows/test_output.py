"""What commands write: one JSON value alone on stdout with --json, everything else on stderr, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli.table import COMMANDS
from tests.flows.driving import LAB, command, deployed, process, sent, thing

SHOWN = {
    "check {flow}": 0,
    "check {bad}": 2,
    "check {flow} --run {events}": 0,
    "check --schema": 0,
    "explain {flow}": 0,
    "reference": 0,
    "reference wait": 0,
    "fmt --check {tidy}/things.yaml": 0,
    "test {tidy}/things.test.yaml --coverage": 0,
    "diff deployed {flow}": 0,
    "plan {flow}": 0,
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
    "executions list --waiting": 0,
    "executions show {execution}": 0,
    "executions history {execution}": 0,
    "executions retry {asking}": 0,
    "executions skip {asking} --step ask": 0,
    "executions resume {asking} --outcome done": 0,
    "executions fork {asking} --from ask": 0,
    "executions cancel {asking}": 0,
    "approvals list": 0,
    "approvals decide {asking} ask approved --by ann": 0,
    "flows list": 0,
    "flows list --tenant acme": 0,
    "flows start by_hand --role ops --tenant acme": 0,
    "schedules list": 0,
    "schedules preview nightly --count 2": 0,
    "policies list": 0,
    "policies set ceiling 7": 0,
    "policies history ceiling": 0,
    "migrate things --dry-run": 0,
    "migrate things": 0,
    "rollback changing": 0,
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
    "executions history zzz",
    "executions cancel zzz",
    "executions fork zzz --from note",
    "executions fork {asking} --from nothing-like-it",
    "approvals decide zzz ask approved",
    "approvals decide {asking} ask perhaps",
    "flows start nothing-like-it",
    "flows start things",
    "flows start by_hand --tenant acme",
    "schedules preview things",
    "policies set nothing-like-it 7",
    "policies set ceiling much",
    "policies history nothing-like-it",
    "rollback nothing-like-it",
    "migrate nothing-like-it",
    "plan {bad}",
    "diff deployed no-such-file.yaml",
    "fmt no-such-file.yaml",
    "test {flow}",
    "reference nothing-like-it",
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
MORE = """
---
flow: asks
trigger: {event: thing.made}
steps: [{approve: "Keep {{ thing.id }}?", as: ask, by: {people: [ann]}, timeout: 7d, on_timeout: rejected}]
---
flow: by_hand
trigger: {manual: {roles: [ops]}}
steps: [{action: note, with: {id: here}}]
---
flow: nightly
trigger: {schedule: 0 2 * * *, zone: UTC}
steps: [{action: note, with: {id: here}}]
---
policy: ceiling
type: int
value: 5
"""
CHANGING = "flow: changing\ntrigger: {{event: thing.made}}\nsteps: [{{action: note, with: {{id: {id}}}}}]\n"
HOMELESS = ("fmt", "reference")
TEST = """
test: a thing is noted
flow: things
clock: 2026-03-02T09:00:00Z
timeline:
  - {at: 0s, send: thing.made, with: {thing: {id: a, extra: b}}}
  - {at: 0s, expect: {status: completed}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("output")
    home = deployed(folder / "home", LAB + MORE)
    for number in range(3):  # both sweeps go back by one
        (folder / "changing.yaml").write_text(CHANGING.format(id=number))
        command("deploy", str(folder / "changing.yaml"), home=home)
    sent(home, thing("a"), b"not json")
    summary = json.loads(process("up", "--until-idle", "--json", home=home).stdout)
    assert summary["executions"] == {"completed": 2, "waiting": 1}
    (folder / "bad.yaml").write_text("flow: one\nsteps: [{delay: 30}]\n")
    tidy = folder / "tidy"
    tidy.mkdir()
    (tidy / "things.yaml").write_text(LAB)
    (tidy / "things.test.yaml").write_text(TEST)
    command("fmt", str(tidy / "things.yaml"), home=None)
    ids = {one["flow"]: one["execution"][:20] for one in json.loads(command("executions", "list", "--json", home=home).stdout)}
    files = {
        "flow": folder / "home.yaml",
        "bad": folder / "bad.yaml",
        "events": folder / "home.jsonl",
        "home": home,
        "tidy": tidy,
    }
    return {**{name: str(path) for name, path in files.items()}, "execution": ids["things"], "asking": ids["asks"]}


def _words(line: str, place: dict[str, str]) -> list[str]:
    return [word.format(**place).replace("~", " ") for word in line.split()]


def _home(line: str, place: dict[str, str]) -> Path | None:
    return None if line.split(maxsplit=1)[0] in HOMELESS else Path(place["home"])


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_json_is_one_value_alone_on_stdout(line: str, place: dict[str, str]) -> None:
    ended = command(*_words(line, place), "--json", home=_home(line, place), code=SHOWN[line])
    assert ended.stdout.endswith("\n")
    json.loads(ended.stdout)
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", SHOWN)
def test_without_json_results_are_on_stdout_and_what_is_said_beside_them_on_stderr(line: str, place: dict[str, str]) -> None:
    ended = command(*_words(line, place), home=_home(line, place), code=SHOWN[line])
    assert "no `up` runs" not in ended.stdout
    assert ended.stdout or ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_says_so_on_stderr_alone_and_ends_with_two(line: str, place: dict[str, str]) -> None:
    words = _words(line, place)
    for more in ([], ["--json"]):
        ended = command(*words, *more, home=_home(line, place), code=2)
        assert ended.stdout == ""
        assert ended.stderr.strip()
        assert "Traceback" not in ended.stderr


def test_every_command_of_the_table_is_swept_here() -> None:
    swept = {" ".join(line.split()[:2]) for line in SHOWN} | {line.split()[0] for line in SHOWN}
    assert set(COMMANDS) - swept == {"up", "run", "demo"}  # these start processes; they have tests of their own
