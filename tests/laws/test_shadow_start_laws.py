"""Laws of starts beside shadows: what one of two versions alone starts by a watch is told, and what both say is compared."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.laws import test_rollout_laws as rollouts
from tests.laws.rolled_out import Rolled, order, rolled
from tests.laws.test_shadow_laws import absent, begun, shadows

JOINED: Final = """
---
flow: joint
trigger: {after: [plain, kept], status: any, join: all, within: 3h}
ROLLOUT
steps: [{emit: order.noticed, with: {order: {said: "VERSION {{ after.plain.execution }} {{ after.kept.execution }}"}}}]
"""


@settings(max_examples=examples(4), deadline=None)
@given(
    rollouts.told.map(lambda drawn: drawn[:8]),
    st.lists(st.integers(1, 5), max_size=2),
    st.sampled_from([1, 3, 8192]),
    st.booleans(),
)
def test_ends_that_start_a_flow_together_start_its_shadow(drawn: Any, sizes: list[int], turn_rows: int, again: bool) -> None:
    text = rollouts.CONTRACTS + rollouts.FLOWS.replace("\nROLLOUT", "") + JOINED
    with rolled(turn_rows) as both:
        both.deploy(text.replace("\nROLLOUT", "").replace("VERSION", "one"))
        both.deploy(
            text.replace("ROLLOUT", "rollout: {shadow: true}")
            .replace('"VERSION {{ after', '"two {{ after')
            .replace("VERSION", "one")
        )
        rollouts.sent(both, rollouts.records(drawn), sizes, again=again)
        found = [{name: one for name, one in ways_of.items() if name.startswith("joint")} for ways_of in begun(both)]
        sides = said_on_both_sides(both)
        letters = Counter(one["kind"] for one in both.records("dead_letters"))
        assert absent(both) == []
    assert found[0] == found[1]
    assert [{**one, "words": one["words"].replace("two", "one")} for one in sides[1]] == sides[0]
    with rolled(turn_rows) as alone:
        alone.deploy(text.replace("\nROLLOUT", "").replace("VERSION", "one"))
        rollouts.sent(alone, rollouts.records(drawn), sizes, again=False)
        assert Counter(one["kind"] for one in alone.records("dead_letters")) == letters


def said_on_both_sides(one: Rolled) -> list[list[Any]]:
    """Give the emitted events of executions and of shadows, by their ids."""
    sides: list[list[Any]] = [[], []]
    for record in one.records("shadows"):
        for word in record.get("said", []):
            sides["history" in record].append({"id": word["id"], "words": word["params"]["order"]["said"]})
    return [sorted(side, key=str) for side in sides]


WATCHED: Final = """
flow: kept
trigger: {event: order.placed, conditions: [order.total >= LEAST], absence: {of: order.cancelled, as: gone,
  correlate: gone.order.customer_id == order.customer_id, within: 30m}}
ROLLOUT
steps: [{delay: 1m}]
---
flow: churn
trigger: {sequence: {key: order.customer_id, within: 2h,
  events: [{event: order.placed, as: first, conditions: [order.total >= LEAST]}, {event: order.cancelled, as: second}]}}
ROLLOUT
steps: [{delay: 1m}]
---
flow: soon
trigger: {event: order.placed, absence: {of: order.cancelled, as: gone,
  correlate: gone.order.customer_id == order.customer_id, within: SOON}}
ROLLOUT
steps: [{delay: 1m}]
---
flow: by_slot
tenant: acme
trigger: {schedule: "CRON", zone: UTC}
ROLLOUT
steps: [{delay: 1m}]
---
flow: either
trigger: EITHER
ROLLOUT
steps: [{delay: 1m}]
---
flow: ended
trigger: {after: [kept, soon], join: all, status: STATUS, within: 4h}
ROLLOUT
steps: [{delay: 1m}]
"""
AT_ONCE: Final = "{event: order.placed}"
LATER: Final = """{event: order.placed, absence: {of: order.cancelled, as: gone,
  correlate: gone.order.customer_id == order.customer_id, within: 10m}}"""


def watched(least: int, soon: str, cron: str, either: str, status: str) -> str:
    text = WATCHED.replace("LEAST", str(least)).replace("SOON", soon).replace("CRON", cron).replace("EITHER", either)
    return rollouts.CONTRACTS + text.replace("STATUS", status)


WIDE: Final = watched(1, "10m", "*/15 * * * *", AT_ONCE, "any")
NARROW: Final = watched(9, "40m", "*/30 * * * *", LATER, "failed")
EVENTS: Final = (  # number, minute, customer, placed: a stays, b goes within 10 minutes, c within 40
    (1, 0, "a", True),
    (2, 0, "b", True),
    (3, 0, "c", True),
    (4, 5, "b", False),
    (5, 35, "c", False),
    (6, 200, "z", False),
)


def watch_both(one: Rolled, force: str, shadow: str, *, again: bool) -> tuple[list[tuple[str, str]], ...]:
    """Give (flow, event) of what began in force, in shadow, and of what is told not to begin in shadow."""
    one.deploy(force.replace("\nROLLOUT", ""))
    one.deploy(shadow.replace("ROLLOUT", "rollout: {shadow: true}"))
    one.hold(held=True)
    for number, minute, customer, placed in EVENTS:
        kind = "order.placed" if placed else "order.cancelled"
        one.tell([order(number, minute, {"total": 3, "customer_id": customer}, kind=kind)])
        if again:
            one.restart()
    one.hold(held=False)
    one.turns()
    live = [(record["flow"], record["event"]) for record in one.records("history") if record["transitions"][0][1] == "started"]
    told = [record["history"] for record in shadows(one)]
    muted = [
        (record["flow"], record["event"])
        for record in told
        if record["transitions"][:1] and record["transitions"][0][1] == "started"
    ]
    missing = [(record["history"]["flow"], record["history"]["event"]) for record in shadows(one) if record.get("absent")]
    return sorted(live), sorted(muted), sorted(missing)


@pytest.mark.parametrize(("turn_rows", "again"), [(1, True), (8192, False)])
def test_a_watch_by_which_the_version_in_force_alone_starts_is_told(turn_rows: int, *, again: bool) -> None:
    with rolled(turn_rows) as one:
        live, muted, missing = watch_both(one, WIDE, NARROW, again=again)
    flows = {flow for flow, _ in live}
    assert flows == {"kept", "churn", "soon", "by_slot", "either", "ended"}
    assert Counter(missing) == Counter(live) - Counter(muted)
    assert {("kept", "e1"), ("kept", "e3"), ("soon", "e3"), ("either", "e2"), ("churn", "e4"), ("churn", "e5")} <= set(missing)
    assert {flow for flow, _ in missing} == flows
    assert not Counter(muted) - Counter(live)


@pytest.mark.parametrize(("turn_rows", "again"), [(1, True), (8192, False)])
def test_a_watch_by_which_the_version_in_shadow_alone_starts_is_told(turn_rows: int, *, again: bool) -> None:
    with rolled(turn_rows) as one:
        live, muted, missing = watch_both(one, NARROW, WIDE, again=again)
    assert missing == []
    assert not Counter(live) - Counter(muted)
    alone = Counter(muted) - Counter(live)
    assert {flow for flow, _ in alone} == {"kept", "churn", "soon", "by_slot", "either"}


def test_a_watch_from_before_the_shadow_is_compared_with_nothing() -> None:
    with rolled() as one:
        one.deploy(WIDE.replace("\nROLLOUT", ""))
        one.hold(held=True)
        one.tell([order(1, 0, {"total": 3, "customer_id": "a"})])
        one.deploy(NARROW.replace("ROLLOUT", "rollout: {shadow: true}"))
        one.tell([order(6, 200, {"total": 3, "customer_id": "z"}, kind="order.cancelled")])
        assert {flow for flow, _ in absent(one)} == {"by_slot", "ended"}
        begun_by = {record["flow"] for record in one.records("history") if record["event"] == "e1"}
    assert begun_by == {"kept", "soon", "either"}


SAYING: Final = """
flow: child
inputs: {order: string}
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1m}]
---
flow: teller
trigger: {event: order.placed}
ROLLOUT
steps:
  - {emit: order.noticed, key: "coalesce(order.customer_id, order.id)", with: {order: {said: "WORDS {{ order.id }}"}}}
  - {emit: order.noticed, as: same, with: {order: {said: "as ever"}}}
  - {call: child, as: helped, await: false, with: {order: "WORDS"}}
"""


def test_what_is_emitted_and_called_is_compared_word_by_word() -> None:
    with rolled() as one:
        one.deploy(rollouts.CONTRACTS + SAYING.replace("\nROLLOUT", "").replace("WORDS", "hello"))
        one.tell([order(1, 0, {"total": 3, "customer_id": "a"})])
        assert one.records("shadows") == []
        one.deploy(rollouts.CONTRACTS + SAYING.replace("ROLLOUT", "rollout: {shadow: true}").replace("WORDS", "bye"))
        one.tell([order(2, 0, {"total": 3, "customer_id": "a"})])
        sides: list[dict[str, Any]] = [{}, {}]
        for record in one.records("shadows"):
            sides["history" in record].update({word["id"]: word for word in record.get("said", [])})
        emitted = {event["id"]: event["data"] for event in one.records("notices.events") if event["causationid"] == "e2"}
    live, shadow = sides
    assert live.keys() == shadow.keys()
    assert len(live) == 3
    assert {key: word["params"] for key, word in live.items() if word["kind"] == "event"} == emitted
    differ = sorted((word["kind"], word["step"]) for key, word in live.items() if word != shadow[key])
    assert [kind for kind, _ in differ] == ["call", "event"]
    assert {word["about"] for word in live.values() if word["kind"] == "event"} == {"a", None}
