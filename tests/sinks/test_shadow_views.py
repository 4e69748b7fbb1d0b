"""What versions in shadow would have done, as the views show it: apart from all that was done, and compared with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from schemas.records import History, Json, Muted, Said, Shadowed, Transition, encode
from tests.sinks.test_projection import Views
from tests.sinks.world import NOW_US, action

WHAT = "select execution, kind, step, live, shadow from shadow_differences order by execution, kind, step, live"


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    views = Views(tmp_path)
    yield views
    views.close()


def moment(kind: str, step: str = "", detail: Json = None) -> Transition:
    return Transition(NOW_US, kind, step, "action" if step else "", detail)  # type: ignore[arg-type]


WAY = (moment("started"), moment("issued", "tell"), moment("completed", "nap"))
END = moment("ended")


def shadow(views: Views, execution: str, status: str, *moments: Transition, **more: Json) -> None:
    history = History(
        tenant=more.pop("tenant", "acme"),
        execution=f"shadow-{execution}",
        flow="f",
        version="v2",
        event="e-1",
        namespace="shadow",
        status=status,  # type: ignore[arg-type]
        started=NOW_US,
        transitions=list(moments),
    )
    views.append("engine-0.db", "shadows", encode(Shadowed(beside=execution, history=history, **more)))


def sent(views: Views, name: str, execution: str, **data: Json) -> None:
    views.append("engine-0.db", "actions.file", encode(action(name, execution, step="tell", type="say", data=data)))


def muted(name: str, kind: str = "say", **data: Json) -> Muted:
    return Muted(name, "tell", kind, data)


def test_what_is_the_same_is_no_difference_and_what_is_on_its_way_is_not_told(views: Views) -> None:
    views.history("same", "completed", *WAY, END, started=NOW_US)
    sent(views, "a1", "same", n=1, words=["x"])
    shadow(views, "same", "waiting", *WAY[:2], muted=[muted("a1", n=1, words=["x"])])
    shadow(views, "same", "completed", *WAY[2:], END)
    views.history("live", "waiting", *WAY[:2], started=NOW_US)
    shadow(views, "live", "completed", *WAY, END)
    views.history("ended", "completed", *WAY, END, started=NOW_US)
    shadow(views, "ended", "waiting", *WAY[:1], muted=[muted("a9")])
    views.project()
    assert views.rows(WHAT) == []
    assert views.rows("select execution, status, shadow_status from shadow_executions order by execution") == [
        ["ended", "completed", "waiting"],
        ["live", "waiting", "completed"],
        ["same", "completed", "completed"],
    ]


def test_starts_ends_steps_and_actions_that_differ_are_rows(views: Views) -> None:
    views.history("both", "completed", *WAY, END, started=NOW_US, version="v1")
    for name in ("a1", "a2", "a3"):
        sent(views, name, "both", n=1)
    shadow(
        views,
        "both",
        "failed",
        *WAY[:2],
        moment("failed", "tell"),
        END,
        muted=[muted("a1", n=1), muted("a2", n=2), muted("a3", "shout", n=1), muted("a4", n=1)],
    )
    shadow(views, "new", "completed", *WAY, END, muted=[muted("b1")])
    views.history("old", "completed", *WAY, END, started=NOW_US)
    sent(views, "c1", "old", n=1)
    shadow(views, "old", "discarded", absent=True)
    views.project()
    found = [[json.loads(cell) if cell and cell[0] == "{" else cell for cell in row] for row in views.rows(WHAT)]
    assert found == [
        ["both", "action", "tell", {"action": "say", "with": {"n": 1}}, {"action": "say", "with": {"n": 2}}],
        ["both", "action", "tell", {"action": "say", "with": {"n": 1}}, {"action": "shout", "with": {"n": 1}}],
        ["both", "action", "tell", None, {"action": "say", "with": {"n": 1}}],
        ["both", "status", None, "completed", "failed"],
        ["both", "step", "nap", "completed", None],
        ["both", "step", "tell", "issued", "issued, failed"],
        ["new", "action", "tell", None, {"action": "say", "with": {}}],
        ["new", "start", None, None, "started"],
        ["old", "start", None, "started", None],
    ]
    (one,) = views.ask("select * from shadow_differences where kind = 'status'").records()
    told = {"tenant": "acme", "flow": "f", "trigger_event": "e-1", "version": "v1", "shadow_version": "v2"}
    assert {name: one[name] for name in told} == told
    views.history("gone", "completed", *WAY, END, started=NOW_US)
    sent(views, "d1", "gone", n=1)
    shadow(views, "gone", "completed", *WAY, END)
    views.project()
    assert views.rows(f"{WHAT.partition(' order')[0]} where execution = 'gone'") == [
        ["gone", "action", "tell", '{"action":"say","with":{"n":1}}', None]
    ]


def word(name: str, kind: Literal["event", "call"] = "event", about: str | None = None, **params: Json) -> Said:
    return Said(name, kind, "tell", "deal.told" if kind == "event" else "child", about, params)


def beside(views: Views, execution: str, *said: Said, tenant: str = "acme") -> None:
    views.append("engine-0.db", "shadows", encode(Shadowed(beside=execution, tenant=tenant, said=list(said))))


def test_what_is_emitted_and_called_is_compared_as_what_is_sent(views: Views) -> None:
    views.history("both", "completed", *WAY, END, started=NOW_US)
    beside(views, "both", word("e1", n=1), word("e2", n=1), word("e3", about="a"), word("c1", "call", "v1", n=1), word("e5"))
    said = [word("e1", n=1), word("e2", n=2), word("e3", about="b"), word("c1", "call", "v2", n=1), word("e4")]
    shadow(views, "both", "completed", *WAY, END, said=said)
    views.history("live", "waiting", *WAY, started=NOW_US)
    beside(views, "live", word("f1"))
    shadow(views, "live", "completed", *WAY, END)
    beside(views, "both", word("e1", n=7), tenant="zen")
    views.history("left", "completed", *WAY, END, started=NOW_US)
    beside(views, "left", word("g1"))
    shadow(views, "left", "discarded", absent=True)
    views.project()
    found = [[json.loads(cell) if cell and cell[0] == "{" else cell for cell in row] for row in views.rows(WHAT)]

    def event(about: str | None = None, **params: Json) -> Json:
        return {"event": "deal.told", "subject": about, "with": params}

    def call(version: str) -> Json:
        return {"call": "child", "version": version, "with": {"n": 1}}

    assert found == [
        ["both", "call", "tell", call("v1"), call("v2")],
        ["both", "event", "tell", event("a"), event("b")],
        ["both", "event", "tell", event(n=1), event(n=2)],
        ["both", "event", "tell", event(), None],
        ["both", "event", "tell", None, event()],
        ["left", "start", None, "started", None],
    ]


def test_a_shadow_that_began_after_all_has_started(views: Views) -> None:
    views.history("x", "completed", *WAY, END, started=NOW_US)
    shadow(views, "x", "discarded", absent=True)
    shadow(views, "x", "completed", *WAY, END)
    views.project()
    assert views.rows(WHAT) == []
    assert views.rows("select shadow_status from shadow_executions") == [["completed"]]


def test_no_row_of_a_shadow_stands_among_those_of_executions(views: Views) -> None:
    shadow(views, "x", "completed", *WAY, END, muted=[muted("a1")])
    shadow(views, "x", "completed", *WAY, END, tenant="zen")
    views.project()
    for view in ("executions", "steps", "actions", "history", "flow_stats", "approvals", "turns"):
        assert views.rows(f"select count(*) from {view}") == [[0]]
    assert views.rows("select tenant from shadow_executions", tenant="zen") == [["zen"]]
    assert views.rows("select count(*) from shadow_differences", tenant="zen") == [[1]]


def test_executions_of_two_tenants_with_one_id_are_compared_each_with_its_own(views: Views) -> None:
    views.history("x", "completed", *WAY, END, started=NOW_US)
    sent(views, "a1", "x", n=1)
    shadow(views, "x", "completed", *WAY, END, muted=[muted("a1", n=1)])
    views.history("x", "completed", *WAY, END, started=NOW_US, tenant="zen")
    views.append("engine-0.db", "actions.file", encode(action("z1", "x", step="tell", type="say", data={}, tenant="zen")))
    shadow(views, "x", "discarded", absent=True, tenant="zen")
    shadow(views, "x", "completed", *WAY, END, tenant="ann")
    views.project()
    asked = "select tenant, kind, live, shadow from shadow_differences order by tenant"
    assert views.rows(asked) == [["ann", "start", None, "started"], ["zen", "start", "started", None]]


def test_a_shadow_of_which_nothing_is_told_yet_is_dated_by_its_start(views: Views) -> None:
    views.history("x", "waiting", *WAY[:2], started=NOW_US)
    shadow(views, "x", "waiting")
    views.project()
    assert views.rows("select execution, started_at = happened_at from shadow_executions") == [["x", True]]
