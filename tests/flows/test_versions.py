"""Versions of a flow in a home: what plan says of executions in flight, what migrate moves, how far rollback goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.versions.in_home import versions_in
from tests.flows.driving import command, process, value

EVENT = "event: deal.closed\nfields: {deal: {id: string, value: int}}\ntopic: crm.events\n---\n"
FLOW = """flow: f
trigger: {event: deal.closed}
steps:
  - {action: one, as: first, with: {a: "{{ deal.id }}"}}
  - {delay: 2h, as: nap}
  - {action: two, as: second, with: {a: "{{ deal.id }}"}}
"""
RENAMED = FLOW.replace("as: nap", "as: sleep")
OTHER = FLOW.replace("action: two", "action: three")


def written(folder: Path, text: str) -> str:
    file = folder / "f.yaml"
    file.write_text(EVENT + text)
    return str(file)


def active(home: Path) -> str:
    return versions_in(home).active["*", "f"].version


def test_rollback_goes_back_version_by_version_and_never_forth(tmp_path: Path) -> None:
    home = tmp_path / "home"
    deployed = []
    for text in (FLOW, RENAMED, OTHER):
        command("deploy", written(tmp_path, text), home=home)
        deployed.append(active(home))
    assert value("rollback", "f", home=home) == {"flow": "f", "tenant": "*", "version": deployed[1], "was": deployed[2]}
    command("rollback", "f", home=home)
    assert active(home) == deployed[0]
    assert "no version before" in command("rollback", "f", home=home, code=2).stderr
    command("deploy", written(tmp_path, OTHER), home=home)
    command("rollback", "f", home=home)
    assert active(home) == deployed[0]
    assert "no flow 'g'" in command("rollback", "g", home=home, code=2).stderr


def test_a_flow_that_is_new_or_unchanged_concerns_nothing_in_flight(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (new,) = value("plan", written(tmp_path, FLOW), home=home)
    assert (new["old"], new["fates"], new["changes"]) == ("", [], [])
    command("deploy", written(tmp_path, FLOW), home=home)
    (same,) = value("plan", written(tmp_path, FLOW), home=home)
    assert same["old"] == same["new"]


def deal(number: int, tenant: str) -> dict[str, Any]:
    data = {"deal": {"id": f"D{number}", "value": 3}}
    event = {"id": str(number), "source": "t", "type": "deal.closed", "time": f"2026-01-05T10:00:0{number}Z"}
    return {**event, "tenant": tenant, "data": data}


@pytest.mark.slow
def test_executions_in_flight_are_planned_moved_and_end_on_the_version_they_were_moved_to(tmp_path: Path) -> None:
    home, events = tmp_path / "home", tmp_path / "events.jsonl"
    command("deploy", written(tmp_path, FLOW), home=home)
    first = active(home)
    events.write_text("".join(json.dumps(deal(number, tenant)) + "\n" for number, tenant in ((1, "acme"), (2, "zen"))))
    command("send", "--topic", "crm.events", str(events), home=home)
    process("up", "--until-idle", home=home)

    (told,) = value("plan", written(tmp_path, RENAMED), home=home, code=3)
    assert told["counts"] == {"pinned": 0, "migrates": 0, "strands": 2}
    assert {tuple(fate["why"]) for fate in told["fates"]} == {("it waits at 'nap', which is gone",)}
    (told,) = value("plan", written(tmp_path, OTHER), home=home)
    assert told["counts"] == {"pinned": 0, "migrates": 2, "strands": 0}

    command("deploy", written(tmp_path, OTHER), home=home)
    assert value("migrate", "f", "--dry-run", home=home)["moved"] == 0
    assert value("migrate", "f", "--tenant", "zen", "--by", "ann", home=home)["moved"] == 1
    process("up", "--until-idle", home=home)
    listed = value("query", "select tenant, version from executions order by tenant", home=home)
    assert [(row["tenant"], row["version"]) for row in listed] == [("acme", first), ("zen", active(home))]
    assert [fate["tenant"] for fate in value("migrate", "f", "--dry-run", home=home)["fates"]] == ["acme"]
    command("deploy", written(tmp_path, RENAMED), home=home)
    assert value("migrate", "f", home=home, code=3)["moved"] == 0
