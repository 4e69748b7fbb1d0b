"""The demo's generator and its oracle: the same seed gives the same business, and the rules agree with hand-worked cases."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from flows.demo.generator import Made, generate
from flows.demo.oracle import business_of, expect, judge
from flows.demo.stories import START_US, Happening

DEAL = {
    "id": "D-1",
    "account": "acme client 001",
    "agent": "Anna",
    "product": "GTX Pro",
    "stage": "Won",
    "value": Decimal("12000.10"),
}


def happening(kind: str, data: dict[str, Any], event: str = "e-1") -> Happening:
    return Happening("some.events", kind, event, "test", "acme", START_US, event, data)


def good(kind: str, data: dict[str, Any]) -> list[Made]:
    return [Made("good", "json", happening(kind, data))]


def said(records: list[Made]) -> list[tuple[str, str]]:
    return sorted((one.type, one.params) for one in expect(records).business.elements())


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    assert generate(1_500, 7) == generate(1_500, 7)
    assert generate(1_500, 7) != generate(1_500, 8)


def test_there_are_exactly_as_many_records_as_asked_for_with_all_that_real_input_brings() -> None:
    records = generate(5_000, 3)
    assert len(records) == 5_000
    assert Counter(made.kind for made in records) == {"good": 4_880, "duplicate": 100, "malformed": 20}
    assert {made.form for made in records} == {"json", "avro"}
    times = [made.happening.time_us for made in records if made.kind == "good"]
    late = sum(now < before for before, now in pairwise(times))
    assert 20 < late < 400
    assert len({made.happening.tenant for made in records}) == 20
    assert {made.happening.topic for made in records} == {"crm.events", "orders.events", "support.events", "finance.events"}


def test_a_duplicate_comes_after_its_original_and_ids_are_otherwise_unique() -> None:
    seen: set[tuple[str, str, str]] = set()
    for made in generate(5_000, 3):
        key = (made.happening.tenant, made.happening.source, made.happening.id)
        assert (key in seen) == (made.kind == "duplicate")
        seen.add(key)


def test_a_large_won_deal_starts_two_flows() -> None:
    assert said(good("deal.closed", {"deal": DEAL})) == sorted(
        [
            ("create_project", '{"template": "enterprise_onboarding"}'),
            ("create_task", '{"assignee": "account_manager", "title": "Schedule kickoff call"}'),
            ("update_crm", '{"field": "customer.status", "value": "onboarding"}'),
            ("send_email", '{"template": "welcome_enterprise"}'),
            ("create_invoice", '{"account": "acme client 001", "amount": {"number": "12000.1"}, "deal": "D-1"}'),
            ("create_project", '{"account": "acme client 001", "template": "standard"}'),
            ("book_commission", '{"agent": "Anna", "amount": {"number": "600"}}'),  # 600.005 goes to the even cent
            ("update_forecast", '{"agent": "Anna", "deal": "D-1", "won": {"number": "12000.1"}}'),
            ("send_message", '{"text": "D-1 is won; your commission is 600", "to": "Anna"}'),
            ("send_message", '{"text": "D-1 is won; send the invoice", "to": "billing"}'),
        ]
    )
    assert expect(good("deal.closed", {"deal": DEAL})).executions == 2


def test_a_lost_deal_and_a_small_order_and_a_ticket_of_low_priority_start_nothing() -> None:
    lost = {**DEAL, "stage": "Lost", "value": Decimal(0)}
    order = {"id": "O-1", "country": "Japan", "total": Decimal("5000.00"), "lines": []}
    for kind, data in (
        ("deal.closed", {"deal": lost}),
        ("order.placed", {"order": order}),
        ("incident.opened", {"incident": {"priority": "4 - Low"}}),
    ):
        assert expect(good(kind, data)).executions == 0


def test_a_reminder_run_ends_with_collection_only_from_a_hundred_pounds_on() -> None:
    for amount, kinds in (
        (Decimal("99.99"), ["send_reminder"] * 3),
        (Decimal(100), ["hand_to_collector", *["send_reminder"] * 3]),
    ):
        invoice = {"id": "I-1", "customer": "c", "amount": amount, "due_at": START_US}
        assert [kind for kind, _ in said(good("invoice.overdue", {"invoice": invoice}))] == kinds


def test_a_return_goes_by_its_amount() -> None:
    def kinds(amount: str) -> list[tuple[str, str]]:
        return said(good("return.requested", {"return": {"id": "R-1", "payment_id": "P-1", "amount": Decimal(amount)}}))

    assert kinds("0") == []
    assert [kind for kind, _ in kinds("50")] == ["refund_payment", "send_email"]
    assert kinds("500")[0] == ("create_task", '{"assignee": "order_desk", "title": "Return R-1: refund 500.00 GBP?"}')
    assert kinds("500.01")[0] == ("create_task", '{"assignee": "finance_manager", "title": "Return R-1: refund 500.01 GBP?"}')


def test_a_duplicate_and_a_malformed_record_ask_for_nothing_more() -> None:
    once = good("deal.closed", {"deal": DEAL})
    again = replace(once[0], kind="duplicate", form="avro")
    broken = Made("malformed", "json", happening("deal.closed", {"deal": DEAL}, "bad-1"), "broken-json")
    expected = expect([*once, again, broken])
    assert expected.business == expect(once).business
    assert expected.dead_letters == 1
    assert expected.at_once == {("acme", "e-1")}


def test_the_judge_counts_what_is_missing_and_what_nobody_asked_for() -> None:
    one, two = (business_of("acme", event, "send_email", {"to": "a"}) for event in ("e-1", "e-2"))
    assert judge(Counter([one, two]), Counter([one, two])).lost == 0
    verdict = judge(Counter([one, two]), Counter([one, one]))
    assert (verdict.lost, verdict.duplicated) == (1, 1)
    assert judge(Counter(), Counter([one])).duplicated == 1


def test_a_number_is_the_same_however_it_is_written() -> None:
    assert business_of("t", "e", "a", {"x": Decimal("2.50"), "y": None}) == business_of("t", "e", "a", {"x": 2.5})
    assert business_of("t", "e", "a", {"x": "2.5"}) != business_of("t", "e", "a", {"x": 2.5})
