"""Starts that a limit keeps waiting: seen from the first moment, begun once, and never waiting for ever."""

from __future__ import annotations

from operators.advance.advance import Advanced, Moment, admit, command, enqueue, fire, move, retract
from operators.advance.hidden import RETRACT_UNTIL
from operators.execution.execution import Cause, Parked, Queueing, pack, unpack
from operators.steps.steps import make_runnable
from operators.turn.emit import waits_of
from operators.turn.live import Live
from schemas.effects import MetEvent
from schemas.expression.template import Record, Whole
from schemas.expression.tree import Field
from schemas.expression.types import STRING
from schemas.program import END, Act, EventTrigger, Program
from schemas.records import OperatorCommand

HOUR = 3_600_000_000
NOW = 1_767_225_600_000_000
ID = bytes(range(16))
CAUSE = Cause("e1", "/crm", NOW, "c1", 0)
GREET = Act("greet", "greet", Record((("name", Whole(Field("deal.name", (), STRING))),)), END)
RUNNABLE = make_runnable(
    Program("f", "v1", (), (EventTrigger("deal.closed"),), (("deal.name", STRING),), (GREET,), timeout_us=HOUR)
)


def moment(before: Advanced | None, now_us: int) -> Moment:
    state = None if before is None else before.state
    return Moment(RUNNABLE, "acme", ID, None if state is None else unpack(pack(state)), now_us)


def queued(due_us: int | None = None) -> Advanced:
    return enqueue(moment(None, NOW), CAUSE, {"deal.name": "Ann"}, Queueing(7, 1, "concurrency", due_us))


def kinds(advanced: Advanced) -> list[tuple[str, str]]:
    return [(one.verb, one.kind) for one in advanced.transitions]


def test_it_waits_in_sight_and_begins_with_what_it_came_with() -> None:
    waits = queued()
    assert (waits.status, kinds(waits), waits.commands) == ("waiting", [("limit", "entered")], [])
    assert [(one.kind, one.due_us) for one in waits.timers_set] == [("deadline", NOW + HOUR)]
    done = admit(moment(waits, NOW + 5))
    assert [one.action().data for one in done.commands] == [{"name": "Ann"}]
    assert kinds(done) == [("", "started"), ("action", "issued"), ("", "ended")]
    assert [(one.kind, one.due_us) for one in done.timers_gone] == [("deadline", NOW + HOUR)]


def test_what_waits_for_a_time_has_a_timer_that_moves_with_it() -> None:
    waits = queued(NOW + 10)
    assert Parked(0, -1, NOW + 10) in waits.timers_set
    assert fire(moment(waits, NOW + 10), 0) is None, "whether it may begin, the admission point says"
    later = move(moment(waits, NOW + 10), Queueing(7, 1, "rate", NOW + 20))
    assert later.timers_gone == [Parked(0, -1, NOW + 10)]
    assert later.timers_set == [Parked(0, -1, NOW + 20)]
    assert later.transitions == []


def test_a_list_can_tell_what_it_waits_for_and_until_when() -> None:
    live = Live(0, 0, ID, "acme", RUNNABLE, NOW, CAUSE, queued(NOW + 10).state, "waiting", True)
    assert waits_of(live) == ("limit concurrency", NOW + HOUR)


def test_it_does_not_wait_for_ever() -> None:
    done = fire(moment(queued(), NOW + HOUR), 0)
    assert done is not None
    assert (done.status, done.state, done.ended.code if done.ended else "") == ("failed", None, "limit_exceeded")
    assert kinds(done) == [("limit", "failed"), ("", "ended")]


def test_an_operator_may_cancel_it_and_nothing_else() -> None:
    order = OperatorCommand(command="cancel", tenant="acme", execution=ID.hex(), by="ann", at=NOW)
    done = command(moment(queued(NOW + 10), NOW + 1), order)
    assert done is not None
    assert (done.status, done.commands) == ("cancelled", [])
    assert {one.due_us for one in done.timers_gone} == {NOW + 10, NOW + HOUR}
    retry = OperatorCommand(command="retry", tenant="acme", execution=ID.hex(), at=NOW)
    assert command(moment(queued(), NOW + 1), retry) is None


def doubtful() -> Advanced:
    """Give a start by a verdict that may be taken back for half an hour."""
    env = {"deal.name": "Ann", RETRACT_UNTIL: NOW + HOUR // 2}
    return enqueue(moment(None, NOW), CAUSE, env, Queueing(7, 1, "concurrency", None))


DISPROOF = MetEvent("e2", "/crm", NOW, "c1", {}, b"key", 0)


def test_a_verdict_is_taken_back_while_it_waits_to_begin() -> None:
    waits = doubtful()
    assert {(one.token, one.due_us) for one in waits.timers_set} == {(0, NOW + HOUR), (1, NOW + HOUR // 2)}
    done = retract(moment(waits, NOW + 1), DISPROOF)
    assert done is not None
    assert (done.status, done.state, kinds(done)) == ("cancelled", None, [("limit", "retracted"), ("", "ended")])
    assert {one.due_us for one in done.timers_gone} == {NOW + HOUR // 2, NOW + HOUR}


def test_a_verdict_is_taken_back_when_it_has_begun_after_all() -> None:
    begun = admit(moment(doubtful(), NOW + 5))
    assert begun.state is not None, "the command is sent; what disproves it may still come"
    done = retract(moment(begun, NOW + 6), DISPROOF)
    assert done is not None
    assert ("", "retracted") in kinds(done)


def test_what_cannot_be_taken_back_any_more_waits_on() -> None:
    waits = fire(moment(doubtful(), NOW + HOUR // 2), 1)
    assert waits is not None
    assert (waits.status, waits.transitions) == ("waiting", [])
    assert retract(moment(waits, NOW + HOUR // 2), DISPROOF) is None
    assert [one.action().data for one in admit(moment(waits, NOW + HOUR // 2)).commands] == [{"name": "Ann"}]


def test_nothing_looks_for_a_disproof_of_what_has_ended() -> None:
    order = OperatorCommand(command="cancel", tenant="acme", execution=ID.hex(), by="ann", at=NOW)
    done = command(moment(doubtful(), NOW + 1), order)
    assert done is not None
    assert {(one.token, one.due_us) for one in done.timers_gone} == {(0, NOW + HOUR), (1, NOW + HOUR // 2)}
