"""Watches: absences and sequences before they begin, and verdicts that are taken back."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.expression.tree import Field
from schemas.expression.types import DURATION, STRING
from schemas.ids import wait_key
from schemas.program import END, Absence, Correlation, EventTrigger, Sequence
from tests.operators.executions import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TENANT,
    World,
    act,
    awaiting,
    delay,
    moment,
    runnable,
    span,
    tree,
    wait,
)

USE = act("use", params={"id": "{{ order.id }}"})


def _absence(*steps: Any, where: str = "", on_retract: int = -1, **more: Any) -> World:
    detail = Absence(awaiting("order.paid", "paid", where), span("4h"), **more)
    trigger = EventTrigger("order.placed", detail=detail)
    return World(runnable(*(steps or (USE,)), triggers=(trigger,), on_retract=on_retract)).watch()


def test_a_watch_waits_without_a_history() -> None:
    world = _absence(lateness_us=HOUR)
    assert (world.status, world.history) == ("watching", [])
    (opened,) = world.all[0].waits_set
    assert (opened.key, opened.kind) == (wait_key(TENANT, "order.paid", [("order.id", "A1")]), "watch")
    assert [(parked.due_us, parked.kind) for parked in world.timers.values()] == [(NOW + 5 * HOUR, "deadline")]


def test_the_event_ends_it_silently() -> None:
    world = _absence()
    assert world.meet({"amount": 1})
    assert (world.status, world.history, world.state) == ("discarded", [], None)


def test_only_an_event_that_fits_and_is_in_time_ends_it() -> None:
    world = _absence(where="paid.amount > 0", lateness_us=HOUR)
    assert not world.meet({"amount": 0})
    assert not world.meet({"amount": 1}, time_us=NOW + 4 * HOUR + 1)
    assert world.meet({"amount": 1}, time_us=NOW + 4 * HOUR)


def test_when_the_time_is_over_it_begins() -> None:
    world = _absence().at(4 * HOUR)
    assert (world.status, world.issued) == ("completed", ["use"])
    assert world.history == ["started", "action.issued use", "ended"]
    assert world.all[-1].begun is not None
    assert world.commands[0].time == "2026-01-01T04:00:00Z"


def test_a_policy_that_was_read_while_it_watched_is_told_behind_its_start() -> None:
    time = Field("policies.sla", (), DURATION)
    detail = Absence(awaiting("order.paid", "paid"), time)
    policies = {"policies.sla": 4 * HOUR, "policies": {"sla": "v1"}}
    world = World(runnable(USE, triggers=(EventTrigger("order.placed", detail=detail),), policies=("sla",)), policies).watch()
    assert (world.status, world.history) == ("watching", [])  # else it would stand among the executions, and never end there
    assert world.at(4 * HOUR).history == ["started", "policy.used", "action.issued use", "ended"]
    assert world.details("used") == [{"sla": "v1"}]


def test_what_came_before_the_event_does_not_end_it_and_takes_nothing_back() -> None:
    world = _absence(USE, act("withdraw", END), on_retract=1, retract_us=30 * DAY, lateness_us=HOUR)
    assert world.all[0].waits_set[0].look_back_us == HOUR  # its event may be late itself
    assert not world.meet({"amount": 1}, time_us=NOW - 1)
    assert not world.at(DAY).meet({"amount": 1}, time_us=NOW - 1)
    assert world.meet({"amount": 1}, time_us=NOW)


def test_an_absence_may_be_until_a_time_and_one_without_a_time_is_nothing() -> None:
    detail = Absence(awaiting("order.paid", "paid"), moment("event.time + 2h"), until=True)
    flow = runnable(USE, triggers=(EventTrigger("order.placed", detail=detail),))
    world = World(flow).watch()
    assert world.at(2 * HOUR).status == "completed"
    other = World(flow, **{"event.time": None}).watch()
    assert (other.status, other.all) == ("", [])


def test_the_timeout_counts_from_the_beginning() -> None:
    detail = Absence(awaiting("order.paid", "paid"), span("4h"))
    flow = runnable(delay("1h", 1), USE, triggers=(EventTrigger("order.placed", detail=detail),), timeout_us=2 * HOUR)
    world = World(flow).watch().at(5 * HOUR)
    assert (world.status, world.issued) == ("completed", ["use"])


def test_a_late_event_takes_the_verdict_back_while_the_steps_run() -> None:
    world = _absence(wait("seen", 1), USE, act("withdraw", END), on_retract=2, retract_us=30 * DAY).at(DAY)
    assert world.status == "waiting"
    assert sorted(kind for _, kind in world.waits.values()) == ["retract", "wait"]
    assert world.meet({"amount": 1}, time_us=NOW + HOUR)
    assert (world.status, world.issued, world.waits) == ("completed", ["withdraw"], {})


def test_a_late_event_takes_the_verdict_back_after_the_steps_have_ended() -> None:
    world = _absence(USE, act("withdraw", END), on_retract=1, retract_us=30 * DAY).at(DAY)
    assert (world.status, world.issued, world.state is None) == ("completed", ["use"], False)
    assert not world.meet({"amount": 1}, time_us=NOW + 4 * HOUR + 1)
    assert world.meet({"amount": 1}, time_us=NOW + HOUR)
    assert world.issued == ["use", "withdraw"]
    assert (world.status, world.state) == ("completed", None)
    assert world.history[-3:] == ["retracted", "action.issued withdraw", "ended"]


def test_a_verdict_is_certain_after_its_time() -> None:
    world = _absence(USE, act("withdraw", END), on_retract=1, retract_us=30 * DAY).at(31 * DAY)
    assert (world.status, world.state, world.waits) == ("completed", None, {})
    assert world.issued == ["use"]


def test_steps_may_outlive_the_time_of_their_verdict() -> None:
    world = _absence(wait("seen", 1, timeout="9d"), USE, retract_us=DAY, lateness_us=HOUR).at(3 * DAY)
    assert world.status == "waiting"
    assert world.meet({}, 5)
    assert (world.status, world.state) == ("completed", None)


def test_a_retraction_tears_waits_down_and_its_steps_may_wait() -> None:
    steps = (wait("seen", 1), USE, delay("1h", 3), act("withdraw", END))
    world = _absence(*steps, on_retract=2, retract_us=30 * DAY).at(5 * HOUR)
    world.meet({"amount": 1}, time_us=NOW)
    assert (world.status, world.waits) == ("waiting", {})
    assert world.at(7 * HOUR).issued == ["withdraw"]


def test_the_engine_may_take_a_verdict_back_that_it_holds_itself() -> None:
    world = World(runnable(USE, act("withdraw", END), on_retract=1)).start(**{"trigger.retract_until": NOW + DAY})
    assert (world.status, world.state is None) == ("completed", False)
    assert world.retract()
    assert (world.issued, world.state) == (["use", "withdraw"], None)


def _sequence(**more: Any) -> World:
    second = awaiting("order.cancelled", "second", "decimal(second.order.total) > decimal(first.order.total)", **SAME)
    third = awaiting("order.placed", "other", "", **SAME)
    detail = Sequence((second, third), HOUR, "first", ((("order", "total"), STRING),), **more)
    steps = (act("use", params={"id": "{{ order.id }}", "a": "{{ first.order.total }}", "b": "{{ second.order.total }}"}),)
    env: dict[str, Any] = {"order.total": 5}
    return World(runnable(*steps, triggers=(EventTrigger("order.placed", detail=detail),)), **env).watch()


SAME = {"correlate": (Correlation("order.by", tree("order.by")),)}


def test_a_sequence_begins_with_its_last_event() -> None:
    world = _sequence()
    assert not world.meet({"order": {"total": 5}}, 1, NOW + MINUTE)
    assert world.meet({"order": {"total": 6}}, 2, NOW + MINUTE)
    assert (world.status, world.history) == ("watching", [])
    assert world.meet({"order": {"id": "A9", "by": "bob", "total": 7}, "event": {"time": NOW}}, 3, NOW + 2 * MINUTE)
    assert world.status == "completed"
    assert world.commands[0].data == {"id": "A9", "a": 5, "b": 6}
    assert world.commands[0].causationid == "m3"
    assert world.all[-1].begun is not None
    assert world.all[-1].begun.event == "m3"


@pytest.mark.parametrize("time_us", [NOW - 1, NOW + HOUR + 1])
def test_events_out_of_order_or_too_late_do_not_count(time_us: int) -> None:
    assert not _sequence().meet({"order": {"total": 6}}, 2, time_us)


def test_a_sequence_that_stays_incomplete_leaves_no_trace() -> None:
    world = _sequence(lateness_us=MINUTE)
    assert world.all[0].waits_set[0].look_back_us == MINUTE
    world.at(HOUR + MINUTE)
    assert (world.status, world.state, world.history) == ("discarded", None, [])


def test_a_watch_can_be_cancelled() -> None:
    world = _absence()
    assert world.order("cancel")
    assert world.status == "discarded"
