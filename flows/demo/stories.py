"""The business that the demo makes up: deals, orders, incidents and invoices, each a short story of events.

A story is a pure function of its number and a seeded generator; times are microseconds UTC, money is Decimal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
START_US: Final = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z, a Monday

TENANTS: Final = (
    "acme", "aurora", "baltic", "borealis", "cascade", "cobalt", "delta", "ember", "fjord", "granite",
    "harbor", "juniper", "krone", "lumen", "meridian", "nimbus", "orchid", "pinnacle", "quartz", "zürich",
)  # fmt: skip
PRODUCTS: Final = (
    ("GTX Basic", 550),
    ("GTX Pro", 4821),
    ("MG Special", 55),
    ("GTX Plus Basic", 1096),
    ("GTX Plus Pro", 5482),
    ("GTK 500", 26768),
)
AGENTS: Final = ("Anna Snelling", "Cecily Lampkin", "Darcel Schlecht", "Hayden Neloms", "Jonathan Berthelot", "Kary Hendrixson")
MANAGERS: Final = ("Dustin Brinkmann", "Melvin Marxen", "Summer Sewald")
REGIONS: Final = ("Central", "East", "West")
COUNTRIES: Final = ("United Kingdom", "Germany", "France", "España", "日本")
PRIORITIES: Final = (("1 - Critical", 5), ("2 - High", 15), ("3 - Moderate", 60), ("4 - Low", 20))
GROUPS: Final = ("Service desk", "Network", "Databases", "Workplace")

STATES: Final = {"opened": "New", "updated": "Active", "resolved": "Resolved", "closed": "Closed"}
SPEAKERS: Final = {  # the first word of an event type: its topic and its source
    "deal": ("crm.events", "crm"),
    "order": ("orders.events", "shop"),
    "incident": ("support.events", "desk"),
    "invoice": ("finance.events", "ledger"),
    "payment": ("finance.events", "bank"),
    "return": ("finance.events", "shop"),
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One business event, before it is a record. `data` is what the contract of its type asks for."""

    topic: str
    type: str
    id: str
    source: str
    tenant: str
    time_us: int
    subject: str
    data: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a story happens: its number, its tenant, when it begins, and its own dice."""

    number: int
    tenant: str
    at_us: int
    dice: Random


def deal(scene: Scene) -> list[Happening]:
    """Tell a deal: engaged, days later won or lost, and closed."""
    dice = scene.dice
    product, price = dice.choice(PRODUCTS)
    won = dice.random() < 0.55
    known: dict[str, Any] = {
        "id": f"D-{scene.number:06d}",
        "account": f"{scene.tenant} client {dice.randrange(400):03d}",
        "agent": dice.choice(AGENTS),
        "product": "GTXPro" if product == "GTX Pro" and dice.random() < 0.3 else product,
        "region": dice.choice(REGIONS),
    }
    if dice.random() < 0.9:
        known["manager"] = dice.choice(MANAGERS)
    end_us = scene.at_us + dice.randrange(DAY_US, 10 * DAY_US)
    value = Decimal(price * dice.randrange(60, 140)) / 100 if won else Decimal(0)
    closed = {**known, "stage": "Won" if won else "Lost", "value": value, "closed_at": end_us}
    return [
        _event(scene, "deal.engaged", known["id"], scene.at_us, {**known, "stage": "Engaging"}),
        _event(scene, "deal.won" if won else "deal.lost", known["id"], end_us, closed),
        _event(scene, "deal.closed", known["id"], end_us, closed),
    ]


def order(scene: Scene) -> list[Happening]:
    """Tell an order: placed, and now and then cancelled hours later."""
    dice = scene.dice
    lines = [_line(dice) for _ in range(dice.randrange(1, 5))]
    if large := dice.random() < 0.06:
        lines.append({"sku": "BULK-1", "quantity": dice.randrange(100, 400), "price": Decimal("59.90"), "description": "pallet"})
    body: dict[str, Any] = {
        "id": f"O-{scene.number:06d}",
        "country": dice.choice(COUNTRIES),
        "total": sum((line["price"] * line["quantity"] for line in lines), Decimal(0)),
        "lines": lines,
    }
    if large or dice.random() < 0.75:
        body["customer_id"] = f"C{dice.randrange(12_000, 18_000)}"
    if dice.random() < 0.5:
        body["email"] = f"kunde{scene.number}@example.com"
    placed = _event(scene, "order.placed", body["id"], scene.at_us, body)
    if dice.random() >= 0.06:
        return [placed]
    return [placed, _event(scene, "order.cancelled", body["id"], scene.at_us + dice.randrange(HOUR_US, 8 * HOUR_US), body)]


def incident(scene: Scene) -> list[Happening]:
    """Tell an incident: opened, updated some times, resolved, closed."""
    dice = scene.dice
    number = f"INC{scene.number:07d}"
    priority = dice.choices([name for name, _ in PRIORITIES], [weight for _, weight in PRIORITIES])[0]
    known: dict[str, Any] = {"number": number, "priority": priority, "caller": f"Caller {dice.randrange(5000)}"}
    if dice.random() < 0.8:
        known["assignment_group"] = dice.choice(GROUPS)
    at_us = scene.at_us
    told: list[Happening] = []
    for ordinal, what in enumerate(["opened", *["updated"] * dice.randrange(0, 4), "resolved", "closed"]):
        taken = {"assigned_to": f"Resolver {scene.number % 97}"} if ordinal else {}
        told.append(_event(scene, f"incident.{what}", f"{number}-{ordinal}", at_us, {**known, **taken, "state": STATES[what]}))
        at_us += dice.randrange(10 * MINUTE_US, 20 * HOUR_US)
    return told


def invoice(scene: Scene) -> list[Happening]:
    """Tell an invoice that was not paid in time: overdue, then mostly paid."""
    dice = scene.dice
    body: dict[str, Any] = {
        "id": f"I-{scene.number:06d}",
        "customer": f"{scene.tenant} client {dice.randrange(400):03d}",
        "amount": Decimal(dice.choice((dice.randrange(2_000, 10_000), dice.randrange(10_000, 900_000)))) / 100,
        "due_at": scene.at_us - dice.randrange(HOUR_US, 2 * DAY_US),
    }
    told = [_event(scene, "invoice.overdue", body["id"], scene.at_us, body)]
    if dice.random() < 0.7:
        paid = {"id": f"P-{scene.number:06d}", "invoice_id": body["id"], "customer": body["customer"], "amount": body["amount"]}
        told.append(_event(scene, "payment.received", paid["id"], scene.at_us + dice.randrange(HOUR_US, 20 * DAY_US), paid))
    return told


def money_back(scene: Scene) -> list[Happening]:
    """Tell a return: the customer asks for money back; now and then for nothing, which starts no flow."""
    dice = scene.dice
    body: dict[str, Any] = {
        "id": f"R-{scene.number:06d}",
        "order_id": f"O-{dice.randrange(scene.number + 1):06d}",
        "payment_id": f"P-{dice.randrange(scene.number + 1):06d}",
        "customer_id": f"C{dice.randrange(12_000, 18_000)}",
        "amount": Decimal(dice.choice((0, 4_999, 5_000, 5_001, 50_000, 50_001, dice.randrange(500, 90_000)))) / 100,
    }
    if dice.random() < 0.8:
        body["email"] = f"gast{scene.number}@example.com"
    if dice.random() < 0.5:
        body["reason"] = dice.choice(("damaged", "late", "wrong item", "hab's mir überlegt"))
    return [_event(scene, "return.requested", body["id"], scene.at_us, body)]


def _event(scene: Scene, kind: str, key: str, at_us: int, body: Mapping[str, Any]) -> Happening:
    root = kind.partition(".")[0]
    topic, source = SPEAKERS[root]
    return Happening(topic, kind, f"{kind}-{key}", source, scene.tenant, at_us, key, {root: body})


def _line(dice: Random) -> dict[str, Any]:
    price = Decimal(dice.randrange(85, 1_995)) / 100
    return {"sku": f"SKU{dice.randrange(9000):05d}", "quantity": dice.randrange(1, 13), "price": price, "description": "mug ☕"}


@dataclass(frozen=True, slots=True)
class Genre:
    """A kind of story: how often it is told, and in which part of the span (from its start) such stories begin."""

    tell: Callable[[Scene], list[Happening]]
    weight: float
    part: float = 1.0


# Invoices come early, for their reminders run for 39 days: at the end of the span nearly all of them are through.
STORIES: Final = (
    Genre(deal, 0.04),
    Genre(order, 0.70),
    Genre(incident, 0.15),
    Genre(invoice, 0.025, part=0.25),
    Genre(money_back, 0.035),
)
