"""What must arrive, in plain Python: the business rules of the catalogue's flows, written by hand from their description.

It knows nothing of the engine: no flow file, no compiled form, no matcher, no expression. An event counts once, whatever its
record looked like and however often it came; a malformed record counts as a dead letter and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, NamedTuple

from flows.demo.generator import Made
from flows.demo.stories import Happening

Params = Mapping[str, Any]


class Business(NamedTuple):
    """One business action: what must happen in the world exactly once."""

    tenant: str
    event: str  # id of the event that caused it
    type: str
    params: str  # JSON with sorted keys; numbers as plain decimals


class Said(NamedTuple):
    """One action of a rule. `at_once`: nothing is waited for before it."""

    type: str
    params: Params
    at_once: bool = True


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the records must come to."""

    business: Counter[Business]
    executions: int
    dead_letters: int
    at_once: frozenset[tuple[str, str]]  # (tenant, event id) whose first action waits for nothing


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came, against what must come. `duplicated` counts what came too often and what nobody expected."""

    lost: int
    duplicated: int
    examples: tuple[str, ...]


def expect(records: Sequence[Made]) -> Expectation:
    """Say what must come of the records."""
    happened = {
        (made.happening.tenant, made.happening.source, made.happening.id): made.happening
        for made in records
        if made.kind == "good"
    }
    business: Counter[Business] = Counter()
    at_once: set[tuple[str, str]] = set()
    executions = 0
    for happening in happened.values():
        for said in _runs(happening):
            executions += 1
            business.update(business_of(happening.tenant, happening.id, one.type, one.params) for one in said)
            if said[0].at_once:
                at_once.add((happening.tenant, happening.id))
    return Expectation(business, executions, sum(made.kind == "malformed" for made in records), frozenset(at_once))


def judge(expected: Counter[Business], accepted: Counter[Business]) -> Verdict:
    """Compare what must have been accepted with what was accepted."""
    missing, extra = expected - accepted, accepted - expected
    examples = [f"lost: {one}" for one in list(missing)[:5]] + [f"not expected, or too often: {one}" for one in list(extra)[:5]]
    return Verdict(missing.total(), extra.total(), tuple(examples))


def business_of(tenant: str, event: str, kind: str, params: Params) -> Business:
    """Name a business action by its tenant, its cause, its type and its parameters."""
    return Business(tenant, event, kind, json.dumps(_plain(params), sort_keys=True, ensure_ascii=False))


def _runs(happening: Happening) -> Iterator[list[Said]]:
    """Give what each flow that the event starts must do."""
    for rule in RULES.get(happening.type, ()):
        said = list(rule(happening.data))
        if said:
            yield said


def _onboarding(data: Mapping[str, Any]) -> Iterable[Said]:
    """A deal of 10,000 or more: a project, a task and a mark at once, a letter an hour later."""
    if data["deal"]["value"] >= 10_000:
        yield Said("create_project", {"template": "enterprise_onboarding"})
        yield Said("create_task", {"assignee": "account_manager", "title": "Schedule kickoff call"})
        yield Said("update_crm", {"field": "customer.status", "value": "onboarding"})
        yield Said("send_email", {"template": "welcome_enterprise"}, at_once=False)


def _deal_closed(data: Mapping[str, Any]) -> Iterable[Said]:
    """A won deal: invoice, project, 5 % commission, forecast, and messages to the agent, the manager if any, and billing."""
    deal = data["deal"]
    if deal["stage"] != "Won" or deal["value"] <= 0:
        return
    commission = (deal["value"] * Decimal("0.05")).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    name, agent = deal["id"], deal["agent"]
    yield Said("create_invoice", {"deal": name, "account": deal["account"], "amount": deal["value"]})
    yield Said("create_project", {"template": "standard", "account": deal["account"]})
    yield Said("book_commission", {"agent": agent, "amount": commission})
    yield Said("update_forecast", {"deal": name, "agent": agent, "won": deal["value"]})
    yield Said("send_message", {"to": agent, "text": f"{name} is won; your commission is {_number(commission)}"})
    if "manager" in deal:
        yield Said("send_message", {"to": deal["manager"], "text": f"{agent} has won {name}"})
    yield Said("send_message", {"to": "billing", "text": f"{name} is won; send the invoice"})


def _large_order(data: Mapping[str, Any]) -> Iterable[Said]:
    """An order over 5,000 pounds: it is held, and finance gets a task."""
    order = data["order"]
    if order["total"] > 5_000:
        who = order.get("customer_id", "an unknown customer")
        pieces = sum(line["quantity"] for line in order["lines"])
        title = f"Order {order['id']} of {_pounds(order['total'])} from {who}"
        yield Said("hold_order", {"order": order["id"], "total": _pounds(order["total"])})
        yield Said("create_task", {"assignee": "finance", "title": title, "pieces": pieces})


def _escalation(data: Mapping[str, Any]) -> Iterable[Said]:
    """A critical or high incident: its group is paged, the service desk if it has none."""
    incident = data["incident"]
    if incident["priority"] in ("1 - Critical", "2 - High"):
        group = incident.get("assignment_group", "Service desk")
        yield Said("page_group", {"group": group, "number": incident["number"], "priority": incident["priority"]})


def _overdue(data: Mapping[str, Any]) -> Iterable[Said]:
    """An overdue invoice: a reminder at once, two more later, and then, from 100 pounds on, collection."""
    invoice = data["invoice"]
    amount = _pounds(invoice["amount"])
    for level in (1, 2, 3):
        params = {"invoice": invoice["id"], "customer": invoice["customer"], "amount": amount, "level": level}
        yield Said("send_reminder", params, at_once=level == 1)
    if invoice["amount"] >= 100:
        yield Said("hand_to_collector", {"invoice": invoice["id"], "amount": amount}, at_once=False)


def _return(data: Mapping[str, Any]) -> Iterable[Said]:
    """A return: up to 50 pounds are paid back at once; up to 500 the order desk decides, above the finance manager."""
    asked = data["return"]
    to = asked.get("email", "desk@example.com")
    amount = _pounds(asked["amount"])
    if asked["amount"] <= 0:
        return
    if asked["amount"] <= 50:
        yield Said("refund_payment", {"payment": asked["payment_id"], "amount": amount})
        yield Said("send_email", {"template": "refunded", "to": to})
        return
    desk = "order_desk" if asked["amount"] <= 500 else "finance_manager"
    yield Said("create_task", {"assignee": desk, "title": f"Return {asked['id']}: refund {amount}?"})
    yield Said("send_email", {"template": "refund_in_review", "to": to})


RULES: Final[Mapping[str, tuple[Callable[[Mapping[str, Any]], Iterable[Said]], ...]]] = {
    "deal.closed": (_onboarding, _deal_closed),
    "order.placed": (_large_order,),
    "incident.opened": (_escalation,),
    "invoice.overdue": (_overdue,),
    "return.requested": (_return,),
}


def _pounds(amount: Decimal) -> str:
    return f"{amount:.2f} GBP"


def _number(value: Decimal | int) -> str:
    """Write a number without an exponent and without zeros at its end."""
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: Any) -> Any:
    """Make JSON values comparable: numbers become their shortest text, marked as numbers; records lose what is null."""
    match value:
        case bool() | str() | None:
            return value
        case int() | Decimal():
            return {"number": _number(value)}
        case float():
            return {"number": _number(Decimal(repr(value)))}
        case Mapping():
            return {key: _plain(item) for key, item in value.items() if item is not None}
        case _:
            return [_plain(item) for item in value]
