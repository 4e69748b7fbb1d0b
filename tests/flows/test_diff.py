"""What differs between two versions: of a flow, its steps matched by name, and of an event contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.language.definitions import Definitions, Source, check_sources
from flows.versions.contract_changes import contract_changes
from flows.versions.flow_changes import flow_changes

EVENT = "event: deal.closed\nfields: {deal: {id: string, value: int, stage: string}}\n---\n"
FLOW = """flow: f
trigger: {event: deal.closed}
steps:
  - {action: one, as: first, with: {a: "{{ deal.id }}"}}
  - {delay: 2h, as: nap}
  - {action: two, as: second}
output: {deal: "{{ deal.id }}"}
"""


def read(text: str) -> Definitions:
    found = check_sources([Source("f.yaml", EVENT + text)])
    assert found.ok, found.problems
    return found


def flow(old: str, new: str) -> list[str]:
    return [str(change) for change in flow_changes(*(read(text).flows[0].program for text in (old, new)))]


def contract(old: str, new: str) -> list[str]:
    texts = (f"event: deal.closed\nfields: {{deal: {{{fields}}}}}\n" for fields in (old, new))
    return [str(one) for one in contract_changes(*(check_sources([Source("e.yaml", text)]).contracts[0] for text in texts))]


def test_the_same_flow_in_other_words_has_no_changes() -> None:
    assert flow(FLOW, FLOW.replace("delay: 2h", "delay: 120m").replace("flow: f", "title: another\nflow: f")) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  - {delay: 2h, as: nap}\n",
            "",
            ["breaks step nap: is gone; executions that sleep there can only stay on the old version"],
        ),
        ("  - {action: two, as: second}\n", "", ["changes step second: is gone (action two)"]),
        ("delay: 2h", "delay: 3h", ["changes step nap: time was 2h and is now 3h"]),
        ("delay: 2h", "until: event.time", ["changes step nap: time was 2h and is now event.time"]),
        ("action: two", "action: three", ["changes step second: action was two and is now three"]),
        ("as: second", "as: third", ["changes step second: is gone (action two)", "changes step third: is new (action two)"]),
        (
            "deal.closed}\nsteps:",
            "deal.closed, conditions: [deal.value > 3]}\nsteps:",
            ["changes trigger: no longer starts by deal.closed", "changes trigger: now starts by deal.closed · deal.value > 3"],
        ),
        (
            'output: {deal: "{{ deal.id }}"}\n',
            'output: {id: "{{ deal.id }}"}\n',
            [
                "breaks output.deal: is gone; flows that call this one, or start after it, may read it",
                "changes output.id: is new",
            ],
        ),
        ("steps:", "timeout: 30d\nsteps:", ["changes timeout: was 400d and is now 30d"]),
        ("steps:", "tenant: acme\nsteps:", ["changes tenant: was all and is now acme"]),
        (
            "  - {delay: 2h, as: nap}\n",
            "  - parallel: {left: [{delay: 2h, as: nap}], right: [{delay: 1h, as: other}]}\n    as: both\n",
            [
                "breaks step nap: moved from the flow itself to both/left; executions that wait there cannot follow",
                "changes step both: is new (fork)",
                "changes step other: is new (delay)",
            ],
        ),
    ],
)
def test_a_change_of_a_flow_is_told_with_what_it_breaks(old: str, new: str, expected: list[str]) -> None:
    assert flow(FLOW, FLOW.replace(old, new)) == expected


def test_a_wait_that_moves_before_an_action_it_stood_behind_would_do_that_twice() -> None:
    lines = FLOW.splitlines(keepends=True)
    moved = "".join([*lines[:3], lines[4], lines[3], *lines[5:]])
    assert flow(FLOW, moved) == [
        "breaks step nap: now stands before first; executions that wait there would do that a second time"
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id: string", "id: string", []),
        ("id: string", "id: string, more: int?", ["changes data.deal.more: the field is new (int?)"]),
        (
            "id: string",
            "id: string, more: int",
            ["breaks data: data.deal.more is new and required; old records lack it; write int?"],
        ),
        (
            "id: string, value: int",
            "id: string",
            ["breaks data.deal.value: the field is gone; flows that read it no longer check: keep it, or mark it optional"],
        ),
        (
            "value: int",
            "value: decimal",
            ["breaks data.deal.value: was int and is now decimal; flows that read it must be checked again"],
        ),
        (
            "value: string",
            "value: int",
            ["breaks data: data.deal.value was string and is now int; add a field of another name"],
        ),
        ("value: int?", "value: int", ["breaks data: data.deal.value could be missing and now may not; write int?"]),
        (
            "value: int",
            "value: int?",
            ["breaks data.deal.value: was int and is now int?; flows that read it must be checked again"],
        ),
        (
            "value: 'one_of(\"a\")'",
            'value: \'one_of("a", "b")\'',
            ['changes data.deal.value: was one_of("a") and is now one_of("a", "b")'],
        ),
        (
            "lines: list(string)",
            "lines: list(int)",
            ["breaks data: data.deal.lines[*] was string and is now int; add a field of another name"],
        ),
    ],
)
def test_a_change_of_an_event_contract_is_told(old: str, new: str, expected: list[str]) -> None:
    assert contract(old, new) == expected


def diff(*arguments: str | Path, home: Path) -> Result:
    return CliRunner().invoke(app, ["diff", *map(str, arguments), "--home", str(home)], catch_exceptions=False)


def test_files_are_told_apart_and_the_exit_code_says_whether_something_breaks(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new"
    new.mkdir()
    old.write_text(EVENT + FLOW)
    (new / "f.yaml").write_text(EVENT + FLOW.replace("2h", "3h"))
    home = tmp_path / "home"
    mild = diff(old, new, "--json", home=home)
    assert mild.exit_code == 0
    (only,) = json.loads(mild.stdout)
    assert (only["what"], only["changes"][0]["place"]) == ("flow f", "step nap")
    (new / "f.yaml").write_text(EVENT.replace("value: int", "value: string") + FLOW)
    hard = diff(old, new, home=home)
    assert hard.exit_code == 3
    assert "breaks data: data.deal.value was int and is now string" in hard.stdout
    assert diff(old, old, home=home).exit_code == 0


def test_what_is_deployed_is_one_side(tmp_path: Path) -> None:
    file, home = tmp_path / "f.yaml", tmp_path / "home"
    file.write_text(EVENT + FLOW)
    assert CliRunner().invoke(app, ["deploy", str(file), "--home", str(home)]).exit_code == 0
    assert "nothing differs" in diff("deployed", file, home=home).stderr
    file.write_text(EVENT + FLOW.replace("  - {delay: 2h, as: nap}\n", ""))
    changed = diff("deployed", file, home=home)
    assert changed.exit_code == 3
    assert "breaks step nap: is gone" in changed.stdout
