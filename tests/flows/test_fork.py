"""Forks from the command line: what an execution knew at a step comes from the views, and another one goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from flows.roles.projector import build_projector
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from schemas.ports import Append
from schemas.records import Result, encode
from schemas.topics import RESULTS, actions_topic
from sinks.projection.projector import ProjectorSettings
from sinks.projection.query_socket import FILE
from sinks.projection.views_file import ViewsFile
from tests.flows.driving import command, deployed, value

SHIP = """
event: order.placed
topic: lab.events
fields: {order: {id: string, total: decimal, note: any?}}
---
event: payment.received
topic: lab.events
fields: {payment: {order: string, amount: decimal}}
---
flow: ship
trigger: {event: order.placed}
steps:
  - {set: {half: "{{ round(order.total / 2, 2) }}"}, as: halve}
  - action: reserve
    as: stock
    await: true
    timeout: 1h
    with: {id: "{{ order.id }}"}
    returns: {bin: string}
    compensate: {action: release, with: {bin: "{{ stock.bin }}"}}
  - {wait: payment.received, as: received, correlate: received.payment.order == order.id, timeout: 1d, on_timeout: fail}
  - {action: charge, as: charged, await: true, timeout: 1h, with: {half: "{{ half }}", paid: "{{ received.payment.amount }}"}}
  - parallel:
      a: [{action: send, as: sent, await: true, timeout: 1h, with: {bin: "{{ stock.bin }}", note: "{{ order.note }}"}}]
      b: [{action: file, as: filed, await: true, timeout: 1h, with: {}}]
    as: told
on_error:
  - {action: notify, as: told_us, with: {code: "{{ error.code }}"}}
"""
LATER = SHIP.replace("set: {half: ", "set: {deposit: ").replace('half: "{{ half }}"', 'half: "{{ deposit }}"')


class Shop:
    """A home whose engine and projector the test lets work; commands are answered by name."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.outcomes: dict[str, Any] = {"reserve": {"bin": "B7"}, "charge": {}, "release": {}, "send": {}, "file": {}}
        self.said: list[tuple[str, dict[str, Any]]] = []
        self._results = IngressLog(home / "dispatcher-0.db")
        self._read: dict[str, int] = {}
        self._answered: set[str] = set()

    def work(self) -> None:
        """Let engine and dispatcher come to rest, then show it."""
        engine = build_engine(self.home, EngineSettings("wall"))
        try:
            while True:
                while (taken := engine.take()) is not None:
                    engine.advance(engine.join(engine.match(engine.decode(taken))))
                if not self._answer():
                    break
        finally:
            engine.close()
        file = ViewsFile(self.home / FILE)
        projector = build_projector(self.home, file, ProjectorSettings(), SystemClock())
        while projector.step():
            pass
        file.close()

    def _answer(self) -> bool:
        reader = FileReader(self.home / "engine-0.db", actions_topic("file").__eq__, {})
        found = [json.loads(record) for chunk in reader.poll(10_000) for record in chunk.records]
        reader.close()
        new = [one for one in found if one["id"] not in self._answered]
        for one in new:
            self._answered.add(one["id"])
            self.said.append((one["type"], one["data"]))
            if one.get("awaited") or one.get("undoes"):
                self._results.append([Append(RESULTS, 0, [encode(self._result(one))])], SystemClock().now_us())
        return bool(new)

    def _result(self, one: dict[str, Any]) -> Result:
        outcome, now_us = self.outcomes[one["type"]], SystemClock().now_us()
        failed = isinstance(outcome, str)
        return Result(
            action=one["id"],
            execution=one["subject"],
            tenant=one["tenant"],
            flow=one["flow"],
            step=one["step"],
            type=one["type"],
            connector="file",
            status="failed" if failed else "delivered",
            attempts=1,
            at=now_us,
            wall=now_us,
            awaited=True,
            code=outcome if failed else None,
            data=None if failed else outcome,
        )

    def send(self, kind: str, name: str, **data: Any) -> None:
        """Send an event."""
        head = {"id": name, "source": "test", "type": kind, "tenant": "acme", "time": "2026-01-05T10:00:00Z"}
        file = self.home.parent / f"{name}.jsonl"
        file.write_text(json.dumps({**head, "data": data}) + "\n")
        command("send", "--topic", "lab.events", str(file), home=self.home)

    def one(self, **where: str) -> dict[str, Any]:
        """Give the one execution that is like this."""
        found = [row for row in value("executions", "list", home=self.home) if where.items() <= row.items()]
        assert len(found) == 1, found
        return dict(found[0])

    def fork(self, execution: str, step: str, *more: str, code: int = 0) -> Any:
        """Fork, and let it work."""
        if code:
            return command("executions", "fork", execution, "--from", step, *more, home=self.home, code=code).stderr
        made = value("executions", "fork", execution, "--from", step, "--by", "ann", *more, home=self.home)
        self.said.clear()
        self.work()
        return made

    def names(self, execution: str) -> list[str]:
        """Give its history by name and step."""
        rows = value("executions", "history", execution, home=self.home)
        return [f"{row['name']} {row['step']}".strip() for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._results.close()


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """Open a shop in which one order waits for its payment."""
    shop = Shop(deployed(folder / "home", SHIP))
    shop.send("order.placed", "o1", order={"id": "A1", "total": 9.99, "note": {"$decimal": "no", "n": 0.5}})
    shop.work()
    yield shop
    shop.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as shop:
        yield shop


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop in which nothing comes to pass."""
    with opened(tmp_path_factory.mktemp("still")) as shop:
        yield shop


def test_a_completed_execution_is_forked_at_any_of_its_steps(shop: Shop) -> None:
    shop.send("payment.received", "p1", payment={"order": "A1", "amount": 12.50})
    shop.work()
    origin = shop.one(status="completed")["execution"]
    note = {"$decimal": "no", "n": 0.5}
    charge, send = ("charge", {"half": 5.0, "paid": 12.5}), ("send", {"bin": "B7", "note": note})
    file: tuple[str, dict[str, Any]] = ("file", {})
    assert shop.said == [("reserve", {"id": "A1"}), charge, send, file]

    made = shop.fork(origin, "charged")
    assert shop.said == [charge, send, file]
    fork = shop.one(execution=made["execution"])
    assert (fork["status"], fork["trigger_event"], made["forked_from"]) == ("completed", "o1", origin)
    assert made["execution"] != origin
    assert value("executions", "show", made["execution"], home=shop.home)["forked_from"] == origin
    assert "forked_from" not in value("executions", "show", origin, home=shop.home)
    started, forked, first, *_ = value("executions", "history", made["execution"], home=shop.home)
    assert (started["name"], first["name"], first["step"]) == ("started", "action.issued", "charged")
    kept = ["half", "received", "stock"]
    assert forked["detail"] == {"execution": origin, "step": "charged", "by": "ann", "kept": kept}

    shop.fork(origin, "told")
    assert shop.said == [send, file]
    again = shop.fork(made["execution"], "charged", "--set", "received.payment.amount=13", "--set", "order.note=x")
    assert shop.said == [("charge", {"half": 5.0, "paid": 13}), ("send", {"bin": "B7", "note": "x"}), file]
    (told,) = [r["detail"] for r in value("executions", "history", again["execution"], home=shop.home) if r["name"] == "forked"]
    assert (told["execution"], told["changed"]) == (made["execution"], ["order.note", "received.payment.amount"])

    shop.fork(origin, "stock")
    assert shop.said == [("reserve", {"id": "A1"})]


def test_the_same_order_twice_is_one_fork(shop: Shop) -> None:
    origin = shop.one()["execution"]
    made = {shop.fork(origin, "stock", "--id", "k1")["execution"] for _ in range(2)}
    assert len(made) == 1
    assert len(value("executions", "list", home=shop.home)) == 2


def test_a_running_execution_and_its_fork_go_on_side_by_side(shop: Shop) -> None:
    origin = shop.one(status="waiting")
    made = shop.fork(origin["execution"], "received")
    assert shop.said == []
    shop.send("payment.received", "p1", payment={"order": "A1", "amount": 1})
    shop.work()
    assert {row["status"] for row in value("executions", "list", home=shop.home)} == {"completed"}
    assert [kind for kind, _ in shop.said] == ["charge", "charge", "send", "file", "send", "file"]
    assert shop.names(made["execution"])[:3] == ["started", "forked", "wait.entered received"]


def test_what_was_undone_is_not_built_upon_and_a_fork_undoes_only_its_own(shop: Shop) -> None:
    shop.outcomes["charge"] = "rejected"
    shop.send("payment.received", "p1", payment={"order": "A1", "amount": 1})
    shop.work()
    origin = shop.one(status="failed")["execution"]
    refused = shop.fork(origin, "charged", code=2)
    assert "what 'stock' did was undone since, so 'charged' cannot build upon it; fork from 'stock'" in refused
    made = shop.fork(origin, "stock")
    shop.said.clear()
    shop.send("payment.received", "p2", payment={"order": "A1", "amount": 2})
    shop.work()
    assert shop.one(execution=made["execution"])["status"] == "failed"
    assert [kind for kind, _ in shop.said] == ["charge", "release", "notify"]


def test_a_fork_of_what_lived_on_does_not_undo_it(shop: Shop) -> None:
    origin = shop.one(status="waiting")["execution"]
    made = shop.fork(origin, "received")
    command("executions", "cancel", made["execution"], home=shop.home)
    shop.work()
    assert shop.one(execution=made["execution"])["status"] == "cancelled"
    assert [kind for kind, _ in shop.said] == ["notify"]


@pytest.mark.parametrize(
    ("step", "more", "message"),
    [
        ("stok", [], "has no step 'stok'; did you mean 'stock'?"),
        ("sent", [], "step 'sent' stands inside 'told', whose other parts were under way then; fork from 'told' itself"),
        ("told_us", [], "belongs to the end of flow 'ship'"),
        ("charged", [], "it never came to step 'charged'; it came to halve, stock, received"),
        ("stock", ["--version", "ffff"], "no version of 'ship' begins with 'ffff'"),
        ("stock", ["--set", "order.totl=1"], "nothing is bound by that name there; did you mean 'order.total'?"),
        ("stock", ["--set", "order.total=much"], "--set order.total: "),
        ("stock", ["--set", "half=much"], "--set half: "),
        ("stock", ["--set", "half"], "is not KEY=VALUE"),
    ],
)
def test_a_fork_that_cannot_be_is_refused_here(still: Shop, step: str, more: list[str], message: str) -> None:
    assert message in still.fork(still.one()["execution"], step, *more, code=2)
    still.work()
    assert len(value("executions", "list", home=still.home)) == 1


def test_what_has_ended_hears_no_word_but_may_be_forked(shop: Shop) -> None:
    shop.send("payment.received", "p1", payment={"order": "A1", "amount": 1})
    shop.work()
    origin = shop.one()["execution"]
    said = command("executions", "retry", origin, "--step", "charged", home=shop.home, code=2).stderr
    assert f"{origin} has ended: completed; `millrace executions fork {origin} --from STEP`" in said


def test_a_fork_is_a_start_like_any_other_to_a_limit(tmp_path: Path) -> None:
    limited = SHIP.replace("on_error:", "limits: {concurrency: {max: 1, over: queue}}\non_error:")
    shop = Shop(deployed(tmp_path / "limited", limited))
    shop.send("order.placed", "o1", order={"id": "A1", "total": 9.99})
    shop.work()
    origin = shop.one()["execution"]
    made = shop.fork(origin, "received", "--set", "order.total=5")["execution"]
    assert (shop.one(execution=made)["waiting_on"], shop.names(made)) == ("limit concurrency", ["started", "limit.entered"])
    command("executions", "cancel", origin, home=shop.home)
    shop.work()
    assert shop.names(made) == ["started", "limit.entered", "forked", "wait.entered received"]
    again = shop.fork(made, "received")["execution"]
    assert shop.one(execution=again)["status"] == "waiting"
    shop.close()


def test_nobody_forks_what_is_another_tenants(shop: Shop) -> None:
    assert "no execution begins with" in shop.fork(shop.one()["execution"], "stock", "--tenant", "zeta", code=2)


def test_a_fork_may_go_on_with_another_version(shop: Shop, tmp_path: Path) -> None:
    later = tmp_path / "later.yaml"
    later.write_text(LATER)
    command("deploy", str(later), home=shop.home)
    shop.send("payment.received", "p1", payment={"order": "A1", "amount": 2})
    shop.work()
    origin = shop.one(status="completed")
    refused = shop.fork(origin["execution"], "charged", "--version", "active", code=2)
    assert "reads deposit from step 'charged' on, which it had not kept" in refused
    made = shop.fork(origin["execution"], "charged", "--version", "active", "--set", "deposit=4")
    assert shop.said[0] == ("charge", {"half": 4, "paid": 2})
    assert shop.one(execution=made["execution"])["status"] == "completed"
    assert made["version"] != origin["version"] if "version" in origin else True
