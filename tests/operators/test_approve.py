"""Approvals: who may decide, how many it takes, and what happens while nobody does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.expression.literals import print_timestamp
from schemas.expression.types import STRING, Type
from schemas.program import END, Approve, Deciders
from tests.operators.executions import DAY, HOUR, NOW, World, act, data, runnable, span

FORM = Type("record", fields=(("limit", Type("money", currency="GBP")), ("reason", Type("string", optional=True))))
USE = {
    "outcome": "{{ approval.outcome }}",
    "by": "{{ approval.by }}",
    "at": "{{ approval.at }}",
    "form": "{{ approval.form.limit }}",
}
MANAGER = Deciders(role=data("manager"))


def _flow(**more: Any) -> World:
    by = more.pop("by", MANAGER)
    step = Approve("ask", data("Order {{ order.id }}?"), by, span("3d"), 1, bind="approval", **more)
    return World(runnable(step, act("use", params=USE))).start()


def test_it_asks_and_waits_and_tells_an_internal_event() -> None:
    world = _flow(show=data({"id": "{{ order.id }}"}))
    assert world.status == "waiting"
    (said,) = world.all[0].events
    assert (said.type, said.topic, said.internal) == ("approval.requested", "approvals.events", True)
    about = said.data["approval"]
    assert (about["title"], about["roles"], about["step"]) == ("Order A1?", ["manager"], "ask")
    assert about["until"] == print_timestamp(NOW + 3 * DAY)
    assert about["show"] == {"id": "A1"}
    assert world.history == ["started", "approval.requested ask"]


def test_one_of_the_role_decides() -> None:
    world = _flow().at(HOUR)
    world.decide("ask", "ann", roles=["manager"])
    assert world.status == "completed"
    assert world.commands[0].data == {"outcome": "approved", "by": "ann", "at": NOW + HOUR, "form": None}
    assert [one.type for one in world.all[-1].events] == ["approval.decided"]


def test_history_keeps_what_each_of_several_filled_in() -> None:
    world = _flow(need=2, form=FORM)
    world.decide("ask", "ann", roles=["manager"], form={"limit": "5 GBP"})
    world.decide("ask", "bob", roles=["manager"], form={"limit": "6 GBP", "reason": "known"})
    assert [one["form"] for one in world.details("decided")] == [{"limit": "5 GBP"}, {"limit": "6 GBP", "reason": "known"}]


def test_others_are_refused_and_nothing_changes() -> None:
    world = _flow(excluded=data(["{{ order.by }}"]))
    before = world.state
    world.decide("ask", "eve", roles=["clerk"])
    world.decide("ask", "bob", roles=["manager"])
    world.decide("elsewhere", "ann", roles=["manager"])
    world.decide("ask", "ann", roles=["manager"], refused="forged")
    assert [one["why"] for one in world.details("refused")] == ["not_allowed", "not_allowed", "not_open", "forged"]
    assert world.state == before
    assert world.history[-1] == "approval.refused ask"


def test_it_may_take_two_different_people() -> None:
    world = _flow(need=2)
    world.decide("ask", "ann", roles=["manager"])
    assert world.status == "waiting"
    world.decide("ask", "ann", roles=["manager"])
    assert world.details("refused")[0]["why"] == "decided_already"
    world.decide("ask", "eve", roles=["manager"])
    assert world.commands[0].data["by"] == "eve"
    assert world.history.count("approval.decided ask") == 2


def test_one_rejection_rejects() -> None:
    world = _flow(need=2)
    world.decide("ask", "ann", roles=["manager"])
    world.decide("ask", "eve", "rejected", roles=["manager"])
    assert world.commands[0].data["outcome"] == "rejected"


def test_people_are_named_by_data() -> None:
    world = _flow(by=Deciders(people=data(["{{ order.by }}", "ann"])))
    world.decide("ask", "eve")
    world.decide("ask", "bob")
    assert world.commands[0].data["by"] == "bob"


def test_the_form_must_fit_its_type() -> None:
    world = _flow(form=FORM)
    for form in (None, {}, {"limit": 5}, {"limit": "5 EUR"}, {"limit": "5 GBP", "reason": 7}, {"limit": "5 GBP", "reasn": "x"}):
        world.decide("ask", "ann", roles=["manager"], form=form)
    assert all(one["why"].startswith("bad_form") for one in world.details("refused"))
    assert len(world.details("refused")) == 6
    assert (
        world.details("refused")[5]["why"]
        == "bad_form: reasn: the form asks for limit, reason; write one of these or leave it out"
    )
    world.decide("ask", "ann", roles=["manager"], form={"limit": "12.50 GBP"})
    assert world.commands[0].data["form"] == Decimal("12.50")


def test_a_rejection_needs_no_form() -> None:
    world = _flow(form=FORM)
    world.decide("ask", "ann", "rejected", roles=["manager"])
    assert world.commands[0].data["outcome"] == "rejected"


def test_it_reminds_and_escalates_while_nobody_decides() -> None:
    world = _flow(remind_us=(4 * HOUR, DAY), escalate_us=2 * DAY, escalate_to=Deciders(role=data("cfo")))
    world.at(4 * HOUR)
    assert world.history[-1] == "approval.reminded ask"
    world.at(2 * DAY)
    assert world.history[-2:] == ["approval.reminded ask", "approval.escalated ask"]
    assert [one.type for one in world.all[-1].events] == ["approval.escalated"]
    world.decide("ask", "cat", roles=["cfo"])
    assert world.status == "completed"


def test_a_decision_takes_the_next_reminder_away() -> None:
    world = _flow(remind_us=(4 * HOUR,))
    assert sorted(parked.kind for parked in world.timers.values()) == ["deadline", "notice"]
    world.decide("ask", "ann", roles=["manager"])
    assert world.timers == {}


@pytest.mark.parametrize("outcome", ["approved", "rejected"])
def test_a_deadline_decides(outcome: Any) -> None:
    world = _flow(on_timeout=outcome).at(3 * DAY)
    assert world.commands[0].data == {"outcome": outcome, "by": None, "at": NOW + 3 * DAY, "form": None}
    assert "approval.timed_out ask" in world.history


def test_a_deadline_may_fail() -> None:
    world = _flow(on_timeout="fail", remind_us=(4 * HOUR,)).at(3 * DAY)
    assert world.status == "failed"
    assert world.details("failed")[0]["code"] == "timeout"


def test_a_cancel_takes_the_question_back() -> None:
    world = _flow(remind_us=(4 * HOUR,))
    world.order("cancel")
    assert world.status == "cancelled"
    assert "approval.cancelled ask" in world.history


def test_an_approval_of_no_type_keeps_its_form_out() -> None:
    step = Approve("ask", data("?"), MANAGER, span("3d"), END, bind="approval")
    world = World(runnable(step)).start()
    world.decide("ask", "ann", roles=["manager"], form={"anything": STRING.name})
    assert world.status == "completed"
