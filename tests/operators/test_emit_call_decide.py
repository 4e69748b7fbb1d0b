"""Events of ours, called flows, decision tables, policies."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import pytest

from operators.execution.run import Run
from schemas.effects import Abandoned, Ended
from schemas.expression.check import elaborate
from schemas.expression.parse import parse
from schemas.expression.scope import Scope
from schemas.expression.template import parse_template
from schemas.expression.tree import Compare, Field
from schemas.expression.types import BOOL, DECIMAL, STRING, Type
from schemas.ids import action_id
from schemas.policy import Rule, TablePolicy
from schemas.program import END, Arm, Branch, Call, Compensation, Decide, Emit, EventTrigger, Fork, Join, Manual, Stop
from tests.operators.executions import CAUSE, HOUR, ID, NOW, World, act, asked, data, runnable, tree, wait

OUTPUT = Type("record", fields=(("invoice", STRING),))


def test_an_event_carries_its_causation() -> None:
    step = Emit("tell", "order.held", "orders.events", data({"order": {"id": "{{ order.id }}"}}), END, tree("order.id"))
    world = World(runnable(step)).start()
    (said,) = world.all[0].events
    assert (said.type, said.topic, said.subject, said.source) == ("order.held", "orders.events", "A1", "/flows/f")
    assert (said.id, said.time_us, said.data) == (action_id(ID, "tell", 0).hex(), NOW, {"order": {"id": "A1"}})
    assert (said.correlationid, said.causationid, said.hops, said.internal) == ("c1", CAUSE.event, 1, False)


def test_an_event_without_its_key_fails() -> None:
    step = Emit("tell", "order.held", "orders.events", data({}), END, tree("order.id"))
    assert World(runnable(step)).start(**{"order.id": None}).details("failed")[0]["code"] == "missing_value"


def _call(**more: Any) -> Call:
    return Call("child", "invoicing", "v9", data({"order": "{{ order.id }}"}), 1, **more)


def test_a_call_waits_for_the_end_and_binds_the_output() -> None:
    world = World(runnable(_call(result=OUTPUT), act("use", params={"id": "{{ child.invoice }}"}))).start()
    (called,) = world.all[0].calls
    assert (called.flow, called.version, called.inputs, called.awaited) == ("invoicing", "v9", {"order": "A1"}, True)
    assert world.ended(called.token, Ended("completed", {"invoice": "I-1"}))
    assert world.commands[0].data == {"id": "I-1"}
    assert world.status == "completed"


def test_a_call_that_is_not_awaited_goes_on() -> None:
    world = World(runnable(_call(awaited=False), act("use"))).start()
    assert world.status == "completed"
    assert not world.all[0].calls[0].awaited
    (called,) = [one for one in world.all[0].transitions if one.kind == "called"]
    assert called.detail == {"flow": called.detail["flow"], "occurrence": 0, "awaited": False}  # else it seems to wait for ever


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (Ended("failed", None, "out_of_stock", "none left"), "out_of_stock"),
        (Ended("failed"), "rejected"),
        (Ended("cancelled", None, "cancelled"), "cancelled"),
        (Ended("completed", {"invoice": 5}), "invalid_result"),
    ],
)
def test_a_call_that_does_not_end_well_is_an_error(ended: Ended, code: str) -> None:
    world = World(runnable(_call(result=OUTPUT), act("use"))).start()
    world.ended(world.all[0].calls[0].token, ended)
    assert world.details("failed")[0]["code"] == code


def test_a_call_that_takes_too_long_is_abandoned() -> None:
    world = World(runnable(_call(timeout_us=HOUR, on_error="continue"), wait("paid"))).start().at(HOUR)
    token = world.all[0].calls[0].token
    assert world.all[-1].abandoned == (Abandoned(token, "child", 0),)
    assert world.ended(token, Ended("cancelled"))
    assert world.status == "waiting"


def test_closing_waits_for_the_end_of_a_called_flow_and_undoes_it() -> None:
    undo = Compensation("void", data({"id": "{{ child.invoice }}"}))
    steps = (
        Fork("both", (("a", 1), ("b", 2)), 3),
        Call("child", "invoicing", "v9", data({}), 3, compensate=undo),
        asked("stock", 3),
        Join("both", 2, END),
    )
    world = World(runnable(*steps)).start()
    token = world.all[0].calls[0].token
    world.answer("stock", None, "failed")
    assert (world.status, world.all[-1].abandoned) == ("closing", (Abandoned(token, "child", 0),))
    world.ended(token, Ended("completed", {"invoice": "I-1"}))
    assert world.commands[-1].data == {"id": "I-1"}


def test_a_call_torn_down_by_the_input_that_made_it_never_begins() -> None:
    steps = (
        Fork("race", (("a", 1), ("b", 2)), 3),
        Call("child", "invoicing", "v9", data({}), 3),
        act("use", 3),
        Join("race", 2, END, need=1),
    )
    world = World(runnable(*steps)).start()
    assert world.all[0].calls == ()
    assert world.status == "completed"


def test_the_output_is_what_the_end_says() -> None:
    world = World(runnable(act("use"), output=data({"order": "{{ order.id }}"}))).start()
    assert world.end == Ended("completed", {"order": "A1"})
    assert world.history[-2:] == ["output.completed", "ended"]
    assert world.details("completed") == [{"order": "A1"}]


@pytest.mark.parametrize("compensate", [False, True])
def test_a_stop_gives_the_output_as_it_is_then(compensate: bool) -> None:
    stop = Stop("small", "too_small", compensate=compensate)
    world = World(runnable(stop, output=data({"order": "{{ order.id }}", "paid": "{{ paid }}"}))).start()
    assert world.end == Ended("completed", {"order": "A1", "paid": None}, "", "too_small")


@pytest.mark.parametrize("compensate", [False, True])
def test_a_stop_whose_output_has_no_value_fails(compensate: bool) -> None:
    stop = Stop("small", "too_small", compensate=compensate)
    world = World(runnable(stop, output=data({"text": "of {{ order.id }}"}))).start(**{"order.id": None})
    assert world.end is not None
    assert (world.end.status, world.end.code, world.end.output) == ("failed", "missing_value", None)


INPUTS = Type("record", fields=(("total", Type("money", currency="GBP")), ("band", Type("one_of", options=("low", "high")))))
OUTPUTS = Type("record", fields=(("route", STRING), ("limit", Type("money", currency="GBP"))))
SCOPE = Scope(data=None, bindings=dict(INPUTS.fields))


def _rule(when: str, route: str) -> Rule:
    found = elaborate(parse(when), SCOPE, BOOL)
    assert found.ok, found.findings
    return Rule(found.tree, parse_template({"route": route, "limit": "5 GBP"}))


def _table(hit: Any, *rules: Rule, otherwise: str | None = None, version: str = "t1") -> TablePolicy:
    then = None if otherwise is None else parse_template({"route": otherwise, "limit": "0 GBP"})
    return TablePolicy("route", f"{hit}{version}{otherwise}", INPUTS, OUTPUTS, hit, rules, then)


RULES = (_rule('band == "high"', "refuse"), _rule("total <= 250 GBP", "auto"))
DECIDE = Decide("ask", "refund_route", data({"total": "{{ paid }}", "band": "{{ seen }}"}), 1, "route")


def _decided(table: TablePolicy, total: Any, band: Any) -> World:
    policies = {"policies.refund_route": table, "policies": {"refund_route": table.version}}
    flow = runnable(DECIDE, act("use", params={"route": "{{ route }}"}), policies=("refund_route",))
    return World(flow, policies, paid=total, seen=band).start()


def test_a_workspace_that_hears_of_policies_is_gone_at_once() -> None:
    """The engine's collector rarely runs: what holds itself would fill the memory."""
    gc.collect()
    gc.disable()
    try:
        _decided(_table("first", *RULES), "10 GBP", "low")
        left = [one for one in gc.get_objects() if isinstance(one, Run)]
    finally:
        gc.enable()
    assert left == []


@pytest.mark.parametrize(
    ("total", "band", "route"),
    [("10 GBP", "high", "refuse"), ("250 GBP", "low", "auto"), ("251 GBP", "low", "person"), (None, None, "person")],
)
def test_the_first_rule_that_holds_answers(total: Any, band: Any, route: str) -> None:
    world = _decided(_table("first", *RULES, otherwise="person"), total, band)
    assert world.commands[0].data["route"]["route"] == route
    assert "decide.completed ask" in world.history


def test_the_answer_has_its_types_and_history_the_version() -> None:
    world = _decided(_table("first", *RULES), "10 GBP", "low")
    assert world.commands[0].data["route"] == {"route": "auto", "limit": Decimal(5)}
    said = world.details("completed")[0]
    assert (said["version"], said["rules"]) == ("firstt1None", [1])
    assert world.details("used") == [{"refund_route": "firstt1None"}]


def test_collect_gives_all_that_hold() -> None:
    world = _decided(_table("collect", *RULES), "10 GBP", "high")
    assert [one["route"] for one in world.commands[0].data["route"]] == ["refuse", "auto"]
    assert _decided(_table("collect", *RULES), "999 GBP", "low").commands[0].data["route"] == []
    other = _decided(_table("collect", *RULES, otherwise="person"), "999 GBP", "low")
    assert [one["route"] for one in other.commands[0].data["route"]] == ["person"]


@pytest.mark.parametrize(("total", "code"), [("999 GBP", "missing_value"), ("5 EUR", "invalid_result")])
def test_no_answer_is_an_error(total: str, code: str) -> None:
    assert _decided(_table("unique", *RULES), total, "low").details("failed")[0]["code"] == code


def test_a_table_that_is_gone_is_an_error() -> None:
    world = World(runnable(DECIDE, act("use"))).start()
    assert world.details("failed")[0]["code"] == "missing_value"


LIMIT = Field("policies.limit", (), DECIMAL)
OVER = Compare(">", Field("order.total", (), DECIMAL), LIMIT)


def _at(version: str) -> dict[str, Any]:
    return {"policies.limit": Decimal(version[1:]), "policies": {"limit": version, "other": "o1"}}


def _say(name: str, following: int) -> Emit:
    """Make an event whose key reads the policy."""
    return Emit(name, "order.held", "orders.events", data({}), following, LIMIT)


def test_a_policy_is_noted_where_it_is_read_in_the_version_of_that_moment_and_not_stored() -> None:
    world = World(runnable(wait("paid", 1), _say("say", 2), wait("seen", 3), _say("again", END), policies=("limit",)), _at("p1"))
    assert world.start().details("used") == []  # what lies ahead may be another one by then
    assert world.state is not None
    assert not any(key.startswith("policies") for key in world.state.env)
    world.policies = _at("p2")
    world.meet({}, 1)
    assert world.details("used") == [{"limit": "p2"}]
    world.policies = _at("p3")
    world.meet({}, 2)
    assert world.details("used") == [{"limit": "p2"}, {"limit": "p3"}]
    kinds = [one.kind for one in world.all[-1].transitions]
    assert kinds.index("used") < kinds.index("emitted")


def test_a_policy_that_has_not_changed_is_noted_once() -> None:
    world = World(runnable(_say("say", 1), wait("paid", 2), _say("again", END), policies=("limit",)), _at("p1")).start()
    world.meet({}, 1)
    assert [one.subject for advanced in world.all for one in advanced.events] == ["1", "1"]
    assert world.details("used") == [{"limit": "p1"}]


def test_a_condition_that_is_never_reached_uses_nothing() -> None:
    arms = (Arm(tree('order.id == "A1"'), 1), Arm(OVER, 2))
    world = World(runnable(Branch("choose", arms, END), act("one"), act("two"), policies=("limit",)), _at("p1")).start()
    assert world.status == "completed"
    assert world.details("used") == []


def test_what_the_trigger_asked_is_noted_at_the_start_and_by_hand_nothing() -> None:
    triggers = (EventTrigger("order.placed", OVER, "placed"), Manual((), None, "hand"))
    flow = runnable(act("one"), policies=("limit", "other"), triggers=triggers)
    assert World(flow, _at("p1")).start(**{"trigger.name": "placed"}).details("used") == [{"limit": "p1"}]
    assert World(flow, _at("p1")).start(**{"trigger.name": "hand"}).details("used") == []
