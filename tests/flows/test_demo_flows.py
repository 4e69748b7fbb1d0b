"""Every flow of the demo: checks clean, explains to its golden text, and does on the reference runner what it says."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flows.demo.flows import demo_files
from flows.explain.flow_text import explain
from flows.language.definitions import Definitions, control_records, load_definitions
from flows.local.run_local import LocalRun, run_local
from schemas.avro.schema import avro_schema
from schemas.events import encode_events, to_json
from schemas.expression.literals import parse_timestamp_us
from schemas.records import encode
from schemas.registry import Registry

GOLDEN = Path(__file__).parent / "golden" / "demo"
FLOWS = (
    "deal_closed",
    "invoice_overdue_reminder",
    "new_customer_onboarding",
    "order_over_threshold",
    "refund",
    "ticket_escalation",
)
START = "2026-03-02T09:00:00Z"
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


@cache
def demo() -> Definitions:
    return load_definitions(demo_files())


def run(flow: str, event: str, *data: dict[str, Any], avro: bool = False) -> LocalRun:
    """Run one flow over events of one type, a minute apart."""
    registry = Registry()
    numbers = iter(range(1, 1000))
    for record in control_records(demo(), lambda _: next(numbers), avro_schema):
        if record.key.startswith(("schema/", "contract/")):
            registry.apply(record.key, json.loads(encode(record))["value"])
    contract = registry.contract(event)
    assert contract is not None
    start = parse_timestamp_us(START)
    events = [
        {"id": f"E{at}", "source": "test", "tenant": "acme", "time": start + at * 60_000_000, "data": one}
        for at, one in enumerate(data)
    ]
    records = encode_events(contract, events) if avro else [to_json(contract, one) for one in events]
    programs = [one.program for one in demo().flows if one.name == flow]
    done = run_local([(contract.topic, record) for record in records], programs, registry)
    assert done.bad == []
    return done


def said(done: LocalRun) -> list[tuple[str, dict[str, Any]]]:
    """Give the commands as their receivers see them."""
    return [(one.type, json.loads(encode(one), parse_float=Decimal)["data"]) for one in done.commands]


def waits(done: LocalRun) -> list[float]:
    """Give the hours from the start to each command."""
    start = parse_timestamp_us(START)
    return [(parse_timestamp_us(one.time) - start) / HOUR_US for one in done.commands]


def deal(**more: Any) -> dict[str, Any]:
    return {
        "deal": {
            "id": "D1",
            "stage": "Won",
            "value": Decimal(1234),
            "agent": "ann",
            "product": "GTX Pro",
            "account": "Acme",
            **more,
        }
    }


def test_the_whole_demo_checks_clean() -> None:
    assert demo().problems == ()
    assert tuple(sorted(flow.name for flow in demo().flows)) == FLOWS


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_explains_to_its_golden_text(name: str) -> None:
    flow = next(flow for flow in demo().flows if flow.name == name)
    topics = {contract.event: contract.topic for contract in demo().contracts}
    assert explain(flow.document, topics, title=flow.title, version=flow.version) == (GOLDEN / f"{name}.txt").read_text()


def test_onboarding_is_the_text_of_the_design_and_waits_an_hour_before_its_letter() -> None:
    done = run("new_customer_onboarding", "deal.closed", deal(value=Decimal(9999)), deal(value=Decimal(10000)))
    assert said(done) == [
        ("create_project", {"template": "enterprise_onboarding"}),
        ("create_task", {"assignee": "account_manager", "title": "Schedule kickoff call"}),
        ("update_crm", {"field": "customer.status", "value": "onboarding"}),
        ("send_email", {"template": "welcome_enterprise"}),
    ]
    assert [round(hours * 60) for hours in waits(done)] == [1, 1, 1, 61]


@pytest.mark.parametrize("avro", [False, True])
def test_a_won_deal_is_invoiced_planned_paid_forecast_and_told(*, avro: bool) -> None:
    done = run("deal_closed", "deal.closed", deal(manager="max"), deal(stage="Lost", value=Decimal(0)), avro=avro)
    assert said(done) == [
        ("book_commission", {"agent": "ann", "amount": Decimal("61.7")}),
        ("update_forecast", {"deal": "D1", "agent": "ann", "won": 1234}),
        ("create_invoice", {"deal": "D1", "account": "Acme", "amount": 1234}),
        ("create_project", {"template": "standard", "account": "Acme"}),
        ("send_message", {"to": "ann", "text": "D1 is won; your commission is 61.7"}),
        ("send_message", {"to": "max", "text": "ann has won D1"}),
        ("send_message", {"to": "billing", "text": "D1 is won; send the invoice"}),
    ]
    assert {one.status for one in done.executions.values()} == {"completed"}


def test_a_deal_without_a_manager_tells_no_manager() -> None:
    done = run("deal_closed", "deal.closed", deal())
    assert [data["to"] for kind, data in said(done) if kind == "send_message"] == ["ann", "billing"]


def test_only_orders_over_5000_pounds_are_held() -> None:
    lines = [{"sku": "A", "quantity": 3, "price": Decimal("2000.00")}, {"sku": "B", "quantity": 4, "price": Decimal("0.01")}]
    order = {"id": "O1", "country": "UK", "lines": lines}
    done = run(
        "order_over_threshold",
        "order.placed",
        {"order": {**order, "total": Decimal(5000), "customer_id": "C7"}},
        {"order": {**order, "total": Decimal("6000.04"), "customer_id": "C7"}},
        {"order": {**order, "id": "O2", "total": Decimal("5000.01")}},
    )
    assert said(done) == [
        ("hold_order", {"order": "O1", "total": "6000.04 GBP"}),
        ("create_task", {"assignee": "finance", "title": "Order O1 of 6000.04 GBP from C7", "pieces": 7}),
        ("hold_order", {"order": "O2", "total": "5000.01 GBP"}),
        ("create_task", {"assignee": "finance", "title": "Order O2 of 5000.01 GBP from an unknown customer", "pieces": 7}),
    ]
    assert [one.priority for one in done.commands] == ["high", "normal", "high", "normal"]


def test_each_critical_or_high_incident_escalates_exactly_once() -> None:
    def incident(number: str, priority: str, **more: str) -> dict[str, Any]:
        return {"incident": {"number": number, "state": "New", "priority": priority, **more}}

    done = run(
        "ticket_escalation",
        "incident.opened",
        incident("I1", "1 - Critical", assignment_group="Network"),
        incident("I2", "2 - High"),
        incident("I3", "3 - Moderate"),
    )
    assert said(done) == [
        ("page_group", {"group": "Network", "number": "I1", "priority": "1 - Critical"}),
        ("page_group", {"group": "Service desk", "number": "I2", "priority": "2 - High"}),
    ]
    assert [one.idempotencykey for one in done.commands] == ["escalation-I1", "escalation-I2"]
    assert {one.notafter for one in done.commands} == {4 * HOUR_US}


def test_an_overdue_invoice_is_reminded_of_three_times_and_handed_over() -> None:
    due = parse_timestamp_us(START) - DAY_US
    invoice = {"id": "I1", "customer": "C1", "due_at": due}
    done = run("invoice_overdue_reminder", "invoice.overdue", {"invoice": {**invoice, "amount": Decimal(100)}})
    assert [(kind, data.get("level")) for kind, data in said(done)] == [
        ("send_reminder", 1),
        ("send_reminder", 2),
        ("send_reminder", 3),
        ("hand_to_collector", None),
    ]
    assert [hours / 24 for hours in waits(done)] == [0, 7, 29, 36]
    assert {(one.priority, one.retry.attempts) for one in done.commands} == {("low", 8)}


def test_a_small_invoice_is_never_handed_over() -> None:
    invoice = {"id": "I1", "customer": "C1", "due_at": parse_timestamp_us(START), "amount": Decimal("99.99")}
    done = run("invoice_overdue_reminder", "invoice.overdue", {"invoice": invoice})
    assert [kind for kind, _ in said(done)] == ["send_reminder"] * 3
    assert [one.status for one in done.executions.values()] == ["completed"]


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("50", [("refund_payment", "P1"), ("send_email", "refunded")]),
        ("50.01", [("create_task", "order_desk"), ("send_email", "refund_in_review")]),
        ("500", [("create_task", "order_desk"), ("send_email", "refund_in_review")]),
        ("500.01", [("create_task", "finance_manager"), ("send_email", "refund_in_review")]),
        ("0", []),
    ],
)
def test_a_refund_goes_the_way_of_its_amount(amount: str, expected: list[tuple[str, str]]) -> None:
    asked = {"id": "R1", "order_id": "O1", "payment_id": "P1", "customer_id": "C1", "amount": Decimal(amount)}
    done = run("refund", "return.requested", {"return": asked})
    assert [(kind, data.get("payment") or data.get("assignee") or data["template"]) for kind, data in said(done)] == expected
