"""The tables of programs with every step, by hand: where each goes on, where its errors go, which parts of events are read."""

from __future__ import annotations

from typing import Any

from flows.language.compile import compile_flow
from schemas.contracts import EventContract
from schemas.expression.fit import type_of
from schemas.expression.print import print_tree
from schemas.expression.template import Record, Value, Whole
from schemas.expression.type_text import parse_type
from schemas.expression.types import STRING, TIMESTAMP, Type
from schemas.flow.action_types import ActionType
from schemas.program import (
    END,
    NO_STEP,
    Act,
    Approve,
    Branch,
    EachEnd,
    Emit,
    ForEach,
    Fork,
    Join,
    Program,
    Set,
    Wait,
)

ORDER = EventContract(
    event="order.placed",
    topic="orders.events",
    data=parse_type({"order": {"id": "string", "total": "int", "tags": "list(string)", "email": "string?"}}),
)
PAID = EventContract(
    event="order.paid",
    topic="orders.events",
    data=parse_type({"order": {"id": "string", "total": "int", "notes": "list(string)"}, "till": "string?"}),
)
RESERVE = ActionType("reserve", parse_type({}), parse_type({"id": "string"}), ("out_of_stock",))
LATE = {"delay": "1h"}


def program(*steps: Any, **around: Any) -> Program:
    document = {"flow": "f", "trigger": {"event": "order.placed"}, "steps": list(steps), **around}
    return compile_flow(document, [ORDER, PAID], [RESERVE])


def names(of: Program) -> list[str]:
    return [step.name for step in of.steps]


def reserve(**more: Any) -> dict[str, Any]:
    return {"action": "reserve", "await": True, "timeout": "10m", **more}


def test_an_awaited_action_has_its_result_its_codes_and_its_undoing() -> None:
    undo = {"action": "reserve", "not_after": "2d", "retry": {"attempts": 2}}
    (act,) = program(reserve(**{"as": "stock"}, compensate=undo, on_unknown="look_up")).steps
    assert isinstance(act, Act)
    assert (act.name, act.awaited, act.timeout_us, act.not_after_us) == ("stock", True, 600_000_000, 600_000_000)
    assert (act.result, act.errors, act.on_unknown) == (parse_type({"id": "string"}), ("out_of_stock",), "look_up")
    assert act.compensate is not None
    assert (act.compensate.action, act.compensate.params, act.compensate.not_after_us) == ("reserve", Record(()), 172_800_000_000)
    assert act.compensate.retry.attempts == 2


def test_an_action_says_how_it_is_grouped_and_what_is_tried_again() -> None:
    (act,) = program(
        {
            "action": "reserve",
            "batch": {"key": "order.id", "max": 50, "wait": "30s"},
            "concurrency": {"key": "order.total", "max": 4},
            "retry": {"for": ["away", "timeout"]},
        }
    ).steps
    assert isinstance(act, Act)
    assert act.batch is not None
    assert (print_tree(act.batch.key), act.batch.most, act.batch.wait_us) == ("order.id", 50, 30_000_000)
    assert act.concurrency is not None
    assert (print_tree(act.concurrency.key), act.concurrency.most) == ("order.total", 4)
    assert act.retry.codes == ("away", "timeout")
    assert not act.awaited


def test_own_steps_for_errors_stand_behind_the_step_and_go_on_behind_it() -> None:
    found = program(reserve(**{"as": "one"}, on_error=[{"action": "reserve", "as": "told"}]), {**LATE, "as": "rest"})
    assert names(found) == ["one", "told", "rest"]
    one, told, rest = found.steps
    assert isinstance(one, Act)
    assert isinstance(told, Act)
    assert (one.next, one.handler, told.next, told.handler, rest.handler) == (2, 1, 2, NO_STEP, NO_STEP)  # type: ignore[union-attr]


def test_errors_inside_a_branch_go_to_its_steps_and_those_of_the_branch_further_out() -> None:
    inner = {
        "branch": [{"when": "order.total > 1", "then": [reserve(**{"as": "one"})]}],
        "else": "continue",
        "as": "inner",
        "on_error": [reserve(**{"as": "two"})],
    }
    outer = {
        "branch": [{"when": "order.total > 0", "then": [inner]}],
        "else": "continue",
        "as": "outer",
        "on_error": [reserve(**{"as": "three"})],
    }
    found = program(outer)
    assert names(found) == ["outer", "inner", "one", "two", "three"]
    handlers = [step.handler for step in found.steps]  # type: ignore[union-attr]
    assert handlers == [4, 3, 3, 4, NO_STEP]
    assert [found.steps[at].next for at in (2, 3, 4)] == [END, END, END]  # type: ignore[union-attr]


def test_a_branch_that_goes_on_after_errors_gives_them_a_step_to_land_on() -> None:
    found = program(
        {"branch": [{"when": "order.total > 1", "then": [reserve(**{"as": "one"})]}], "else": "continue", "on_error": "continue"}
    )
    branch, one, landing = found.steps
    assert isinstance(branch, Branch)
    assert isinstance(one, Act)
    assert landing == Set(name="branch_1_end", values=(), next=END)
    assert (branch.on_error, branch.otherwise, one.next, one.handler) == ("continue", 2, 2, 2)


def test_arms_of_a_race_and_items_of_a_loop_have_frames_that_errors_leave() -> None:
    found = program(
        {
            "parallel": {
                "fast": [
                    {"for_each": "order.tags", "max": 9, "each": "tag", "as": "each_tag", "steps": [reserve(**{"as": "one"})]}
                ],
                "slow": [LATE],
            },
            "join": "any",
            "as": "race",
            "on_error": [{"fail": "bad"}],
        },
        {**LATE, "as": "rest"},
    )
    assert names(found) == ["race", "each_tag", "one", "each_tag", "delay_1", "race", "fail_bad_1", "rest"]
    fork, loop, one, end, slow, join, fail, _ = found.steps
    assert isinstance(fork, Fork)
    assert (fork.arms, fork.join, fork.handler) == ((("fast", 1), ("slow", 4)), 5, 6)
    assert isinstance(loop, ForEach)
    assert (loop.body, loop.end, loop.next, loop.most, loop.bind, loop.handler) == (2, 3, 5, 9, "each_tag", NO_STEP)
    assert isinstance(one, Act)
    assert (one.next, one.handler) == (3, NO_STEP)
    assert isinstance(end, EachEnd)
    assert isinstance(join, Join)
    assert (join.arms, join.need, join.bind, join.next) == (2, 1, "race", 7)
    assert slow.next == 5  # type: ignore[union-attr]
    assert fail.handler == NO_STEP  # type: ignore[union-attr]


def test_a_join_of_all_binds_no_winner_and_a_number_is_kept() -> None:
    arms = {"a": [LATE], "b": [LATE], "c": [LATE]}
    for rule, need in (("all", 0), ("any", 1), (2, 2)):
        found = program({"parallel": arms, "join": rule, "as": "told"})
        (join,) = [step for step in found.steps if isinstance(step, Join)]
        assert (join.need, join.bind) == (need, "told" if need == 1 else "")


def test_a_wait_knows_its_key_its_parts_and_where_its_time_leads() -> None:
    found = program(
        {
            "wait": "order.paid",
            "as": "paid",
            "correlate": "paid.order.id == order.id and paid.event.tenant == event.tenant",
            "conditions": ["paid.order.total >= order.total"],
            "look_back": "10m",
            "timeout": "1d",
            "on_timeout": [{"action": "reserve", "as": "late"}],
        },
        {"action": "reserve", "as": "then", "idempotency": "{{ coalesce(paid.order.notes[0], paid.till, 'none') }}"},
    )
    assert names(found) == ["paid", "late", "then"]
    wait, late, _ = found.steps
    assert isinstance(wait, Wait)
    keys = [(one.key, None if one.value is None else print_tree(one.value)) for one in wait.await_.correlate]
    assert keys == [("event.tenant", "event.tenant"), ("order.id", "order.id")]
    assert wait.await_.reads == (
        (("order", "notes"), Type("list", item=STRING)),
        (("order", "total"), parse_type("int")),
        (("till",), parse_type("string?")),
    )
    assert (wait.on_timeout, wait.next, wait.look_back_us) == (1, 2, 600_000_000)
    assert isinstance(late, Act)
    assert late.next == 2
    assert [key for key, _ in found.reads] == ["event.tenant", "order.id", "order.total"]


def test_a_wait_without_a_name_is_found_by_its_correlation_id() -> None:
    (wait,) = program({"wait": "order.paid", "timeout": "1d", "on_timeout": "continue"}).steps
    assert isinstance(wait, Wait)
    assert [(one.key, one.value) for one in wait.await_.correlate] == [("event.correlationid", None)]
    assert (wait.await_.bind, wait.await_.reads, wait.on_timeout) == ("", (), "continue")


def test_a_whole_event_is_read_part_by_part() -> None:
    found = program(
        {"wait": "order.paid", "as": "paid", "timeout": "1d", "on_timeout": "fail"},
        {"set": {"whole": "{{ paid }}", "at": "{{ paid.event.time }}"}},
    )
    (wait,) = [step for step in found.steps if isinstance(step, Wait)]
    assert [way for way, _ in wait.await_.reads] == [("event", "time"), ("order",), ("till",)]
    assert dict(wait.await_.reads)[("event", "time")] == TIMESTAMP


def test_an_approval_carries_who_decides_and_when_they_are_reminded() -> None:
    found = program(
        {
            "approve": "Ship {{ order.id }}?",
            "as": "approval",
            "by": {"people": ["ann", "{{ order.id }}"]},
            "need": 2,
            "not": ["bob"],
            "show": {"total": "{{ order.total }}"},
            "form": {"limit": "money(GBP)"},
            "remind": ["1d", "4h"],
            "escalate": {"after": "2d", "to": {"role": "cfo"}},
            "timeout": "3d",
            "on_timeout": "rejected",
        },
        {
            "branch": [{"when": 'approval.outcome == "rejected"', "then": [{"stop": "no", "compensate": True}]}],
            "else": "continue",
        },
    )
    approve = found.steps[0]
    assert isinstance(approve, Approve)
    assert (approve.bind, approve.need, approve.remind_us, approve.escalate_us) == (
        "approval",
        2,
        (14_400_000_000, 86_400_000_000),
        172_800_000_000,
    )
    assert approve.form == parse_type({"limit": "money(GBP)"})
    assert approve.excluded == Value('["bob"]')
    assert approve.escalate_to is not None
    assert approve.escalate_to.role == Value('"cfo"')


def test_an_event_of_ours_goes_to_the_topic_of_its_contract() -> None:
    data = {"order": {"id": "{{ order.id }}", "total": 1, "notes": []}}
    (emit,) = program({"emit": "order.paid", "key": "order.id", "with": data}).steps
    assert isinstance(emit, Emit)
    assert (emit.topic, emit.event) == ("orders.events", "order.paid")
    assert emit.key is not None


def test_the_steps_of_the_flow_s_errors_stand_behind_all_others() -> None:
    around: dict[str, Any] = {"on_error": [{"set": {"why": "{{ error.code }}"}}, {"stop": "told"}]}
    found = program(reserve(**{"as": "one"}), {"set": {"x": "{{ one.id }}"}}, **around)
    assert (found.on_error, found.on_retract) == (2, NO_STEP)
    assert [key for key, _ in found.reads] == []


def test_nothing_of_the_flow_s_own_is_asked_of_the_event() -> None:
    found = program(
        {"for_each": "order.tags", "max": 3, "each": "tag", "as": "each_tag", "result": {"tag": "{{ tag }}"}, "steps": [LATE]},
        {"set": {"first": "{{ each_tag.results[0].tag }}", "run": "{{ execution.id }}"}},
        {"stop": "done"},
    )
    assert found.reads == (("order.tags", Type("list", item=STRING)),)


def test_the_output_of_a_flow_that_may_stop_early_may_be_missing() -> None:
    found = program(
        {"branch": [{"when": "order.total > 1", "then": [{"stop": "small"}]}], "else": "continue"},
        reserve(**{"as": "one"}),
        output={"id": "{{ one.id }}"},
    )
    assert isinstance(found.output, Record)
    ((_, given),) = found.output.items
    assert isinstance(given, Whole)
    assert print_tree(given.tree) == "one.id"
    assert type_of(given.tree) == parse_type("string?")
