"""Laws of rollouts: exactly one of two versions starts for an entity, always the same, and a larger share keeps the smaller."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.triggers.lanes import lanes_of
from schemas.expression.tree import Field
from schemas.expression.types import STRING
from schemas.pointer import Pointer, share_of, tree_of
from tests.examples import examples
from tests.laws.rolled_out import Rolled, Told, bucket, by_hand, order, rolled

BY: Final = share_of(25, "order.customer_id", Field("order.customer_id", (), STRING))
CONTRACTS: Final = """
event: order.placed
topic: orders.events
fields: {order: {id: string, customer_id: string?, total: int}}
---
event: order.cancelled
topic: orders.events
fields: {order: {id: string, customer_id: string?, total: int}}
---
event: order.noticed
topic: notices.events
fields: {order: {said: string}}
---
"""
FLOWS: Final = """
flow: plain
trigger: {event: order.placed, conditions: [order.total >= 2]}
ROLLOUT
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ order.id }}"}}}]
output: {customer: "{{ order.customer_id }}"}
---
flow: often
trigger: {event: order.placed, conditions: [exists(order.customer_id)], window: {key: order.customer_id, sliding: 1h,
  measures: {orders: count()}, when: window.orders >= 2}}
ROLLOUT
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ order.id }} {{ window.orders }}"}}}]
---
flow: churn
trigger: {sequence: {key: order.customer_id, within: 2h,
  events: [{event: order.placed, as: first}, {event: order.cancelled, as: second}]}}
ROLLOUT
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ second.order.id }}"}}}]
---
flow: kept
trigger: {event: order.placed, conditions: [exists(order.customer_id)], absence: {of: order.cancelled, as: gone,
  correlate: gone.order.customer_id == order.customer_id, within: 30m}}
ROLLOUT
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ order.id }}"}}}]
---
flow: by_slot
tenant: acme
trigger:
  - {as: time, schedule: "*/15 * * * *", zone: UTC}
  - {as: order, event: order.cancelled}
ROLLOUT
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ trigger.name }}"}}}]
"""
BEHIND: Final = """
---
flow: behind
trigger: {after: plain, status: any}
rollout: {percent: PERCENT, by: after.plain.output.customer}
steps: [{emit: order.noticed, with: {order: {said: "VERSION"}}}]
---
flow: desk
inputs: {customer: string}
trigger: {manual: {roles: [desk]}}
rollout: {percent: PERCENT, by: inputs.customer}
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ inputs.customer }}"}}}]
"""
NAMES: Final = ("behind", "by_slot", "churn", "desk", "kept", "often", "plain")
customers = st.sampled_from([None, "", "a", "b", "c", "d", "e", "Zoë", "12"])
told = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([0, 1, 20, 45, 90]), customers, st.integers(1, 4), st.booleans()),
    min_size=1,
    max_size=25,
    unique_by=lambda one: one[0],
)


def text(version: str, percent: int | None) -> str:
    rollout = "" if percent is None else f"rollout: {{percent: {percent}, by: order.customer_id}}"
    found = CONTRACTS + FLOWS.replace("ROLLOUT", rollout) + BEHIND.replace("PERCENT", str(100 if percent is None else percent))
    return found.replace("VERSION", version)


def records(drawn: list[Any]) -> list[Told]:
    minute, found = 0, []
    for number, on, customer, total, placed in drawn:
        minute += on
        kind = "order.placed" if placed else "order.cancelled"
        data = {"total": total} | ({} if customer is None else {"customer_id": customer})
        found.append(order(number, minute, data, kind=kind))
        found.append(by_hand("desk", number, {"customer": customer or "nobody"}))
    return found


def sent(one: Rolled, drawn: list[Told], sizes: list[int], *, again: bool) -> None:
    one.hold(held=True)
    left = list(drawn)
    for size in [*sizes, len(left)]:
        piece, left = left[:size], left[size:]
        if piece:
            one.tell(piece)
        if again:
            one.restart()
    one.hold(held=False)
    one.turns()


def starts(one: Rolled) -> Counter[tuple[str, str, str]]:
    """Count what has started by flow, version and cause; a watch that has not begun has no history."""
    begun = [
        (record["flow"], record["version"], record["event"])
        for record in one.records("history")
        if any(moment[1] == "started" for moment in record["transitions"])
    ]
    return Counter(begun)


@settings(max_examples=examples(200))
@given(st.one_of(st.none(), st.text(max_size=8)), st.sampled_from(["acme", "zen"]), st.text(max_size=4), st.integers(0, 99))
def test_one_of_two_takes_any_entity_and_a_larger_share_keeps_the_smaller(
    customer: str | None, tenant: str, start: str, percent: int
) -> None:
    env = {"order.customer_id": customer}
    taken = []
    for share in (BY, share_of(25, "", None)):
        for part in range(percent, 100):
            pointer = Pointer("v2", rest="v1", share=share_of(part, share.by, tree_of(share)))
            new, rest = lanes_of("f", pointer)
            assert new.takes(tenant, env, start) is not rest.takes(tenant, env, start)
            taken.append(new.takes(tenant, env, start))
        entity = customer if share.tree else start
        assert taken == [bucket(tenant, "f", entity) < part * 100 for part in range(percent, 100)]
        taken.clear()


def test_a_share_is_about_what_it_says() -> None:
    new, _ = lanes_of("f", Pointer("v2", rest="v1", share=BY))
    taken = sum(new.takes("acme", {"order.customer_id": f"C{number}"}, "") for number in range(20_000))
    assert abs(taken - 5_000) < 250


@pytest.mark.slow
@settings(max_examples=examples(10), deadline=None)
@given(told, st.lists(st.integers(1, 15), max_size=4), st.sampled_from([1, 3, 8192]), st.booleans(), st.sampled_from([0, 25, 60]))
def test_what_starts_is_what_one_version_alone_would_start_each_by_its_entity(
    drawn: list[Any], sizes: list[int], turn_rows: int, again: bool, percent: int
) -> None:
    sent_records = records(drawn)
    with rolled() as alone:
        alone.deploy(text("one", None))
        sent(alone, sent_records, [], again=False)
        every = starts(alone)
    with rolled(turn_rows) as both:
        old = dict(zip(NAMES, sorted_versions(both, text("one", None)), strict=True))
        new = dict(zip(NAMES, sorted_versions(both, text("two", percent)), strict=True))
        sent(both, sent_records, sizes, again=again)
        found = starts(both)
    customer = {f"e{number}": one for number, _, one, _, _ in drawn}
    expected: Counter[tuple[str, str, str]] = Counter()
    for (flow, _, cause), count in every.items():
        entity = entity_of(flow, cause, customer)
        on_new = bucket("acme", flow, entity) < percent * 100
        expected[flow, new[flow] if on_new else old[flow], cause] += count
    comparable = {key: count for key, count in found.items() if key[0] != "behind"}
    assert comparable == {key: count for key, count in expected.items() if key[0] != "behind"}
    behind = Counter(cause for flow, _, cause in found.elements() if flow == "behind")
    assert sum(behind.values()) == sum(count for (flow, _, _), count in found.items() if flow == "plain")
    assert set(behind.values()) <= {1}


def entity_of(flow: str, cause: str, customer: dict[str, str | None]) -> str | None:
    if flow == "desk":
        return customer[f"e{cause.removeprefix('h')}"] or "nobody"
    return customer.get(cause)  # a slot has none


def sorted_versions(one: Rolled, definitions: str) -> list[str]:
    (one.home / "flows.yaml").write_text(definitions)
    names = [line.removeprefix("flow: ") for line in definitions.splitlines() if line.startswith("flow: ")]
    return [version for _, version in sorted(zip(names, one.deploy(definitions), strict=True))]
