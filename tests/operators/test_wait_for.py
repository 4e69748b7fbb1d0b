"""Waits: met by the event that fits, ended by their deadline."""

from __future__ import annotations

import pytest

from operators.advance.advance import meet
from schemas.effects import MetEvent
from schemas.ids import event_key, wait_key
from schemas.program import END, Correlation, Fork, Join, Stop, Wait
from tests.operators.executions import (
    CAUSE,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TENANT,
    World,
    act,
    awaiting,
    delay,
    runnable,
    span,
    wait,
)

USE = {"amount": "{{ paid.amount }}"}


def test_a_wait_is_found_by_its_key_and_binds_the_event() -> None:
    world = World(runnable(wait("paid", 1), act("use", params=USE))).start()
    (opened,) = world.all[0].waits_set
    assert opened.key == wait_key(TENANT, "order.paid", [("order.id", "A1")])
    assert (opened.event, opened.look_back_us, opened.kind) == ("order.paid", 0, "wait")
    assert next(iter(world.timers.values())).kind == "deadline"
    assert world.meet({"amount": 5})
    assert world.commands[0].data == {"amount": 5}
    assert world.history == ["started", "wait.entered paid", "wait.met paid", "action.issued use", "ended"]


def test_conditions_are_asked_and_one_that_fails_leaves_the_wait_open() -> None:
    world = World(runnable(wait("paid", 1, "paid.amount >= 10"), act("use", params=USE))).start()
    assert not world.meet({"amount": 9})
    assert not world.meet({"amount": None}, 2)
    assert world.meet({"amount": 10}, 3)
    assert world.status == "completed"


def test_without_correlation_it_is_the_same_correlation_id() -> None:
    of = awaiting("order.paid", "paid", correlate=(Correlation("event.correlationid", None),))
    world = World(runnable(Wait("paid", of, span("1d"), END))).start()
    assert world.all[0].waits_set[0].key == wait_key(TENANT, "order.paid", [("event.correlationid", "c1")])


def test_a_missing_value_is_never_met() -> None:
    world = World(runnable(wait("paid", on_timeout="continue"))).start(**{"order.id": None})
    assert world.waits == {}
    assert world.at(DAY).status == "completed"


def test_looking_back_says_how_far() -> None:
    world = World(runnable(wait("paid", look_back_us=10 * MINUTE))).start()
    (opened,) = world.all[0].waits_set
    assert (opened.look_back_us, opened.since_us) == (10 * MINUTE, NOW - 10 * MINUTE)


def test_an_execution_does_not_meet_its_own_cause() -> None:
    world = World(runnable(wait("paid"))).start()
    own = MetEvent(CAUSE.event, CAUSE.source, NOW, "c1", {}, event_key(TENANT, CAUSE.source, CAUSE.event))
    assert meet(world._moment(), 0, own) is None


def test_an_event_counts_once_in_an_execution() -> None:
    world = World(runnable(wait("paid", 1), wait("seen"))).start()
    assert world.meet({"amount": 1}, 1)
    assert not world.meet({"amount": 1}, 1)
    assert world.meet({"amount": 1}, 2)


@pytest.mark.parametrize(("on_timeout", "issued"), [("continue", ["use"]), (2, ["remind", "use"]), ("fail", [])])
def test_a_deadline_continues_goes_elsewhere_or_fails(on_timeout: object, issued: list[str]) -> None:
    steps = (wait("paid", 1, on_timeout=on_timeout), act("use", params=USE), act("remind", 1))
    world = World(runnable(*steps)).start().at(DAY)
    assert world.issued == issued
    assert world.status == ("completed" if issued else "failed")
    assert "wait.timed_out paid" in world.history
    if not issued:
        assert world.details("failed")[0]["code"] == "timeout"


def test_a_wait_that_was_met_has_no_deadline_any_more() -> None:
    world = World(runnable(wait("paid", 1), delay("2d"))).start()
    world.meet({})
    assert [parked.kind for parked in world.timers.values()] == ["delay"]


def test_the_first_arm_tears_the_waits_of_the_others_down() -> None:
    steps = (
        Fork("race", (("paid", 1), ("silent", 2)), 3),
        wait("paid", 3),
        delay("1h", 3),
        Join("race", 2, 4, need=1, bind="race"),
        act("use", params={"who": "{{ race.winner }}"}),
    )
    met = World(runnable(*steps)).start()
    met.meet({})
    assert met.commands[0].data == {"who": "paid"}
    silent = World(runnable(*steps)).start().at(HOUR)
    assert silent.commands[0].data == {"who": "silent"}
    assert silent.waits == {}
    assert not silent.meet({})


def test_two_of_three_arms_are_enough() -> None:
    steps = (
        Fork("some", (("a", 1), ("b", 2), ("c", 3)), 4),
        delay("1h", 4),
        delay("2h", 4),
        delay("3h", 4),
        Join("some", 3, 5, need=2),
        act("use"),
    )
    world = World(runnable(*steps)).start().at(HOUR)
    assert world.issued == []
    assert world.at(2 * HOUR).issued == ["use"]
    assert world.status == "completed"


def test_an_arm_that_arrives_at_once_wins_before_the_others_begin() -> None:
    steps = (Fork("race", (("a", 1), ("b", 2)), 3), act("one", 3), act("two", 3), Join("race", 2, END, need=1))
    assert World(runnable(*steps)).start().issued == ["one"]


def test_a_fork_within_an_arm_is_torn_down_with_it() -> None:
    steps = (
        Fork("race", (("nest", 1), ("fast", 5)), 6),
        Fork("inner", (("a", 2), ("b", 3)), 4),
        wait("paid", 4),
        delay("9h", 4),
        Join("inner", 2, 6),
        delay("1h", 6),
        Join("race", 2, 7, need=1),
        act("use"),
    )
    world = World(runnable(*steps)).start()
    assert len(world.timers) == 3
    assert world.at(HOUR).status == "completed"
    assert world.issued == ["use"]


def test_stop_ends_a_wait() -> None:
    steps = (Fork("both", (("a", 1), ("b", 2)), 3), wait("paid", 3), Stop("stop", "enough"), Join("both", 2, END))
    world = World(runnable(*steps)).start()
    assert world.status == "completed"
    assert world.end is not None
    assert world.end.message == "enough"
