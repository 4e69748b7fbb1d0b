"""The page behind a decision link, over a real server and a real engine's file, with a real HTTP client and no script."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from flows.roles.http_door import build_door
from flows.roles.server import build_server
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.executions import Filter, list_executions
from infra.file_reader import FileReader
from infra.key_file import made_key
from schemas.records import Decision, History, decode
from schemas.topics import DECISIONS
from sinks.ingress.server import IngressServer
from sinks.links import KEY_FILE, Claim, token
from tests.flows.driving import command, deployed

PAGE = {"Accept": "text/html,application/xhtml+xml"}
SHIP = """
event: order.placed
topic: lab.events
fields: {order: {id: string, total: money(GBP), by: string?, note: string?}}
---
flow: ship
trigger: {event: order.placed}
steps:
  - approve: "Ship <b>{{ order.id }}</b> over {{ order.total }}?"
    as: approval
    by: {role: lead}
    need: 2
    not: ["{{ coalesce(order.by, 'nobody') }}"]
    show: {customer & co: "{{ order.note }}", total: "{{ order.total }}"}
    form: {limit: money(GBP), urgent: bool, reason: string?}
    timeout: 3d
    on_timeout: rejected
  - {branch: [{when: approval.outcome == "rejected", then: [{stop: refused}]}], else: continue}
  - {wait: order.placed, as: next, correlate: next.order.id == order.id, timeout: 30d, on_timeout: continue}
"""


class Inputs(HTMLParser):
    """What a browser would make of a page: its inputs, their values, its buttons, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.buttons: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if tag in ("input", "select", "textarea"):
            self.inputs[str(found["name"])] = found
        elif tag == "button" and "disabled" in found:
            assert not self.buttons, "what Enter presses comes first, and decides nothing"
        elif tag == "button":
            self.buttons.append(str(found["value"]))

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class Desk:
    """A home that is served on a thread, and whose engine works when it is told to."""

    home: Path
    server: IngressServer
    url: str
    client: httpx.Client
    stopping: threading.Event = field(default_factory=threading.Event)

    def serve(self) -> None:
        """Serve until told to stop."""
        while not self.stopping.is_set():
            self.server.step(0.005)

    def work(self) -> None:
        """Let the engine take what there is."""
        engine = build_engine(self.home, EngineSettings("wall"))
        while (taken := engine.take()) is not None:
            engine.advance(engine.join(engine.match(engine.decode(taken))))
        engine.close()

    def execution(self) -> str:
        (row,) = list_executions(self.home / "engine-0.db", Filter())
        return row.id.hex()

    def link(self, by: str = "", step: str = "approval", tenant: str = "acme", occurrence: int = 0) -> str:
        claim = Claim(tenant, self.execution(), step, occurrence, by, ("lead",))
        return f"{self.url}/decide/{token(made_key(self.home / KEY_FILE), claim)}"

    def get(self, link: str, status: int = 200) -> Inputs:
        answer = self.client.get(link, headers=PAGE)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        return Inputs(answer.text)

    def post(self, link: str, status: int, **fields: str) -> Inputs:
        answer = self.client.post(link, data={name.replace("_", "."): value for name, value in fields.items()}, headers=PAGE)
        assert answer.status_code == status, answer.text
        return Inputs(answer.text)

    def decisions(self) -> list[Decision]:
        reader = FileReader(self.home / "ingress.db", DECISIONS.__eq__, {})
        found = [decode(Decision, record) for chunk in reader.poll(1_000) for record in chunk.records]
        reader.close()
        return found

    def refusals(self) -> list[Any]:
        reader = FileReader(self.home / "engine-0.db", "history".__eq__, {})
        records = [decode(History, record) for chunk in reader.poll(1_000) for record in chunk.records]
        reader.close()
        return [one.detail["why"] for record in records for one in record.transitions if one.kind == "refused"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    home = deployed(tmp_path / "home", SHIP)
    order = {"id": "A1", "total": "6000 GBP", "by": "bob", "note": "<script>alert(1)</script>"}
    head = {"id": "o1", "source": "test", "type": "order.placed", "tenant": "acme", "time": "2026-01-05T10:00:00Z"}
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps({**head, "data": {"order": order}}) + "\n")
    command("send", "--topic", "lab.events", str(file), home=home)
    log = IngressLog(home / "ingress.db")
    http, doors = build_door(home, SystemClock(), log.partitions)
    server = build_server(home, log, SystemClock(), http)
    with httpx.Client(timeout=20) as client:
        made = Desk(home, server, f"http://127.0.0.1:{http.listener.getsockname()[1]}", client)
        made.work()
        thread = threading.Thread(target=made.serve)
        thread.start()
        try:
            yield made
        finally:
            made.stopping.set()
            thread.join()
            server.close()
            log.close()
            doors.control.close()


def test_the_page_shows_the_question_the_values_and_a_form_by_its_types(desk: Desk) -> None:
    page = desk.get(desk.link())
    assert "Ship <b>A1</b> over 6000.00 GBP?" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "customer & co" in page.text
    assert "2 people must approve; so far nobody." in page.text
    assert not page.tags & {"script", "b", "img", "link"}
    assert page.inputs["form.limit"] == {
        "inputmode": "decimal",
        "id": "form.limit",
        "name": "form.limit",
        "required": None,
        "value": "",
    }
    assert set(page.inputs) == {"by", "form.limit", "form.urgent", "form.reason"}
    assert ("required" in page.inputs["form.urgent"], "required" in page.inputs["form.reason"]) == (True, False)
    assert page.buttons == ["approved", "rejected"]
    assert "by" not in desk.get(desk.link("ann")).inputs


def test_a_form_is_filled_in_again_until_it_fits_and_then_counts(desk: Desk) -> None:
    ann = desk.link("ann")
    page = desk.post(ann, 422, outcome="approved", form_limit="much", form_reason="known")
    assert "'much' is not money; write an amount, one space and a currency" in page.text
    assert "write yes or no" in page.text
    assert page.inputs["form.reason"]["value"] == "known"
    assert desk.decisions() == []
    page = desk.post(ann, 202, outcome="approved", form_limit="12.50", form_urgent="true")
    assert "Taken in: approved" in page.text
    assert desk.decisions()[0].form == {"limit": "12.50 GBP", "urgent": True}
    desk.work()
    assert "ann has approved already; 1 more must." in desk.get(ann).text
    assert "so far ann." in desk.get(desk.link("eve")).text
    desk.post(desk.link(), 202, outcome="approved", by="eve", form_limit="1", form_urgent="false")
    desk.work()
    assert desk.refusals() == []
    assert "It was approved by eve at 20" in desk.get(ann).text


def test_who_rejects_need_not_fill_the_form_in(desk: Desk) -> None:
    desk.post(desk.link("ann"), 202, outcome="rejected")
    desk.work()
    page = desk.get(desk.link("eve"))
    assert "This question is closed" in page.text
    assert "Its execution has ended since: completed." in page.text
    assert page.buttons == []


def test_what_comes_too_late_or_from_the_wrong_person_is_said_to_be_without_effect_and_written_down(desk: Desk) -> None:
    bob, ann = desk.link("bob"), desk.link("ann")
    assert "bob may not decide this" in desk.get(bob).text
    form = {"form_limit": "1", "form_urgent": "true"}
    assert "bob may not decide this" in desk.post(bob, 409, outcome="approved", **form).text
    for link in (ann, desk.link("eve")):
        desk.post(link, 202, outcome="approved", **form)
    desk.work()
    page = desk.post(desk.link("joe"), 409, outcome="rejected")
    assert "It was approved by eve" in page.text
    assert "changes nothing" in page.text
    desk.work()
    assert desk.refusals() == ["not_allowed", "not_open"]
    assert [one.by for one in desk.decisions()] == ["bob", "ann", "eve", "joe"]


def test_a_link_shows_nothing_of_another_tenant_and_nothing_when_forged(desk: Desk) -> None:
    foreign = desk.get(desk.link(tenant="zeta"))
    assert "This question is closed" in foreign.text
    assert not {"A1", "ship"} & set(foreign.text.split())
    assert (foreign.inputs, foreign.buttons) == ({}, [])
    forged = desk.post(desk.link("ann")[:-2], 403, outcome="approved")
    assert "was not made by this home" in forged.text
    assert desk.execution() not in forged.text
    assert "was not made by this home" in desk.get(desk.link("ann")[:-2], 403).text
    desk.post(desk.link("ann")[:-2], 403, nonsense="1")
    assert [(one.outcome, one.refused) for one in desk.decisions()] == [("approved", "forged"), ("", "forged")]
    desk.work()


def test_programs_get_json_as_before(desk: Desk) -> None:
    link = desk.link("ann")
    answer = desk.client.post(link, json={"outcome": "approved", "form": {"limit": "5 GBP", "urgent": True}})
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    answer = desk.client.post(link, data={"outcome": "approved", "form.limit": "x"})
    assert (answer.status_code, answer.json()["error"]) == (422, "bad-form")
    assert desk.client.post(link, data={"outcome": "maybe"}, headers=PAGE).status_code == 422
