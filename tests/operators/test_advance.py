"""The execution core on programs written by hand: what each step does, and what it leaves behind."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from operators.advance.advance import Advanced, Moment, Runnable, fire, start
from operators.execution.execution import Cause, Parked, pack, unpack
from operators.steps.steps import make_runnable
from schemas.errors import StateTooNew
from schemas.expression.template import Record, Text, Value, Whole
from schemas.expression.tree import Compare, Constant, Field
from schemas.expression.types import DURATION, FLOAT, STRING, TIMESTAMP
from schemas.program import END, Act, Arm, Branch, Delay, EventTrigger, Fork, Join, Program, Set, Step, Stop

HOUR = 3_600_000_000
NOW = 1_767_225_600_000_000
CAUSE = Cause("e1", "/crm", NOW, "c1", 0)
ID = bytes(range(16))
NAME = Field("deal.name", (), STRING)
VALUE = Field("deal.value", (), FLOAT)


def _program(*steps: Step, timeout_us: int = 400 * 24 * HOUR) -> Runnable:
    reads = (("deal.name", STRING), ("deal.value", FLOAT))
    return make_runnable(Program("f", "v1", (), (EventTrigger("deal.closed"),), reads, steps, timeout_us=timeout_us))


def _act(name: str, following: int, **more: Any) -> Act:
    return Act(name, name, Record((("name", Whole(NAME)),)), following, **more)


def _delay(us: int, following: int, **more: Any) -> Delay:
    return Delay("wait", Constant(us, DURATION), following, **more)


def _start(runnable: Runnable, **env: Any) -> Advanced:
    values = {"deal.name": "Ann", "deal.value": 5.0} | {key.replace("_", "."): value for key, value in env.items()}
    return start(runnable, "acme", ID, CAUSE, values, NOW)


def _fire(runnable: Runnable, before: Advanced, token: int, now_us: int) -> Advanced:
    assert before.state is not None
    after = fire(Moment(runnable, "acme", ID, unpack(pack(before.state)), now_us), token)
    assert after is not None
    return after


def _kinds(advanced: Advanced) -> list[tuple[str, str]]:
    return [(one.kind, one.step) for one in advanced.transitions]


def test_a_flow_without_waits_ends_in_one_go() -> None:
    done = _start(_program(_act("greet", 1), _act("bill", END)))
    assert [command.action().type for command in done.commands] == ["greet", "bill"]
    assert (done.state, done.status) == (None, "completed")
    assert _kinds(done) == [("started", ""), ("issued", "greet"), ("issued", "bill"), ("ended", "")]


def test_a_command_carries_its_envelope() -> None:
    action = _start(_program(_act("greet", END))).commands[0].action()
    assert (action.tenant, action.flow, action.version, action.step) == ("acme", "f", "v1", "greet")
    assert (action.correlationid, action.causationid, action.hops, action.subject) == ("c1", "e1", 1, ID.hex())
    assert action.time == "2026-01-01T00:00:00Z"
    assert action.idempotencykey == action.id
    assert action.data == {"name": "Ann"}


def test_arms_go_in_listed_order_and_the_join_waits_for_all() -> None:
    runnable = _program(
        Fork("both", (("slow", 1), ("fast", 3)), 4),
        _delay(HOUR, 2),
        _act("late", 4),
        _act("now", 4),
        Join("both", 2, 5),
        _act("after", END),
    )
    first = _start(runnable)
    assert [one.type for one in first.commands] == ["now"]
    assert first.status == "waiting"
    parked = first.timers_set[0]
    assert parked.due_us == NOW + HOUR
    second = _fire(runnable, first, parked.token, NOW + HOUR)
    assert [one.type for one in second.commands] == ["late", "after"]
    assert second.timers_gone == [parked]
    assert second.status == "completed"


def test_stop_ends_every_arm_and_takes_its_timers_back() -> None:
    done = _start(
        _program(Fork("both", (("waits", 1), ("stops", 2)), 3), _delay(HOUR, 3), Stop("stop", "enough"), Join("both", 2, END))
    )
    assert done.status == "completed"
    assert done.timers_set == done.timers_gone
    assert ("stopped", "stop") in _kinds(done)


@pytest.mark.parametrize(("value", "expected"), [(20.0, "big"), (2.0, "small"), (None, "small")])
def test_a_branch_takes_the_first_arm_that_holds_and_missing_holds_nothing(value: float | None, expected: str) -> None:
    arm = Arm(Compare(">=", VALUE, Constant(10.0, FLOAT)), 1)
    runnable = _program(Branch("size", (arm,), 2), _act("big", END), _act("small", END))
    assert [one.type for one in _start(runnable, deal_value=value).commands] == [expected]


def test_what_set_binds_keeps_its_type_over_a_wait() -> None:
    price = Field("deal.value", (), FLOAT)
    bind = Set("set", (("price", Whole(price)), ("digits", Value('"0.10"'))), 1)
    runnable = _program(bind, _delay(HOUR, 2), Act("a", "a", Record((("p", Whole(Field("price", (), FLOAT))),)), END))
    first = _start(runnable, deal_value=Decimal("0.10"))
    second = _fire(runnable, first, 0, NOW + HOUR)
    assert second.commands[0].body.data == {"p": Decimal("0.10")}


def test_a_large_value_that_set_binds_is_kept_whole_and_noted_by_its_size() -> None:
    runnable = _program(Set("set", (("body", Whole(Field("deal.value", (), FLOAT))),), 1), _delay(HOUR, 2), Stop("s", "end"))
    first = _start(runnable, deal_value="x" * 100_000)
    assert first.transitions[1].detail == {"body": {"size": 100_002}}
    assert "x" * 100_000 in str(first.state)


def test_until_a_time_that_has_passed_goes_on_at_once() -> None:
    runnable = _program(Delay("until", Constant(NOW - 1, TIMESTAMP), 1, until=True), _act("a", END))
    assert _start(runnable).status == "completed"


def test_a_missing_value_in_text_fails_the_execution_and_says_where() -> None:
    step = Act("mail", "mail", Record((("text", Text(("Dear ", NAME))),)), END)
    failed = _start(_program(step), deal_name=None)
    assert failed.status == "failed"
    detail = next(one.detail for one in failed.transitions if one.kind == "failed")
    assert detail["code"] == "missing_value"
    assert "step 'mail'" in detail["message"]
    assert failed.commands == []


def test_on_error_continue_goes_on_behind_the_failed_step() -> None:
    step = Act("mail", "mail", Record((("text", Text(("Dear ", NAME))),)), 1, on_error="continue")
    done = _start(_program(step, _act("next", END)), deal_name=None)
    assert done.status == "completed"
    assert [one.type for one in done.commands] == ["next"]
    assert ("failed", "mail") in _kinds(done)


def test_the_execution_timeout_ends_a_longer_wait() -> None:
    runnable = _program(_delay(10 * HOUR, 1), _act("never", END), timeout_us=HOUR)
    first = _start(runnable)
    assert first.timers_set[0].due_us == NOW + HOUR
    second = _fire(runnable, first, 0, NOW + HOUR)
    assert (second.status, second.commands) == ("failed", [])
    assert next(one.detail for one in second.transitions if one.kind == "failed")["code"] == "timeout"


def test_a_timer_that_was_taken_back_does_nothing() -> None:
    runnable = _program(_delay(HOUR, END))
    first = _start(runnable)
    assert first.state is not None
    assert fire(Moment(runnable, "acme", ID, first.state, NOW + HOUR), 9) is None


def test_the_state_that_is_given_is_not_changed() -> None:
    runnable = _program(_delay(HOUR, 1), _delay(HOUR, 2), _act("a", END))
    first = _start(runnable)
    assert first.state is not None
    before = pack(first.state)
    _fire(runnable, first, 0, NOW + HOUR)
    fire(Moment(runnable, "acme", ID, first.state, NOW + HOUR), 0)
    assert pack(first.state) == before


def test_replaying_gives_the_same_effects() -> None:
    runnable = _program(Fork("both", (("a", 1), ("b", 2)), 3), _act("one", 3), _delay(HOUR, 3), Join("both", 2, END))
    assert _start(runnable) == _start(runnable)


def test_a_state_of_a_later_version_is_refused_by_name() -> None:
    first = _start(_program(_delay(HOUR, END)))
    assert first.state is not None
    with pytest.raises(StateTooNew, match="version 99"):
        unpack(bytes([99]) + pack(first.state)[1:])


def test_a_state_written_today_is_read_for_ever() -> None:
    stored = bytes.fromhex(STATE_3)
    state = unpack(stored)
    assert state.cause == CAUSE
    assert state.env == {"deal.name": "Ann", "price": Decimal("0.10")}
    assert state.parked == (Parked(0, 1, NOW + HOUR),)


STATE_3 = (
    "039895a26531a42f63726dcf0006474846204000a2633100cf000647484620400082a96465616c2e6e616d65a3416e6ea57072696365d6"
    "01302e313091960001cf000647491cb3e400a564656c617900c081a567726565740102c090"
)
