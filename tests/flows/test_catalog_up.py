"""The whole catalogue, deployed by one command and run over the real processes: three zones close, one report follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.catalog import catalog_files
from tests.flows.driving import command, process, value
from tests.sinks.world import Answer, receiving

ZONES = ["America/New_York", "Asia/Tokyo", "Europe/Berlin"]


def books(body: Any, _: int) -> Answer:
    """Tell of two accounts a zone; one of New York's does not close."""
    if body["type"] == "list_accounts":
        accounts = [f"{body['data']['zone']}-{number}" for number in range(2)]
        return Answer(body=json.dumps({"accounts": accounts}).encode())
    return Answer(422 if body["data"].get("account") == "America/New_York-1" else 200)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    command("deploy", *(str(one) for one in catalog_files()), home=home)
    return home


def test_the_whole_catalogue_is_deployed_by_one_command(home: Path) -> None:
    again = value("deploy", *(str(one) for one in catalog_files()), home=home)
    assert {flow["change"] for flow in again["flows"]} == {"unchanged"}
    assert again["written"] == 0


@pytest.mark.slow
def test_one_report_follows_when_three_zones_have_closed_the_month(home: Path) -> None:
    with receiving(books) as server:
        command("connectors", "set", "*", "http", f"url={server.url}", home=home)
        for number, time in enumerate(("2026-01-30T12:00:00Z", "2026-02-01T12:00:00Z")):
            moved(home, number, time)
        process("up", "--clock", "events", "--until-idle", home=home)
    rows = value("query", "select flow, status, count(*) as runs from executions group by all order by all", home=home)
    assert [tuple(row.values()) for row in rows] == [("month_end", "completed", 3), ("month_report", "completed", 1)]
    asked = [json.loads(body) for _, body in server.requests]
    assert sorted(one["data"]["zone"] for one in asked if one["type"] == "list_accounts") == ZONES
    assert [one["data"] for one in asked if one["type"] == "publish_report"] == [{"open": 1}]


def moved(home: Path, number: int, time: str) -> None:
    """Let the event clock go on, by an event that starts nothing."""
    file = home.parent / f"{number}.jsonl"
    order = {"id": f"N{number}", "country": "UK", "total": "5 GBP", "lines": []}
    envelope = {"id": f"e-{number}", "source": "test", "type": "order.placed", "tenant": "acme", "time": time}
    file.write_text(json.dumps({**envelope, "data": {"order": order}}) + "\n")
    command("send", "--topic", "orders.events", str(file), home=home)
