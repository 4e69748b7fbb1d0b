"""Laws of shadows: nothing that they do shows in what the others do, and the same version beside itself does the same."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.laws import test_rollout_laws as rollouts
from tests.laws.rolled_out import Rolled, Told, by_hand, decided, order, rolled

CONTRACTS: Final = (
    rollouts.CONTRACTS
    + """
flow: child
inputs: {order: string}
trigger: {manual: {roles: [desk]}}
steps: [{action: help, as: help, await: true, timeout: 1h, with: {order: "{{ inputs.order }}"}, returns: {by: string}}]
output: {by: "{{ help.by }}"}
---
"""
)
FLOW: Final = """
flow: main
trigger:
  - {as: placed, event: order.placed, conditions: [order.total >= LEAST]}
  - {as: desk, manual: {roles: [desk]}}
inputs: {customer: string?}
limits: {concurrency: {key: order.customer_id, max: 2, over: queue}}
rollout: {shadow: true}
steps:
  - {action: reserve, as: stock, await: true, timeout: 1h,
     with: {order: "{{ coalesce(order.id, 'none') }}", me: "{{ execution.id }}"},
     returns: {id: string}, compensate: {action: release, with: {stock: "{{ stock.id }}"}}}
  - {wait: order.cancelled, as: gone, correlate: gone.order.customer_id == order.customer_id, look_back: 10m, timeout: 40m,
     on_timeout: continue}
  - {approve: "Go on?", as: approval, by: {role: lead}, timeout: 2h, on_timeout: rejected}
  - {emit: order.noticed, with: {order: {said: "{{ stock.id }} {{ approval.outcome }}"}}}
  - {call: child, as: helped, with: {order: "{{ stock.id }}"}, timeout: 3h}
  - {action: charge, as: paid, await: true, timeout: 1h, with: {stock: "{{ stock.id }}", by: "{{ helped.by }}", much: PRICE}}
"""
EARLY: Final = re.sub(r"  - \{action: reserve.*?\}\}\}\n", "", FLOW, flags=re.DOTALL).replace("{{ stock.id }}", "none")
orders = st.lists(
    st.tuples(st.sampled_from([0, 1, 30]), st.sampled_from([None, "a", "b"]), st.integers(1, 4), st.booleans(), st.booleans()),
    min_size=1,
    max_size=8,
)
LIVE_TOPICS: Final = ("history", "actions.file", "cancels", "notices.events", "approvals.events", "flows.events", "dead_letters")


def version(least: int, price: int, *, shadow: bool, early: bool = False) -> str:
    """Give the definitions; `early`: without the first step, so that a shadow meets what the other one does not wait for yet."""
    text = CONTRACTS + (EARLY if early else FLOW).replace("LEAST", str(least)).replace("PRICE", str(price))
    return text if shadow else text.replace("rollout: {shadow: true}\n", "")


def outcome(command: Any) -> dict[str, Any] | str:
    """Answer by what the command says, so that both runs hear the same."""
    number = sum(command["subject"].encode())
    match command["type"]:
        case "charge":
            return "rejected" if number % 3 == 0 else {}
        case "help":
            return {"by": "ann"} if number % 4 else "unavailable"
        case _:
            return {"id": f"S{number}"} if number % 5 else "rejected"


def play(one: Rolled, drawn: list[Any], *, again: bool) -> None:
    """Send orders one by one, answer what is asked, decide every other approval, and let the clock run out."""
    one.hold(held=True)
    minute, asked = 0, 0
    for number, (on, customer, total, placed, desk) in enumerate(drawn):
        minute += on
        data = {"total": total} | ({} if customer is None else {"customer_id": customer})
        told: list[Told] = [order(number, minute, data, kind="order.placed" if placed else "order.cancelled")]
        one.tell([*told, *([by_hand("main", number, {"customer": "x"})] if desk else [])])
        if number % 2:
            while one.answer(outcome):
                pass
            one.tell(told)  # it comes twice
        for event in one.records("approvals.events")[asked:]:
            asked += 1
            if asked % 2 and event["type"] == "approval.requested":
                said = "approved" if asked % 3 else "rejected"
                one.tell([decided("acme", event["subject"], "approval", said)])
        if again:
            one.restart()
    one.hold(held=False)
    one.turns()
    for _ in range(50):
        if not one.answer(outcome):
            return
    raise AssertionError("it asks for ever")


def said(one: Rolled) -> dict[str, list[Any]]:
    return {topic: sorted(one.records(topic), key=str) for topic in LIVE_TOPICS}


def shadows(one: Rolled) -> list[Any]:
    """Give what shadows did, without what those beside them have said."""
    return [record for record in one.records("shadows") if "history" in record]


def absent(one: Rolled) -> list[tuple[str, str]]:
    """Give (flow, execution) of the starts that are told to be made by the version in force alone."""
    return [(record["history"]["flow"], record["beside"]) for record in shadows(one) if record.get("absent")]


def ways(one: Rolled) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Give the transitions of executions and of shadows, by the execution that they belong to."""
    live: dict[str, list[Any]] = defaultdict(list)
    shadow: dict[str, list[Any]] = defaultdict(list)
    for record in one.records("history"):
        if record["flow"] == "main":
            live[record["execution"]] += [moment[:4] for moment in record["transitions"]]
    for record in shadows(one):
        assert record["history"]["namespace"] == "shadow"
        shadow[record["beside"]] += [moment[:4] for moment in record["history"]["transitions"]]
    return dict(live), dict(shadow)


@settings(max_examples=examples(10), deadline=None)
@given(orders, st.sampled_from([1, 3, 8192]), st.booleans(), st.integers(1, 4), st.booleans())
def test_nothing_that_a_shadow_does_shows_in_what_the_others_do(
    drawn: Any, turn_rows: int, again: bool, least: int, early: bool
) -> None:
    forgetful = ("look_back: 10m, ", "" if early else "look_back: 10m, ")
    with rolled() as alone:
        alone.deploy(version(2, 1, shadow=False).replace(*forgetful))
        play(alone, drawn, again=False)
        expected = said(alone)
    with rolled(turn_rows) as both:
        both.deploy(version(2, 1, shadow=False).replace(*forgetful))
        both.deploy(version(least, 2, shadow=True, early=early).replace(*forgetful))
        play(both, drawn, again=again)
        found = said(both)
        live, shadow = ways(both)
    assert found == expected
    absent = {identity for identity, moments in shadow.items() if not moments}
    assert all(shadow.get(identity) or identity in absent for identity in live)


@settings(max_examples=examples(10), deadline=None)
@given(orders, st.sampled_from([1, 8192]), st.booleans())
def test_the_same_steps_in_shadow_go_the_same_way(drawn: Any, turn_rows: int, again: bool) -> None:
    free = "limits: {concurrency: {key: order.customer_id, max: 2, over: queue}}\n"
    with rolled(turn_rows) as both:
        both.deploy(version(2, 1, shadow=False).replace(free, ""))
        both.deploy(version(2, 2, shadow=True).replace(free, ""))
        play(both, drawn, again=again)
        live, shadow = ways(both)
        muted = {one["action"]: one for record in both.records("shadows") for one in record.get("muted", [])}
        sent = {one["id"]: one for one in both.records("actions.file") if one["flow"] == "main"}
    assert shadow == live
    assert muted.keys() == sent.keys()
    for identity, one in muted.items():
        changed = {"much": 2} if one["type"] == "charge" else {}
        assert one["params"] == {**sent[identity]["data"], **changed}


ADDED: Final = """
  - {action: score, as: scored, await: true, timeout: 1h, with: {n: 1}RETURNS}
  - {call: child, as: again, await: true, timeout: 1h, with: {order: x}}
  - {action: thank, with: {n: 2}}
"""


def beside(one: Rolled, added: str) -> tuple[str, list[tuple[str, str]]]:
    """Let the version in force end, then give what a longer one in shadow came to."""
    first = FLOW[: FLOW.index("  - {wait")].replace("LEAST", "1")
    one.deploy(CONTRACTS + first.replace("rollout: {shadow: true}\n", ""))
    one.deploy(CONTRACTS + first + added.strip("\n") + "\n")
    one.hold(held=True)
    one.tell([order(1, 0, {"total": 2})])
    assert one.answer(lambda _: {"id": "S1"}) == 1
    found = [record["history"] for record in shadows(one)]
    assert one.answer(outcome) == 0
    return found[-1]["status"], [(moment[1], moment[2]) for record in found for moment in record["transitions"]]


def test_what_the_other_never_asked_counts_as_done_where_nothing_must_be_known_of_it() -> None:
    quiet = ADDED.replace("RETURNS", ", returns: {score: float?}").replace("call: child, as: again", "call: mute, as: again")
    with rolled() as one:
        one.deploy(CONTRACTS + "flow: mute\ninputs: {order: string}\ntrigger: {manual: {roles: [desk]}}\nsteps: [{delay: 1h}]\n")
        status, moments = beside(one, quiet)
    assert status == "completed"
    assert {("completed", "scored"), ("completed", "again"), ("issued", "action_thank_1")} <= set(moments)


def test_a_shadow_ends_where_nobody_can_know_how_it_would_go_on() -> None:
    for added, step in (
        (ADDED.replace("RETURNS", ", returns: {score: float}"), "scored"),
        (ADDED.replace("RETURNS", ""), "again"),
    ):
        with rolled() as one:
            status, moments = beside(one, added)
        assert (status, moments[-2:]) == ("cancelled", [("cancelled", step), ("ended", "")])


def begun(one: Rolled) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Give what executions and shadows did that have begun, by flow and execution."""
    live: dict[str, list[Any]] = defaultdict(list)
    shadow: dict[str, list[Any]] = defaultdict(list)
    for record in one.records("history"):
        live[record["flow"] + record["execution"]] += [moment[:4] for moment in record["transitions"]]
    for record in shadows(one):
        shadow[record["history"]["flow"] + record["beside"]] += [moment[:4] for moment in record["history"]["transitions"]]
    return dict(live), dict(shadow)


@settings(max_examples=examples(6), deadline=None)
@given(rollouts.told, st.lists(st.integers(1, 15), max_size=3), st.sampled_from([1, 3, 8192]), st.booleans())
def test_whatever_starts_a_flow_starts_its_shadow(drawn: Any, sizes: list[int], turn_rows: int, again: bool) -> None:
    text = rollouts.CONTRACTS + rollouts.FLOWS + re.sub(r"rollout: .*", "ROLLOUT", rollouts.BEHIND)
    with rolled(turn_rows) as both:
        both.deploy(text.replace("ROLLOUT", "").replace("VERSION", "one"))
        both.deploy(text.replace("ROLLOUT", "rollout: {shadow: true}").replace("VERSION", "two"))
        rollouts.sent(both, rollouts.records(drawn), sizes, again=again)
        live, shadow = begun(both)
        notices = both.records("notices.events")
    assert live == shadow
    assert live
    assert all(one["data"]["order"]["said"].startswith("one") for one in notices)


ONE_SIDED: Final = """
flow: plain
trigger: {event: order.placed, conditions: [order.total >= LEAST]}
ROLLOUT
steps: [{delay: 1m}]
---
flow: behind
trigger: {after: plain, status: STATUS}
ROLLOUT
steps: [{delay: 1m}]
---
flow: often
trigger: {event: order.placed, window: {key: order.id, sliding: 1h, measures: {n: count()}, when: window.n >= LEAST - 1}}
ROLLOUT
steps: [{delay: 1m}]
---
flow: by_slot
tenant: acme
trigger: [{as: time, schedule: "*/30 * * * *", zone: UTC}, {as: NAME, event: order.cancelled}]
ROLLOUT
steps: [{delay: 1m}]
---
flow: desk
trigger: HAND
ROLLOUT
steps: [{delay: 1m}]
"""


def one_sided(least: int, status: str, name: str, hand: str) -> str:
    text = ONE_SIDED.replace("LEAST", str(least)).replace("STATUS", status).replace("NAME", name)
    return rollouts.CONTRACTS + text.replace("HAND", hand).replace("[{as: time, schedule", f"[{{as: time{name}, schedule")


def test_what_only_the_version_in_force_starts_is_told_where_it_starts() -> None:
    with rolled() as one:
        one.deploy(one_sided(2, "any", "a", "{manual: {roles: [desk]}}").replace("ROLLOUT\n", ""))
        narrow = one_sided(9, "failed", "b", "{event: order.placed, conditions: [order.total > 90]}")
        one.deploy(narrow.replace("ROLLOUT", "rollout: {shadow: true}"))
        one.hold(held=True)
        one.tell([order(1, 0, {"total": 3}), by_hand("desk", 1, {}), order(2, 40, {"total": 1}), order(1, 41, {"total": 3})])
        one.hold(held=False)
        one.turns()
        begun_at = [record for record in one.records("history") if record["transitions"][0][1] == "started"]
        live = sorted((record["flow"], record["execution"]) for record in begun_at)
        told = sorted(absent(one))
    assert {flow for flow, _ in live} == {"plain", "behind", "often", "by_slot", "desk"}
    assert told == live


def test_what_only_the_version_in_shadow_starts_is_told_too() -> None:
    never = "{event: order.placed, conditions: [order.total > 90]}"
    with rolled() as one:
        one.deploy(one_sided(9, "failed", "a", never).replace("ROLLOUT\n", ""))
        one.deploy(one_sided(2, "any", "b", "{manual: {roles: [desk]}}").replace("ROLLOUT", "rollout: {shadow: true}"))
        one.hold(held=True)
        one.tell([order(1, 0, {"total": 3}), order(1, 0, {"total": 3})])
        one.tell([order(1, 0, {"total": 3})])
        one.hold(held=False)
        one.turns()
        found = [record["history"] for record in shadows(one)]
        assert one.records("history") == []
    assert {record["flow"]: record["status"] for record in found} == {"often": "completed", "plain": "completed"}
    assert len({record["execution"] for record in found}) == 2


WATCH: Final = """
event: order.placed
topic: orders.events
fields: {order: {id: string}, fork: string?}
---
event: order.paid
topic: orders.events
fields: {order: {id: string}}
---
flow: remind
trigger: {event: order.placed, absence: {of: order.paid, as: paid, correlate: paid.order.id == order.id, within: 1h}}
limits: {concurrency: {max: 5, over: queue}}
timeout: 5h
SHADOW
steps: [{action: charge, with: {v: NUMBER, fork: "{{ fork }}"}}, {delay: 10m}]
"""


def test_a_shadow_of_what_waits_for_an_absence_runs_whatever_the_limits() -> None:
    with rolled() as one:
        one.deploy(WATCH.replace("SHADOW", "").replace("NUMBER", "1"))
        one.deploy(WATCH.replace("SHADOW", "rollout: {shadow: true}").replace("NUMBER", "2"))
        one.tell([order(1, 0, {})])
        one.tell([order(2, 600, {})])
        told = [record["history"] for record in shadows(one)]
        first = [history for history in told if history["event"] == "e1"]
        assert first[-1]["status"] == "completed"
        assert [action["data"]["v"] for action in one.records("actions.file")][:1] == [1]


def test_a_field_by_any_name_is_a_value_and_nothing_else() -> None:
    with rolled() as one:
        one.deploy(WATCH.replace("SHADOW", "").replace("NUMBER", "1"))
        tenant, topic, data = order(1, 0, {})
        one.tell([(tenant, topic, json.dumps({**json.loads(data), "data": {"order": {"id": "o1"}, "fork": "silver"}}).encode())])
        one.tell([order(2, 600, {})])
        assert [action["data"]["fork"] for action in one.records("actions.file")][:1] == ["silver"]
