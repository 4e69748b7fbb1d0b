"""A contract may not take away what flows in force read."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deployment import check_files, deploy, open_ingress

EVENTS = """
event: job.asked
fields: {job: {id: string, n: int, at: timestamp, tags: list(string), note: string?}}
---
event: job.done
fields: {job: {id: string, cost: int}}
---
action: say
params: {text: string}
---
"""
ASKED = EVENTS.partition("---")[0]
START = "trigger: {event: job.asked, conditions: [job.n == 1]}"
SAY = "steps: [{action: say, with: {text: there}}]"
DONE = "event: job.done\nfields: {job: {id: string}}\n"
FLOWS = {
    "condition": (f"{START}\n{SAY}", "job.n"),
    "step": ("trigger: {event: job.asked}\nsteps: [{action: say, with: {text: 'number {{ job.n }}'}}]", "job.n"),
    "list": ("trigger: {event: job.asked}\nsteps: [{action: say, with: {text: 'of {{ count(job.tags) }}'}}]", "job.tags"),
    "window": (
        "trigger: {event: job.asked, window: {key: job.n, sliding: 1h, measures: {many: count()}, when: window.many > 2}}\n"
        + SAY,
        "job.n",
    ),
    "absence": (
        "trigger: {event: job.asked, absence: {of: job.done, as: done, correlate: done.job.id == job.id, until: job.at}}\n" + SAY,
        "job.at",
    ),
}


def home_with(tmp_path: Path, flow: str) -> Path:
    home = tmp_path / "home"
    put(home, tmp_path / "all.yaml", f"{EVENTS}flow: reader\n{flow}\n")
    return home


def put(home: Path, file: Path, text: str) -> None:
    file.write_text(text)
    with open_ingress(home) as ingress:
        deploy(ingress, home, check_files([file], home))


def problems(home: Path, file: Path, text: str) -> list[str]:
    file.write_text(text)
    return [f"{one.line}:{one.column} {one.name}: {one.message}" for one in check_files([file], home).problems]


@pytest.mark.parametrize("kind", FLOWS)
def test_a_field_that_a_flow_in_force_reads_cannot_go(tmp_path: Path, kind: str) -> None:
    flow, path = FLOWS[kind]
    home = home_with(tmp_path, flow)
    without = ASKED.replace({"job.n": "n: int, ", "job.at": "at: timestamp, ", "job.tags": "tags: list(string), "}[path], "")
    assert problems(home, tmp_path / "new.yaml", without) == [
        f"3:9 cuts-off-flow: flow 'reader' is in force and reads {path}: the field is gone; "
        "keep it, or deploy the flow changed as well"
    ]


@pytest.mark.parametrize("gone", ["cost: int", "id: string"])
def test_what_a_wait_reads_or_is_found_by_cannot_go(tmp_path: Path, gone: str) -> None:
    wait = "wait: job.done, as: done, correlate: done.job.id == job.id, conditions: [done.job.cost > 1], timeout: 1h"
    home = home_with(tmp_path, f"trigger: {{event: job.asked}}\nsteps: [{{{wait}, on_timeout: fail}}]")
    fewer = "event: job.done\nfields: {job: {id: string, cost: int}}\n".replace(f", {gone}", "").replace(f"{gone}, ", "")
    (problem,) = problems(home, tmp_path / "new.yaml", fewer)
    assert f"reads job.{gone.partition(':')[0]}: the field is gone" in problem


def test_a_field_that_may_be_missing_from_now_on_is_told_too(tmp_path: Path) -> None:
    home = home_with(tmp_path, FLOWS["step"][0])
    (problem,) = problems(home, tmp_path / "new.yaml", ASKED.replace("n: int", "n: int?"))
    assert "reads job.n: was int and is now int?" in problem


def test_what_no_flow_reads_may_go_and_a_flow_changed_as_well_is_fine(tmp_path: Path) -> None:
    home = home_with(tmp_path, FLOWS["condition"][0])
    assert problems(home, tmp_path / "new.yaml", ASKED.replace(", note: string?", "")) == []
    both = EVENTS.replace("n: int, ", "") + f"flow: reader\ntrigger: {{event: job.asked}}\n{SAY}\n"
    assert problems(home, tmp_path / "new.yaml", both) == []
    put(home, tmp_path / "new.yaml", both)
    assert problems(home, tmp_path / "new.yaml", DONE) == []
