"""What people say on the command line to running flows, and what it shows them, over homes whose logs the test writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.cli.past import as_it_stood
from flows.roles.http_door import PORT_FILE
from infra.embedded_log import FileReader
from infra.key_file import made_key
from schemas.records import Decision, OperatorCommand, Transition, decode, encode
from schemas.topics import COMMANDS, DECISIONS, partition_of
from sinks.links import KEY_FILE, Claim, read_token
from tests.flows.driving import command, deployed, value
from tests.sinks.test_projection import Views
from tests.sinks.test_waiting_views import SECOND, asked, moment
from tests.sinks.world import NOW_US, action

FIRST, SECOND_ID = "aa" * 16, "ab" * 16


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    """Two executions that ask; the first has waited for a delay before."""
    views = Views(tmp_path)
    views.history(
        FIRST,
        "waiting",
        moment(0, "started", "", ""),
        Transition(NOW_US, "entered", "pause", "delay", NOW_US + 5 * SECOND),
        waiting_on="pause",
        wait_until=NOW_US + 5 * SECOND,
        started=NOW_US,
    )
    views.history(
        FIRST,
        "waiting",
        moment(5, "completed", "pause", "delay"),
        Transition(NOW_US + 5 * SECOND, "issued", "note", "action", "a1"),
        asked(5, "ask", people=["ann"]),
        waiting_on="ask",
        wait_until=NOW_US + 99 * SECOND,
        started=NOW_US,
    )
    views.append("engine-0.db", "actions.http", encode(action("a1", FIRST, step="note", time="2026-05-28T20:26:45Z")))
    views.history(SECOND_ID, "waiting", asked(1, "ask", 0), asked(1, "ask", 1), waiting_on="ask", started=NOW_US + SECOND)
    views.project()
    for log in views.logs.values():
        log.close()
    yield views


def said(home: Path, topic: str) -> list[tuple[int, bytes]]:
    reader = FileReader(home / "ingress.db", topic.__eq__, {})
    found = [(chunk.partition, record) for chunk in reader.poll(1_000) for record in chunk.records]
    reader.close()
    return found


def decisions(home: Path) -> list[Decision]:
    found = said(home, DECISIONS)
    assert {partition for partition, _ in found} <= {partition_of("acme", 8)}
    return [decode(Decision, record) for _, record in found]


def commands(home: Path) -> list[OperatorCommand]:
    return [decode(OperatorCommand, record) for _, record in said(home, COMMANDS)]


def test_what_people_are_asked_is_listed_with_links_that_this_home_makes(views: Views) -> None:
    rows = value("approvals", "list", home=views.home)
    assert [(row["execution"], row["step"], row["occurrence"], row["status"], row["need"]) for row in rows] == [
        (FIRST, "ask", 0, "open", 2),
        (SECOND_ID, "ask", 0, "open", 2),
        (SECOND_ID, "ask", 1, "open", 2),
    ]
    assert "there is no key" in command("approvals", "list", "--links", home=views.home, code=1).stderr
    key = made_key(views.home / KEY_FILE)
    assert "start `millrace up`" in command("approvals", "list", "--links", home=views.home, code=2).stderr
    (views.home / PORT_FILE).write_text("8080\n")
    first, *_ = value("approvals", "list", "--links", home=views.home)
    claims = {link["for"]: read_token(key, link["url"].rpartition("/")[2]) for link in first["links"]}
    assert claims == {
        "ann": Claim("acme", FIRST, "ask", 0, "ann"),
        "role cfo": Claim("acme", FIRST, "ask", 0, "", ("cfo",)),
    }
    assert first["links"][0]["url"].startswith("http://127.0.0.1:8080/decide/")
    assert value("approvals", "list", "--tenant", "zeta", home=views.home) == []
    assert key.hex() not in command("approvals", "list", "--links", home=views.home).stdout


def test_a_decision_goes_into_the_log_for_the_pass_that_is_open(views: Views) -> None:
    answer = value(
        *(
            "approvals",
            "decide",
            "aaaa",
            "ask",
            "approved",
            "--by",
            "ann",
            "--role",
            "cfo",
            "--form",
            "limit=5",
            "--form",
            "why=ok",
        ),
        home=views.home,
    )
    assert answer == {
        "status": "accepted",
        "tenant": "acme",
        "execution": FIRST,
        "step": "ask",
        "occurrence": 0,
        "outcome": "approved",
        "by": "ann",
    }
    (decision,) = decisions(views.home)
    assert (decision.execution, decision.by, decision.roles, decision.form) == (FIRST, "ann", ["cfo"], {"limit": 5, "why": "ok"})
    assert (decision.via, decision.refused, decision.outcome) == ("cli", "", "approved")
    text = command("approvals", "decide", SECOND_ID, "ask", "rejected", "--occurrence", "1", home=views.home).stderr
    assert "taken in" in text
    assert decisions(views.home)[1].occurrence == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aa", "pause", "approved"], "asks nobody now; open in this execution: ask"),
        (["ab", "ask", "approved"], "is asked 2 times at once; say which with --occurrence (0, 1)"),
        (["a", "ask", "approved"], "give more characters"),
        (["ff", "ask", "approved"], "no execution begins with ff"),
        (["aa", "ask", "approved", "--form", "nothing"], "is not KEY=VALUE"),
        (["aa", "ask", "maybe"], "maybe"),
    ],
)
def test_a_decision_about_nothing_is_refused_here(views: Views, arguments: list[str], message: str) -> None:
    assert message in command("approvals", "decide", *arguments, home=views.home, code=2).stderr
    assert decisions(views.home) == []


def test_a_decision_that_comes_too_late_is_refused_and_written_down(tmp_path: Path) -> None:
    views = Views(tmp_path)
    decided = moment(1, "completed", "ask", "approval", occurrence=0, outcome="approved", by="ann")
    views.history(FIRST, "waiting", asked(0, "ask", people=["ann"]), decided, waiting_on="later", started=NOW_US)
    over = moment(2, "completed", "ask", "approval", occurrence=0, outcome="rejected")
    views.history(SECOND_ID, "failed", asked(1, "ask", people=["ann"]), over, moment(2, "ended", "", ""), started=NOW_US)
    views.project()
    for log in views.logs.values():
        log.close()
    for name, why in (("aa", "asks nobody now"), ("ab", "has ended: failed")):
        text = command("approvals", "decide", name, "ask", "approved", "--by", "bob", home=views.home, code=2).stderr
        assert why in text and "written down" in text
    assert [(one.execution, one.occurrence, one.by) for one in decisions(views.home)] == [
        (FIRST, 0, "bob"),
        (SECOND_ID, 0, "bob"),
    ]


def test_an_operators_word_goes_into_the_log(views: Views) -> None:
    command("executions", "cancel", "aa", "--by", "ann", "--role", "support", home=views.home)
    command("executions", "retry", "aa", "--step", "note", home=views.home)
    command("executions", "skip", "aa", "--step", "ask", "--occurrence", "2", home=views.home)
    answer = value("executions", "resume", "aa", "--step", "note", "--outcome", "not_done", home=views.home)
    assert answer == {"status": "accepted", "command": "resume", "tenant": "acme", "execution": FIRST, "step": "note"}
    assert [(one.command, one.execution, one.step, one.occurrence, one.outcome) for one in commands(views.home)] == [
        ("cancel", FIRST, "", 0, ""),
        ("retry", FIRST, "note", 0, ""),
        ("skip", FIRST, "ask", 2, ""),
        ("resume", FIRST, "note", 0, "not_done"),
    ]
    first, second, *_ = commands(views.home)
    assert (first.by, first.roles, first.tenant) == ("ann", ["support"], "acme")
    assert second.by
    assert "Missing option" in command("executions", "resume", "aa", home=views.home, code=2).stderr


def test_a_whole_id_with_its_tenant_needs_no_views(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home")
    command("executions", "cancel", FIRST, "--tenant", "acme", home=home)
    assert [one.execution for one in commands(home)] == [FIRST]
    assert "nothing has been projected" in command("executions", "cancel", "aa", "--tenant", "acme", home=home, code=2).stderr
    assert (
        "holds no Millrace home" in command("executions", "cancel", FIRST, "--tenant", "t", home=tmp_path / "no", code=2).stderr
    )


def test_what_executions_wait_for_since_when_and_until_when(views: Views) -> None:
    rows = value("executions", "list", "--waiting", home=views.home)
    assert [(row["execution"], row["waits_for"], row["kind"], row["since"], row["until"]) for row in rows] == [
        (FIRST, "ask", "approval", "2026-05-28T20:26:45Z", "2026-05-28T20:28:19Z"),
        (SECOND_ID, "ask", "approval", "2026-05-28T20:26:41Z", None),
    ]
    assert value("executions", "list", "--waiting", "--flow", "other", home=views.home) == []


def test_what_waits_for_an_operator_says_so_and_since_when(tmp_path: Path) -> None:
    views = Views(tmp_path)
    undoing = Transition(NOW_US, "issued", "pay", "compensation", "a2")
    views.history(FIRST, "closing", moment(0, "started", "", ""), undoing, waiting_on="pay", started=NOW_US)
    failed = Transition(NOW_US + 3 * SECOND, "failed", "pay", "compensation", {"code": "rejected", "message": "no"})
    views.history(SECOND_ID, "closing", undoing, failed, waiting_on="operator pay", started=NOW_US)
    views.history(
        "ac" * 16,
        "waiting",
        moment(0, "entered", "", "limit"),
        waiting_on="limit rate",
        wait_until=NOW_US + SECOND,
        started=NOW_US,
    )
    views.project()
    for log in views.logs.values():
        log.close()
    rows = value("executions", "list", "--waiting", home=tmp_path)
    assert {row["execution"]: (row["waits_for"], row["kind"], row["since"]) for row in rows} == {
        FIRST: ("pay", "compensation", "2026-05-28T20:26:40Z"),
        SECOND_ID: ("operator pay", "operator", "2026-05-28T20:26:43Z"),
        "ac" * 16: ("limit rate", "limit", "2026-05-28T20:26:40Z"),
    }


def test_a_history_is_shown_in_order(views: Views) -> None:
    rows = value("executions", "history", "aa", home=views.home)
    assert [(row["name"], row["step"]) for row in rows] == [
        ("started", ""),
        ("delay.entered", "pause"),
        ("delay.completed", "pause"),
        ("action.issued", "note"),
        ("approval.requested", "ask"),
    ]


def test_an_execution_is_shown_as_it_stood(views: Views) -> None:
    def at(second: int) -> Any:
        return value("executions", "show", "aa", "--at", f"2026-05-28T20:26:{40 + second}Z", home=views.home)

    before = at(4)
    assert before["values"] == {}
    assert (before["status"], before["waiting_on"], before["wait_until"]) == ("waiting", "pause", "2026-05-28T20:26:45Z")
    assert [(step["step"], step["outcome"]) for step in before["steps"]] == [("pause", "waiting")]
    assert before["actions"] == []
    after = at(5)
    assert (after["waiting_on"], after["wait_until"]) == ("ask", "2026-05-28T20:28:19Z")
    assert [(step["step"], step["outcome"]) for step in after["steps"]] == [
        ("pause", "completed"),
        ("note", "issued"),
        ("ask", "waiting"),
    ]
    assert [one["status"] for one in after["actions"]] == ["pending"]
    early = command("executions", "show", "aa", "--at", "2026-05-28T20:26:39Z", home=views.home, code=2).stderr
    assert "had not started" in early
    assert "--at: " in command("executions", "show", "aa", "--at", "yesterday", home=views.home, code=2).stderr


def test_a_call_that_nobody_waits_for_had_not_waited() -> None:
    start: dict[str, Any] = {"at": "2026-05-28T20:26:40Z", "step": "", "verb": "", "kind": "started", "detail": None}
    call = {"at": "2026-05-28T20:26:40Z", "step": "sent", "verb": "call", "kind": "called"}
    whats: tuple[tuple[dict[str, Any], str], ...] = (({"awaited": False}, "called"), ({}, "waiting"))
    for detail, outcome in whats:
        _, steps, _ = as_it_stood(start, [start, {**call, "detail": detail}], [], [], NOW_US)
        assert [(step["step"], step["outcome"]) for step in steps] == [("sent", outcome)]


def test_with_an_execution_ended_the_steps_that_waited() -> None:
    start: dict[str, Any] = {"at": "2026-05-28T20:26:40Z", "step": "", "verb": "", "kind": "started", "detail": None}
    wait = {**start, "step": "note", "verb": "wait", "kind": "entered", "detail": "2026-05-28T20:36:40Z"}
    ended = {**start, "at": "2026-05-28T20:26:42Z", "kind": "ended", "detail": "cancelled"}
    _, steps, _ = as_it_stood({**start, "error": None}, [start, wait, ended], [], [], NOW_US + SECOND)
    assert [(step["outcome"], step["ended_at"]) for step in steps] == [("waiting", None)]
    _, steps, _ = as_it_stood({**start, "error": None}, [start, wait, ended], [], [], NOW_US + 2 * SECOND)
    assert [(step["outcome"], step["ended_at"]) for step in steps] == [("cancelled", ended["at"])]


def test_at_a_time_it_had_the_version_and_the_waits_of_that_time(tmp_path: Path) -> None:
    views = Views(tmp_path)
    views.history(
        FIRST, "waiting", asked(0, "ask"), waiting_on="ask", wait_until=NOW_US + 99 * SECOND, started=NOW_US, version="old"
    )
    voted = moment(1, "decided", "ask", occurrence=0, outcome="approved", by="ann")
    views.history(FIRST, "waiting", voted, waiting_on="ask", wait_until=NOW_US + 99 * SECOND, started=NOW_US, version="old")
    moved = moment(3, "migrated", "", "operator", **{"from": "old", "to": "new"})
    charged = Transition(NOW_US + 5 * SECOND, "issued", "charge", "action", "a1")
    views.history(FIRST, "waiting", moved, waiting_on="ask", wait_until=NOW_US + 99 * SECOND, started=NOW_US, version="new")
    over = moment(5, "completed", "ask", occurrence=0, outcome="approved")
    until = {"waiting_on": "charge", "wait_until": NOW_US + 65 * SECOND}
    views.history(FIRST, "waiting", over, charged, started=NOW_US, version="new", **until)
    failed = (
        moment(7, "answered", "charge", "action", status="failed", attempts=1),
        moment(7, "failed", "charge", "", code="rejected", message="no funds"),
        moment(7, "closing", "charge", "", code="rejected"),
    )
    views.history(FIRST, "closing", *failed, started=NOW_US, version="new")
    views.project()
    for log in views.logs.values():
        log.close()

    def at(second: int) -> Any:
        return value("executions", "show", "aa", "--at", f"2026-05-28T20:26:{40 + second}Z", home=views.home)

    said = [(one["version"], one["waiting_on"], one["wait_until"]) for one in map(at, (0, 2, 4, 6, 8))]
    assert said == [
        ("old", "ask", "2026-05-28T20:28:19Z"),
        ("old", "ask", "2026-05-28T20:28:19Z"),
        ("new", "ask", "2026-05-28T20:28:19Z"),
        ("new", "charge", "2026-05-28T20:27:45Z"),
        ("new", None, None),
    ]
    *_, charge = at(8)["steps"]
    assert (charge["outcome"], charge["detail"]) == ("failed", {"code": "rejected", "message": "no funds"})


HAND = """
flow: collection
inputs: {invoice_id: string, days: int?}
trigger: {manual: {roles: [finance]}, id: inputs.invoice_id}
steps: [{action: hand_over, with: {invoice: "{{ inputs.invoice_id }}"}}]
---
flow: month_end
trigger: {schedule: "30 2 * * *", zone: [Europe/Berlin, UTC]}
steps: [{action: close_books, with: {}}]
---
{policy: approval_limit, type: money(GBP), value: 5000 GBP}
---
{policy: sla, key: string, type: duration, values: {high: 4h}, default: 10d}
---
policy: route
inputs: {total: money(GBP)}
outputs: {way: string}
hit: first
rules: [{when: total > 5 GBP, then: {way: a}}]
otherwise: {way: b}
"""


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    return deployed(tmp_path / "home", HAND)


def test_a_flow_is_started_by_hand(hand: Path) -> None:
    start = ("flows", "start", "collection", "--tenant", "acme", "--role", "finance")
    assert value(*start, "--input", "invoice_id=I7", "--by", "ann", home=hand) == {
        "status": "accepted",
        "flow": "collection",
        "tenant": "acme",
        "id": "",
    }
    command(*start, "--inputs", '{"invoice_id": "I8", "days": 3}', home=hand)
    first, second = commands(hand)
    assert (first.command, first.tenant, first.flow, first.inputs, first.by, first.roles) == (
        "start",
        "acme",
        "collection",
        {"invoice_id": "I7"},
        "ann",
        ["finance"],
    )
    assert (second.inputs, second.id) == ({"invoice_id": "I8", "days": 3}, "")


UNHANDED = """
event: bill.sent
fields: {bill: {id: string}}
---
flow: collection
rollout: {percent: 25}
trigger: {event: bill.sent}
steps: [{action: hand_over, with: {invoice: "{{ bill.id }}"}}]
"""


def test_a_flow_one_of_whose_two_versions_is_started_by_hand_is_started_so(hand: Path) -> None:
    deployed(hand, UNHANDED)
    start = ("flows", "start", "collection", "--tenant", "acme")
    refused = {
        "no flow 'nothing' is in force for acme; by hand start collection": ("flows", "start", "nothing", "--tenant", "acme"),
        "is started by finance": (*start, "--input", "invoice_id=I7"),
        "makes its key of its inputs": (*start, "--role", "finance", "--input", "invoice_id=I7", "--id", "k"),
        "inputs.invoice_id is missing and string is wanted": (*start, "--role", "finance"),
    }
    for message, line in refused.items():
        assert message in command(*line, home=hand, code=2).stderr
    assert value(*start, "--role", "finance", "--input", "invoice_id=I7", home=hand)["id"] == ""
    by_name = HAND.partition("---")[0].replace(", id: inputs.invoice_id", "").replace("finance", "audit")
    deployed(hand, by_name.replace("steps:", "rollout: {percent: 50}\nsteps:"))
    assert value(*start, "--role", "audit", "--input", "invoice_id=I8", "--id", "k", home=hand)["id"] == "k"
    assert value(*start, "--role", "finance", "--input", "invoice_id=I9", home=hand)["id"] != ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--tenant", "acme"], "no flow 'nothing' is in force for acme; by hand start collection"),
        (["month_end", "--tenant", "acme"], "has no manual trigger"),
        (["collection", "--role", "finance"], "say for which one with --tenant"),
        (["collection", "--tenant", "acme", "--input", "invoice_id=I7"], "is started by finance"),
        (["collection", "--tenant", "acme", "--input", "invoice_id=I7", "--id", "k"], "makes its key of its inputs, so --id"),
        (["collection", "--tenant", "acme", "--role", "finance"], "inputs.invoice_id is missing and string is wanted"),
        (["collection", "--tenant", "acme", "--role", "finance", "--inputs", "[1]"], "is no JSON object"),
        (["collection", "--tenant", "acme", "--role", "finance", "--inputs", "{"], "is no JSON object"),
        (["collection", "--tenant", "acme", "--role", "finance", "--input", "invoice_di=1"], "did you mean 'invoice_id'?"),
    ],
)
def test_a_start_that_cannot_be_is_refused_here(hand: Path, arguments: list[str], message: str) -> None:
    assert message in command("flows", "start", *arguments, home=hand, code=2).stderr
    assert commands(hand) == []


def test_schedules_show_their_slots_as_the_clocks_will(hand: Path) -> None:
    rows = value("schedules", "list", home=hand)
    assert [(row["flow"], row["zone"], row["schedule"], row["missed"], row["overlap"]) for row in rows] == [
        ("month_end", "Europe/Berlin", "30 2 * * *", "last", "skip"),
        ("month_end", "UTC", "30 2 * * *", "last", "skip"),
    ]
    assert all(row["next"] and row["next_local"].endswith("T02:30") for row in rows)
    spring = value("schedules", "preview", "month_end", "--from", "2026-03-28T00:00:00Z", "--count", "4", home=hand)
    assert [(row["at"], row["zone"], row["local"]) for row in spring] == [
        ("2026-03-28T01:30:00Z", "Europe/Berlin", "2026-03-28T02:30"),
        ("2026-03-28T02:30:00Z", "UTC", "2026-03-28T02:30"),
        ("2026-03-29T01:00:00Z", "Europe/Berlin", "2026-03-29T02:30 (does not exist)"),
        ("2026-03-29T02:30:00Z", "UTC", "2026-03-29T02:30"),
    ]
    assert "there are: month_end" in command("schedules", "preview", "collection", home=hand, code=2).stderr
    assert "--from" in command("schedules", "preview", "month_end", "--from", "soon", home=hand, code=2).stderr


def test_a_policy_is_changed_without_its_flows_and_its_versions_stay(hand: Path) -> None:
    assert [(row["policy"], row["tenant"], row["kind"]) for row in value("policies", "list", home=hand)] == [
        ("approval_limit", "*", "value"),
        ("route", "*", "table"),
        ("sla", "*", "keyed"),
    ]
    command("policies", "set", "approval_limit", "6000 GBP", home=hand)
    assert "already" in command("policies", "set", "approval_limit", "6000 GBP", home=hand).stderr
    command("policies", "set", "approval_limit", "100 GBP", "--tenant", "acme", home=hand)
    command("policies", "set", "sla", "2h", "--key", "high", home=hand)
    later = command("policies", "set", "sla", "9d", "--from", "2127-01-01T00:00:00Z", home=hand).stderr
    assert "'sla' for all is 9d from 2127-01-01T00:00:00Z on" in later
    listed = [(row["policy"], row["tenant"], row["valid_from"]) for row in value("policies", "list", home=hand)]
    assert listed == [  # what holds now, and behind it what is announced
        ("approval_limit", "*", None),
        ("approval_limit", "acme", None),
        ("route", "*", None),
        ("sla", "*", None),
        ("sla", "*", "2127-01-01T00:00:00Z"),
    ]
    history = value("policies", "history", "approval_limit", home=hand)
    assert [(row["tenant"], row["value"]) for row in history] == [
        ("acme", "100.00 GBP"),
        ("*", "6000.00 GBP"),
        ("*", "5000.00 GBP"),
    ]
    assert len({row["version"] for row in history}) == 3
    assert [row["value"] for row in value("policies", "history", "approval_limit", "--tenant", "zeta", home=hand)] == [
        "6000.00 GBP",
        "5000.00 GBP",
    ]
    latest, *_ = value("policies", "history", "sla", home=hand)
    assert latest["valid_from"] == "2127-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "1"], "there is no policy 'nothing'; there are: approval_limit, route, sla"),
        (["approval_limit", "6000"], "6000 has no currency"),
        (["approval_limit", "6000 EUR"], "money(GBP)"),
        (["approval_limit", "1 GBP", "--key", "x"], "has one value and no keys"),
        (["route", "b"], "is a decision table"),
        (["sla", "soon", "--key", "high"], "duration"),
    ],
)
def test_a_value_that_a_policy_cannot_have_is_refused(hand: Path, arguments: list[str], message: str) -> None:
    before = len(said(hand, "control"))
    assert message in command("policies", "set", *arguments, home=hand, code=2).stderr
    assert len(said(hand, "control")) == before


def test_records_are_what_the_engine_reads(views: Views) -> None:
    """Told apart by their key: redrives and operators' words share a topic."""
    command("executions", "cancel", "aa", home=views.home)
    (record,) = [record for _, record in said(views.home, COMMANDS)]
    assert "command" in json.loads(record)
    assert msgspec.json.decode(record)["v"] == 1
