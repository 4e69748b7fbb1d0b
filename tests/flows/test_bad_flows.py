"""Bad flow files through the command line: every problem at once with its place, exit code 2, nothing deployed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flows.deployment import in_force
from tests.flows.driving import LAB, command, deployed

PLACE = re.compile(r"^(?P<file>\S+):(?P<line>\d+):(?P<column>\d+): (?:error|warning)\[[a-z0-9-]+\]: .+")
BAD = """flow: one
trigger: {event: thing.made, conditions: [thing.sise > 5, thing.count == "x"]}
steps:
  - action: note
    with: {id: "{{ thing.idd }}"}
  - delay: 30
  - actoin: note
"""


def test_all_problems_of_all_files_are_told_at_once_and_nothing_is_deployed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    good, bad, worse = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "worse.json"
    good.write_text(LAB)
    bad.write_text(BAD)
    worse.write_text(
        '{"flow": "two", "trigger": {"event": "thing.mad"},\n "steps": [{"action": "a", "with": {"a": "{{ thing.id"}}]}'
    )
    ended = command("deploy", str(good), str(bad), str(worse), home=home, code=2)
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert all(PLACE.match(line) for line in lines), lines
    errors = [line.removeprefix(f"{tmp_path}/") for line in lines if "error[" in line]
    assert [line.split(" ")[0] for line in errors] == [
        "bad.yaml:2:43:",
        "bad.yaml:2:59:",
        "bad.yaml:5:20:",
        "bad.yaml:6:12:",
        "bad.yaml:7:5:",
        "worse.json:2:42:",
    ]
    for near in (
        "did you mean 'thing.size'?",
        "did you mean 'thing.id'?",
        "did you mean 'action'?",
        "did you mean 'thing.made'?",
    ):
        assert near in ended.stderr
    assert not (home / "ingress.db").exists()


def test_a_bad_file_leaves_what_is_in_force_as_it_is(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    before = dict(in_force(home).values)
    changed, bad = tmp_path / "changed.yaml", tmp_path / "bad.yaml"
    changed.write_text(LAB.replace("action: note", "action: other"))
    bad.write_text(BAD)
    command("deploy", str(changed), str(bad), home=home, code=2)
    assert in_force(home).values == before


def test_a_contract_that_would_break_its_readers_is_refused_and_nothing_is_deployed(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    before = dict(in_force(home).values)
    changed = tmp_path / "changed.yaml"
    changed.write_text(LAB.replace("count: int?", "count: string?").replace("action: note", "action: other"))
    said = command("deploy", str(changed), home=home, code=2).stderr
    assert "count" in said
    assert in_force(home).values == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tab.yaml", b"flow: a\ntrigger: {event: b}\nsteps:\n\t- stop: end\n"),
        ("twice.yaml", b"flow: a\nflow: b\n"),
        ("bytes.yaml", b"\xff\xfe\x00"),
        ("control.yaml", b"flow: a\x1b[2J\n"),
        ("empty.yaml", b""),
        ("text.yaml", b"just text"),
        ("list.yaml", b"- flow: a\n"),
        ("python.yaml", b"flow: !!python/object:os.system [ls]\n"),
        ("alias.yaml", b"flow: &a x\ntrigger: *a\nsteps: []\n"),
        ("bomb.yaml", b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nflow: *c\n"),
        ("deep.yaml", b"a: " + b"[" * 5_000 + b"]" * 5_000),
        ("deep.json", b'{"a":' * 50_000),
        ("cut.json", b'{"flow": "a"'),
        ("nan.json", b'{"flow": NaN}'),
        ("huge.json", b'{"flow": ' + b"9" * 5_000 + b"}"),
        ("long.yaml", b"flow: a\ntrigger: {event: b}\nsteps:\n" + b"  - {action: note}\n" * 600),
        ("large.yaml", b"flow: a\n# " + b"x" * 300_000),
    ],
)
def test_a_file_that_is_no_definition_is_told_with_a_place(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    lines = command("deploy", str(file), home=tmp_path / "home", code=2).stderr.splitlines()
    assert lines
    assert all(PLACE.match(line) for line in lines), lines
    assert all(line.isprintable() for line in lines)
    problems = json.loads(command("check", str(file), "--json", home=tmp_path / "home", code=2).stdout)
    assert len(problems) == len(lines)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("path", ["no-such-file.yaml", "."])
def test_a_file_that_cannot_be_read_is_told_by_its_name(path: str, tmp_path: Path) -> None:
    said = command("deploy", path, home=tmp_path / "home", code=2).stderr
    assert said.startswith(f"{path}:1:1: error[unreadable]")
