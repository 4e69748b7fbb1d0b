"""Starts that a limit keeps waiting: seen from the first moment, begun once, and never waiting for ever."""

from __future__ import annotations

from operators.advance import Advanced, Moment, admit, command, enqueue, fire, move
from operators.emit import waits_of
from operators.execution import Cause, Parked, Queueing, pack, unpack
from operators.live import Live
from operators.steps import make_runnable
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
