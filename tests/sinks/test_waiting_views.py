"""What people wait for and are asked, as the views show it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.events import to_json
from schemas.internal import INTERNAL
from schemas.records import Json, Late, Result, Transition, encode
from tests.sinks.test_projection import Views
from tests.sinks.world import NOW_US, action

SECOND = 1_000_000


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    views = Views(tmp_path)
    yield views
    views.close()


def moment(at: int, kind: str, step: str, verb: str = "approval", **detail: Json) -> Transition:
    return Transition(NOW_US + at * SECOND, kind, step, verb, detail or None)  # type: ignore[arg-type]


def asked(at: int, step: str, occurrence: int = 0, **more: Json) -> Transition:
    said = {"title": "Ship?", "roles": ["cfo"], "people": [], "need": 2, "until": NOW_US + 99 * SECOND, **more}
    return moment(at, "requested", step, occurrence=occurrence, **said)


def test_an_approval_is_open_until_it_is_decided_and_says_by_whom(views: Views) -> None:
    views.history("x1", "waiting", asked(0, "ask"), waiting_on="ask", wait_until=NOW_US + 99 * SECOND, started=NOW_US)
    views.project()
    (row,) = views.ask("select * from approvals").records()
    assert row == {
        "tenant": "acme",
        "execution": "x1",
        "flow": "f",
        "step": "ask",
        "occurrence": 0,
        "title": "Ship?",
        "status": "open",
        "requested_at": "2026-05-28T20:26:40Z",
        "until": "2026-05-28T20:28:19Z",
        "roles": ["cfo"],
        "people": [],
        "need": 2,
        "decided_by": None,
        "decided_at": None,
        "refused": 0,
        "show": None,
    }
    assert views.rows("select step, kind, outcome, ended_at from steps") == [["ask", "approval", "waiting", None]]
    views.history(
        "x1",
        "completed",
        moment(1, "decided", "ask", occurrence=0, outcome="approved", by="ann"),
        moment(2, "refused", "ask", occurrence=0, outcome="approved", by="ann", why="decided_already"),
        moment(3, "escalated", "ask", occurrence=0, roles=["cfo", "ceo"], people=["bob"]),
        moment(4, "decided", "ask", occurrence=0, outcome="approved", by="bob"),
        moment(4, "completed", "ask", occurrence=0, outcome="approved", by="bob"),
        started=NOW_US,
    )
    views.project()
    assert views.rows("select status, decided_by, epoch_us(decided_at), refused, roles, people from approvals") == [
        ["approved", "ann, bob", NOW_US + 4 * SECOND, 1, ["cfo", "ceo"], ["bob"]]
    ]
    assert views.rows("select outcome, epoch_us(ended_at) from steps") == [["completed", NOW_US + 4 * SECOND]]


def test_passes_of_one_approval_are_rows_of_their_own(views: Views) -> None:
    views.history(
        "x1",
        "waiting",
        asked(0, "ask", 0),
        asked(0, "ask", 1),
        asked(0, "ask", 2),
        asked(0, "ask", 3),
        moment(1, "completed", "ask", occurrence=2, outcome="rejected", by="ann"),
        moment(2, "timed_out", "ask", occurrence=1),
        moment(2, "completed", "ask", occurrence=1, outcome="approved"),
        moment(3, "cancelled", "ask", occurrence=3),
        started=NOW_US,
    )
    views.project()
    assert views.rows("select occurrence, status from approvals order by all") == [
        [0, "open"],
        [1, "approved"],
        [2, "rejected"],
        [3, "cancelled"],
    ]


def test_an_execution_that_closes_asks_nobody_any_more_and_says_why_it_closes(views: Views) -> None:
    views.history("x1", "waiting", asked(0, "ask"), started=NOW_US)
    by_hand = (moment(1, "cancelled", "", "", by="ann"), moment(1, "closing", "", "", code="cancelled"))
    views.history("x1", "closing", *by_hand, started=NOW_US)
    undone = moment(2, "failed", "pay", "compensation", code="rejected", message="no")
    views.history("x1", "closing", undone, waiting_on="pay", started=NOW_US)
    views.history("x2", "waiting", moment(0, "failed", "pay", "", code="rejected", message="handled"), started=NOW_US)
    views.project()
    assert views.rows("select status from approvals") == [["cancelled"]]
    assert views.rows("select execution, status, error, waiting_on from executions order by 1") == [
        ["x1", "closing", "cancelled: by ann", "pay"],
        ["x2", "waiting", None, None],
    ]


def test_what_had_no_place_says_so(views: Views) -> None:
    ended = Transition(NOW_US, "ended", "", "", "cancelled")
    views.history("x1", "cancelled", moment(0, "cancelled", "", "", by="limit"), ended, started=NOW_US)
    views.history("x2", "cancelled", moment(0, "skipped", "", "limit", limit="overlap", slot=NOW_US), ended, started=NOW_US)
    views.project()
    assert views.rows("select execution, error from executions order by 1") == [
        ["x1", "cancelled: a later start took its place"],
        ["x2", "skipped: the run before it was still alive"],
    ]


def test_with_an_execution_end_the_steps_that_waited(views: Views) -> None:
    views.history("x1", "waiting", Transition(NOW_US, "entered", "note", "wait", NOW_US + 9 * SECOND), started=NOW_US)
    views.history("x2", "waiting", Transition(NOW_US, "entered", "note", "wait", NOW_US + 9 * SECOND), started=NOW_US)
    by_hand = moment(1, "cancelled", "", "", by="ann"), Transition(NOW_US + SECOND, "ended", "", "", "cancelled")
    views.history("x1", "cancelled", *by_hand, started=NOW_US)
    views.project()
    assert views.rows("select execution, outcome, epoch_us(ended_at) from steps order by 1") == [
        ["x1", "cancelled", NOW_US + SECOND],
        ["x2", "waiting", None],
    ]


def test_a_call_that_nobody_waits_for_does_not_wait(views: Views) -> None:
    for step, said in (("sent", {"awaited": False}), ("asked", {})):
        views.history("x1", "waiting", moment(0, "called", step, "call", flow="f", occurrence=0, **said), started=NOW_US)
    views.project()
    steps = "select step, outcome, ended_at is null from steps order by step"
    assert views.rows(steps) == [["asked", "waiting", True], ["sent", "called", False]]


def test_an_awaited_action_waits_for_its_answer_and_its_undoing_is_another_step(views: Views) -> None:
    issued = [Transition(NOW_US, "issued", name, "action", name) for name in ("sent", "asked")]
    views.history("x1", "waiting", *issued, waiting_on="asked", started=NOW_US)
    sent = action("sent", "x1", step="sent")
    views.append("engine-0.db", "actions.http", encode(sent), encode(action("asked", "x1", step="asked", awaited=True)))
    views.project()
    steps = "select step, kind, outcome, ended_at is null from steps order by started_at, step, kind"
    assert views.rows(steps) == [["asked", "action", "waiting", True], ["sent", "action", "issued", False]]
    views.history(
        "x1",
        "closing",
        moment(1, "answered", "asked", "action", status="delivered", attempts=1),
        moment(1, "completed", "asked", "action", id=7),
        moment(2, "refused", "asked", "operator", command="skip", why="done"),
        Transition(NOW_US + 3 * SECOND, "issued", "asked", "compensation", "undo"),
        started=NOW_US,
    )
    views.project()
    assert views.rows(steps) == [
        ["asked", "action", "completed", False],
        ["sent", "action", "issued", False],
        ["asked", "compensation", "waiting", True],
    ]


def test_the_step_that_failed_is_failed_while_the_execution_closes(views: Views) -> None:
    failed = moment(1, "failed", "pay", "", code="rejected", message="no funds")
    views.history("x1", "closing", failed, moment(1, "closing", "pay", "", code="rejected"), started=NOW_US)
    views.project()
    assert views.rows("select step, outcome, detail from steps") == [
        ["pay", "failed", {"code": "rejected", "message": "no funds"}]
    ]


def test_steps_have_the_order_in_which_they_were_come_to(views: Views) -> None:
    views.history("x1", "waiting", *(moment(0, "completed", name, "set") for name in ("b", "c", "a")), started=NOW_US)
    views.history("x1", "waiting", moment(1, "completed", "d", "set"), started=NOW_US)
    views.project()
    assert views.rows("select step from steps order by position") == [["b"], ["c"], ["a"], ["d"]]


def test_times_that_are_waited_for_are_times_to_people(views: Views) -> None:
    views.history(
        "x1",
        "waiting",
        Transition(NOW_US, "entered", "pause", "delay", NOW_US + SECOND + 250_000),
        Transition(NOW_US, "entered", "received", "wait", NOW_US + SECOND),
        Transition(NOW_US, "entered", "each", "for_each", 3),
        moment(0, "entered", "", "limit", limit="concurrency", until=None),
        asked(0, "ask"),
        started=NOW_US,
    )
    views.project()
    *details, asks = [row[0] for row in views.rows("select detail from history order by position")][1:]
    assert details == ["2026-05-28T20:26:41.250000Z", "2026-05-28T20:26:41Z", 3, {"limit": "concurrency", "until": None}]
    assert asks == {"title": "Ship?", "roles": ["cfo"], "people": [], "need": 2, "until": "2026-05-28T20:28:19Z", "occurrence": 0}
    assert views.rows("select epoch_us(until) from approvals") == [[NOW_US + 99 * SECOND]]


def test_what_each_turn_bound_and_where_it_left_the_execution_are_rows(views: Views) -> None:
    cause = ("e-1", "/shop", NOW_US, "c1", 0)
    of = {"cause": cause, "bound": {"order.id": "A1"}, "started": NOW_US}
    views.history("x1", "waiting", moment(0, "started", "", ""), waiting_on="pause", **of)
    views.history("x1", "waiting", moment(1, "met", "received", "wait"), bound={"received": {"amount": 5}}, waiting_on="ask")
    views.project()
    assert views.rows("select waiting_on, cause, bound from turns order by position") == [
        ["pause", list(cause), {"order.id": "A1"}],
        ["ask", None, {"received": {"amount": 5}}],
    ]
    assert views.rows("select count(*) from turns", tenant="zeta") == [[0]]


def test_an_action_that_failed_says_why(views: Views) -> None:
    fields: dict[str, Any] = {"flow": "f", "step": "s", "type": "t", "connector": "http", "tenant": "acme", "execution": "x1"}
    views.append("engine-0.db", "actions.http", encode(action("a1", "x1")))
    outcomes: list[tuple[Any, dict[str, Any]]] = [("failed", {"code": "rejected", "error": "no such order"}), ("delivered", {})]
    for status, why in outcomes:
        result = Result(action="a1", status=status, attempts=1, at=NOW_US, wall=NOW_US, **fields, **why)
        views.append("dispatcher-0.db", "results", encode(result))
        views.project()
        assert views.rows("select status, code, error from actions") == [[status, why.get("code"), why.get("error")]]


def test_a_cancelled_command_is_shown_as_such(views: Views) -> None:
    views.append("engine-0.db", "actions.http", encode(action("a1", "x1", awaited=True)))
    fields: dict[str, Any] = {"flow": "f", "step": "s", "type": "t", "connector": "http", "tenant": "acme", "execution": "x1"}
    result = Result(action="a1", status="cancelled", attempts=0, at=NOW_US, wall=NOW_US, code="cancelled", **fields)
    views.append("dispatcher-0.db", "results", encode(result))
    views.project()
    assert views.rows("select action, status, delivered_at, attempts from actions") == [["a1", "cancelled", None, 0]]


def test_late_events_are_rows(views: Views) -> None:
    late = Late(tenant="acme", flow="velocity", event="e1", time=NOW_US - SECOND, appended_at=NOW_US, key="C7")
    views.append("engine-0.db", "late", encode(late), b"{")
    views.project()
    assert views.rows("select tenant, flow, event, epoch_us(time), epoch_us(appended_at), key from late_events") == [
        ["acme", "velocity", "e1", NOW_US - SECOND, NOW_US, "C7"]
    ]
    assert views.rows("select topic, reason from dead_letters") == [["late", "wrong-schema"]]
    assert views.rows("select count(*) from late_events", tenant="zeta") == [[0]]


def test_events_that_the_engine_says_are_events(views: Views) -> None:
    contract = INTERNAL["flow.ended"]
    data = {"flow": "f", "version": "v", "status": "completed", "execution": "x1", "code": None, "output": {"n": 1}}
    event = {"id": "e1", "source": "/flows/f", "tenant": "acme", "time": NOW_US, "data": data}
    views.append("engine-0.db", contract.topic, to_json(contract, event))
    views.project()
    assert views.rows("select type, topic, data->>'$.status' from events") == [["flow.ended", "flows.events", "completed"]]


def test_the_history_of_an_execution_is_in_its_order_with_dotted_names(views: Views) -> None:
    views.history(
        "x1",
        "waiting",
        moment(0, "started", "", ""),
        moment(0, "used", "", "policy", limit="v1"),
        asked(0, "ask"),
        started=NOW_US,
    )
    over = (moment(5, "cancelled", "", "", by="ann"), moment(5, "cancelled", "ask", occurrence=0))
    views.history("x1", "cancelled", *over, moment(5, "ended", "", ""), started=NOW_US)
    views.project()
    rows = views.rows('select name, step, epoch_us("at") - epoch_us(min("at") over ()), detail from history order by position')
    assert [(name, step, at // SECOND) for name, step, at, _ in rows] == [
        ("started", "", 0),
        ("policy.used", "", 0),
        ("approval.requested", "ask", 0),
        ("cancelled", "", 5),
        ("approval.cancelled", "ask", 5),
        ("ended", "", 5),
    ]
    assert (rows[1][3], rows[-1][3]) == ({"limit": "v1"}, "cancelled")
    assert views.rows("select step from steps") == [["ask"]]
