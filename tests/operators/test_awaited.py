"""Awaited actions: what their outcome does to the flow."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.expression.types import STRING, TIMESTAMP, Type
from schemas.program import Compensation
from tests.operators.executions import HOUR, NOW, World, act, asked, data, delay, runnable

RESULT = Type(
    "record",
    fields=(
        ("id", STRING),
        ("at", Type("timestamp", optional=True)),
        ("price", Type("money", optional=True, currency="GBP")),
        ("share", Type("decimal", optional=True)),
    ),
)
USE = {"id": "{{ stock.id }}"}


def _flow(**more: object) -> World:
    return World(runnable(asked("stock", 1, **more), act("use", params=USE)))


def test_the_flow_waits_for_the_outcome_and_binds_it() -> None:
    world = _flow().start()
    assert (world.status, world.issued) == ("waiting", ["stock"])
    assert world.commands[0].awaited
    assert [parked.kind for parked in world.timers.values()] == ["result"]
    assert world.answer("stock", {"id": "R-1"})
    assert world.status == "completed"
    assert world.commands[1].data == {"id": "R-1"}
    assert world.history == [
        "started",
        "action.issued stock",
        "action.answered stock",
        "action.completed stock",
        "action.issued use",
        "ended",
    ]


def test_a_result_is_read_by_its_type() -> None:
    world = _flow(result=RESULT).start()
    given = {"id": "R-1", "at": "2026-01-01T01:00:00+01:00", "price": "12.50 GBP", "share": 0.25, "more": [1]}
    world.answer("stock", given)
    bound = {"id": "R-1", "at": NOW, "price": Decimal("12.50"), "share": Decimal("0.25")}
    assert world.all[-1].env["stock"] == bound
    assert world.details("completed")[0] == bound | {"at": "2026-01-01T00:00:00Z", "price": "12.50 GBP"}, "as people read it"


@pytest.mark.parametrize("given", [None, {}, {"id": 7}, {"id": "R", "at": "tomorrow"}, {"id": "R", "price": "5 EUR"}, "R-1"])
def test_a_result_that_does_not_fit_is_the_error_invalid_result(given: object) -> None:
    world = _flow(result=RESULT).start()
    world.answer("stock", given)
    assert world.status == "failed"
    assert world.details("failed")[0]["code"] == "invalid_result"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ("failed", "out_of_stock", "out_of_stock"),
        ("failed", None, "rejected"),
        ("dead", None, "unavailable"),
        ("dead", "timeout", "timeout"),
        ("cancelled", None, "cancelled"),
        ("unknown", None, "unknown_outcome"),
    ],
)
def test_an_outcome_that_is_not_delivered_is_an_error(status: str, code: str | None, error: str) -> None:
    world = _flow().start()
    world.answer("stock", None, status, code=code)
    assert world.status == "failed"
    assert world.details("failed")[0]["code"] == error
    assert world.end is not None
    assert (world.end.status, world.end.code) == ("failed", error)


def test_a_step_that_takes_too_long_fails_and_its_command_is_cancelled() -> None:
    world = _flow(on_error="continue").start().at(HOUR)
    assert world.cancelled == ["stock"]
    assert world.issued == ["stock", "use"]
    assert world.commands[1].data == {"id": None}
    assert "action.timed_out stock" in world.history


def test_a_late_outcome_changes_nothing() -> None:
    world = World(runnable(asked("stock", 1, on_error="continue"), asked("other", 2), act("use", params=USE))).start()
    world.at(HOUR)
    assert world.answer("stock", {"id": "R-1"})
    assert world.status == "waiting"
    world.answer("other")
    assert world.commands[-1].data == {"id": None}


def test_an_outcome_that_nothing_waits_for_is_none() -> None:
    world = _flow().start()
    stranger = world.commands[0].__replace__(id="00") if hasattr(world.commands[0], "__replace__") else None
    assert stranger is None or not world.result(stranger)
    world.answer("stock", {"id": "R-1"})
    assert world.state is None


def test_on_error_steps_see_the_error_and_then_go_on() -> None:
    steps = (
        asked("stock", 2, handler=1),
        act("tell", 2, {"text": "{{ error.code }} {{ error.step }}: {{ error.message }}"}),
        act("use", params=USE),
    )
    world = World(runnable(*steps)).start()
    world.answer("stock", None, "failed", code="out_of_stock", error="none left")
    assert world.issued == ["stock", "tell", "use"]
    assert world.commands[1].data == {"text": "out_of_stock stock: none left after 1 attempt"}
    assert world.status == "completed"


def test_times_stay_times() -> None:
    world = World(runnable(asked("stock", 1, result=Type("record", fields=(("at", TIMESTAMP),))), act("use"))).start()
    world.answer("stock", {"at": "2026-01-01T00:00:00Z"})
    assert world.all[-1].env["stock"] == {"at": NOW}


def test_behind_an_outcome_that_came_after_the_time_of_the_execution_nothing_waits_for_a_time_that_has_passed() -> None:
    world = World(runnable(asked("stock", 1), delay("1h", 2), act("use"), timeout_us=HOUR)).start()
    world.now_us = NOW + 2 * HOUR  # under the event clock an awaited result has no deadline
    assert world.answer("stock", {"id": "R-1"})
    assert [due_us for due_us, _ in world.timers] == [NOW + 2 * HOUR]
    world.at(2 * HOUR)
    assert (world.status, world.details("failed")[-1]["code"]) == ("failed", "timeout")
    times = [one.at for advanced in world.all for one in advanced.transitions]
    assert times == sorted(times)


def test_the_history_says_why_a_closing_waits_when_a_late_outcome_cannot_be_read() -> None:
    world = _flow(result=RESULT, compensate=Compensation("release", data(USE))).start()
    world.at(9 * HOUR)
    assert (world.status, world.details("failed")[-1]["code"]) == ("closing", "timeout")
    assert world.answer("stock", None)
    assert (world.status, world.details("failed")[-1]["code"]) == ("closing", "invalid_result")
    assert world.order("resume", "stock", outcome="not_done")
    assert world.status == "failed"


def test_a_receiver_that_answers_nothing_is_told_apart_from_one_that_answers_wrongly() -> None:
    world = _flow(result=RESULT).start()
    world.answer("stock", None)
    said = world.details("failed")[0]["message"]
    assert said.startswith("step 'stock': nothing came back where {id: string")
    assert said.endswith("is wanted; let a connector that answers carry 'stock' out: millrace connectors set")
