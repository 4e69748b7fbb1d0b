"""A version for a part of the entities, then for more, then back; then one in shadow: from the command line to the views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.versions.in_home import versions_in
from tests.flows.driving import command, process, value
from tests.laws.rolled_out import bucket

FLOW = """event: deal.closed
fields: {deal: {id: string, customer: string?, value: int}}
topic: crm.events
---
flow: greet
trigger: {event: deal.closed, conditions: [deal.value >= 10]}
ROLLOUT
steps:
  - {action: tell, as: told, with: {deal: "{{ deal.id }}", words: "hello"}}
  - {delay: 2h, as: nap}
  - {action: tell_again, with: {deal: "{{ deal.id }}"}}
"""
NEWER = FLOW.replace('"hello"', '"good day"')


def written(folder: Path, text: str, rollout: str = "") -> str:
    file = folder / "greet.yaml"
    file.write_text(text.replace("ROLLOUT\n", f"rollout: {rollout}\n" if rollout else ""))
    return str(file)


def sent(folder: Path, home: Path, first: int, count: int = 60) -> None:
    events = folder / "events.jsonl"
    lines = []
    for number in range(first, first + count):
        deal = {"id": f"D{number}", "value": 10 + number % 7} | ({"customer": f"C{number % 40}"} if number % 9 else {})
        time = f"2026-01-05T{10 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        envelope = {"id": f"{number}", "source": "t", "type": "deal.closed", "time": time, "tenant": "acme"}
        lines.append(json.dumps({**envelope, "data": {"deal": deal}}) + "\n")
    events.write_text("".join(lines))
    command("send", "--topic", "crm.events", str(events), home=home)
    process("up", "--until-idle", home=home)


def by_version(home: Path, first: int) -> dict[str, str]:
    asked = "select trigger_event, version from executions where cast(trigger_event as integer) >= "
    return {row["trigger_event"]: row["version"] for row in value("query", f"{asked}{first}", home=home)}


def expected(first: int, percent: int, versions: tuple[str, str], count: int = 60) -> dict[str, str]:
    old, new = versions
    found = {}
    for number in range(first, first + count):
        inside = bucket("acme", "greet", f"C{number % 40}" if number % 9 else None) < percent * 100
        found[f"{number}"] = new if inside else old
    return found


@pytest.mark.slow
def test_a_share_of_the_entities_runs_the_newer_version(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command("deploy", written(tmp_path, FLOW), home=home)
    first = versions_in(home).active["*", "greet"].version
    (told,) = value("plan", written(tmp_path, NEWER, "{percent: 25, by: deal.customer}"), home=home)
    assert told["runs"] == f"for 25 % by deal.customer; the rest on {first[:12]}"
    (flow,) = value("deploy", written(tmp_path, NEWER, "{percent: 25, by: deal.customer}"), home=home)["flows"]
    second = flow["version"]
    assert flow["change"] == "changed"
    listed = value("flows", "list", home=home)
    assert [(row["version"], row["runs"], row["percent"], row["by"]) for row in listed] == [
        (second, "new", 25, "deal.customer"),
        (first, "rest", 75, "deal.customer"),
    ]
    assert "takes 25 % by deal.customer" in command("explain", str(tmp_path / "greet.yaml"), home=home).stdout
    sent(tmp_path, home, 0)
    quarter = by_version(home, 0)
    assert quarter == expected(0, 25, (first, second))
    assert set(quarter.values()) == {first, second}
    assert "is rolled out for 25 %" in command("migrate", "greet", home=home, code=2).stderr

    again = value("deploy", written(tmp_path, NEWER, "{percent: 50, by: deal.customer}"), home=home)["flows"]
    assert [one["version"] for one in again] == [second]
    sent(tmp_path, home, 100)
    assert by_version(home, 100) == expected(100, 50, (first, second))
    back = value("rollback", "greet", home=home)
    assert (back["version"], back["was"]) == (first, second)
    sent(tmp_path, home, 200)
    assert set(by_version(home, 200).values()) == {first}
    assert by_version(home, 0) == {**quarter, **by_version(home, 100), **by_version(home, 200)}
    command("deploy", written(tmp_path, NEWER, "{percent: 100, by: deal.customer}"), home=home)
    assert [row["runs"] for row in value("flows", "list", home=home)] == ["all"]
    said = command("deploy", written(tmp_path, NEWER, "{percent: 25, by: deal.customer}"), home=home, code=2).stderr
    assert "is in force already, with no other beside it" in said


def test_a_tenant_is_shown_the_version_that_it_runs_and_no_other(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command("deploy", written(tmp_path, FLOW), home=home)
    command("deploy", written(tmp_path, FLOW.replace("flow: greet", "flow: other")), home=home)
    command("deploy", written(tmp_path, NEWER), "--tenant", "acme", home=home)
    command("deploy", written(tmp_path, NEWER.replace("flow: greet", "flow: zens")), "--tenant", "zen", home=home)

    def listed(*more: str) -> list[tuple[str, str]]:
        return [(row["flow"], row["tenant"]) for row in value("flows", "list", *more, home=home)]

    assert listed("--tenant", "acme") == [("greet", "acme"), ("other", "*")]
    assert listed("--tenant", "zen") == [("greet", "*"), ("other", "*"), ("zens", "zen")]
    assert listed() == [("greet", "*"), ("greet", "acme"), ("other", "*"), ("zens", "zen")]


@pytest.mark.slow
def test_a_version_in_shadow_sends_nothing_and_its_differences_are_rows(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command("deploy", written(tmp_path, FLOW), home=home)
    first = versions_in(home).active["*", "greet"].version
    shadow = NEWER.replace(">= 10", ">= 12").replace(
        "  - {delay: 2h, as: nap}\n", "  - {action: extra, as: extra, with: {n: 1}}\n"
    )
    (flow,) = value("deploy", written(tmp_path, shadow, "{shadow: true}"), home=home)["flows"]
    second = flow["version"]
    assert flow["runs"] == f"in shadow for all, beside {first[:12]}"
    assert [row["runs"] for row in value("flows", "list", home=home)] == ["all", "shadow"]
    sent(tmp_path, home, 0, 14)
    process("up", "--clock", "events", "--until-idle", home=home)
    assert set(by_version(home, 0).values()) == {first}
    types = value("query", "select distinct type from actions order by type", home=home)
    assert [row["type"] for row in types] == ["tell", "tell_again"]
    asked = "select kind, step, live, shadow, count(*) as n from shadow_differences group by all order by kind, step"
    rows = value("query", asked, home=home)
    assert {(row["kind"], row["step"]): row["n"] for row in rows if row["kind"] != "action"} == {
        ("start", None): 4,
        ("step", "extra"): 10,
        ("step", "nap"): 10,
    }
    actions = value("query", "select * from shadow_differences where kind = 'action'", home=home)
    assert {(row["step"], verdict(row)) for row in actions} == {("told", "different"), ("extra", "only in shadow")}
    one = next(row for row in actions if row["step"] == "told")
    assert (one["version"], one["shadow_version"]) == (first, second)
    assert json.loads(one["live"])["with"]["words"] == "hello"
    assert json.loads(one["shadow"])["with"]["words"] == "good day"
    pairs = value(
        "query", "select status, shadow_status, count(*) as n from shadow_executions group by all order by n", home=home
    )
    assert [tuple(row.values()) for row in pairs] == [("completed", "not started", 4), ("completed", "completed", 10)]
    assert value("rollback", "greet", home=home)["version"] == first
    assert [row["runs"] for row in value("flows", "list", home=home)] == ["all"]


def verdict(row: dict[str, Any]) -> str:
    if row["live"] is None:
        return "only in shadow"
    return "different" if row["shadow"] is not None else "only in force"
