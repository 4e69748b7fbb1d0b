"""Compiling, by hand: the table of steps, what is read, versions."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.compile import compile_flow
from flows.language.definitions import Source, check_sources
from schemas.contracts import EventContract
from schemas.errors import InvalidFlow
from schemas.expression.print import print_tree
from schemas.expression.template import Record, Value, Whole
from schemas.expression.tree import Constant
from schemas.expression.type_text import parse_type
from schemas.expression.types import DURATION, STRING, Type
from schemas.program import END, Act, Branch, Delay, EventTrigger, Fork, Join, Program, Set, Stop, pack, unpack

DEAL = EventContract(
    event="deal.closed",
    topic="crm.events",
    data=parse_type(
        {"deal": {"id": "string", "value": "int", "stage": "string", "closed_at": "timestamp", "manager": "string?"}}
    ),
)
ONBOARDING = {
    "workflow": "new_customer_onboarding",
    "trigger": {"event": "deal.closed", "conditions": [{"field": "deal.value", "operator": ">=", "value": 10000}]},
    "actions": [
        {"type": "create_project", "template": "enterprise_onboarding", "delay": "0"},
        {"type": "send_email", "template": "welcome_enterprise", "delay": "1h"},
        {"type": "create_task", "assignee": "account_manager", "title": "Schedule kickoff call", "delay": "0"},
        {"type": "update_crm", "field": "customer.status", "value": "onboarding", "delay": "0"},
    ],
}


def compiled(steps: str, around: str = "") -> Program:
    text = f"flow: f\n{around}trigger: {{event: deal.closed}}\nsteps:\n{steps}"
    found = check_sources([Source("a.yaml", text)], [DEAL])
    assert found.ok, found.problems
    return found.flows[0].program


def test_the_short_form_runs_its_actions_side_by_side_in_listed_order() -> None:
    program = compile_flow(ONBOARDING, [DEAL])
    trigger = program.triggers[0]
    assert isinstance(trigger, EventTrigger)
    assert trigger.condition is not None
    assert print_tree(trigger.condition) == "deal.value >= 10000"
    fork = program.steps[0]
    assert isinstance(fork, Fork)
    assert [name for name, _ in fork.arms] == [
        "arm_1_create_project",
        "arm_2_send_email",
        "arm_3_create_task",
        "arm_4_update_crm",
    ]
    assert [type(program.steps[at]) for _, at in fork.arms] == [Act, Delay, Act, Act]
    delay = program.steps[fork.arms[1][1]]
    assert isinstance(delay, Delay)
    assert delay.time == Constant(3_600_000_000, DURATION)
    join = program.steps[fork.join]
    assert join == Join("parallel_1", 4, END)
    assert all(step.next == fork.join for step in program.steps if isinstance(step, Act))
    assert program.reads == ()


def test_short_actions_without_delays_are_a_plain_sequence() -> None:
    actions = [{"type": "one", "delay": 0}, {"type": "two"}, {"type": "three", "delay": "0s"}]
    program = compile_flow({"workflow": "w", "trigger": {"event": "deal.closed"}, "actions": actions}, [DEAL])
    assert [(step.action, step.next) for step in program.steps if isinstance(step, Act)] == [
        ("one", 1),
        ("two", 2),
        ("three", END),
    ]


def test_one_short_action_is_a_delay_and_an_action() -> None:
    program = compile_flow(
        {"workflow": "w", "trigger": {"event": "deal.closed"}, "actions": [{"type": "one", "delay": "2h"}]}, [DEAL]
    )
    assert [type(step) for step in program.steps] == [Delay, Act]


def test_a_branch_goes_on_behind_itself() -> None:
    program = compiled(
        "  - branch:\n"
        "      - {when: deal.value > 5, then: [{action: big}, {stop: done}]}\n"
        "      - {when: deal.value > 3, then: continue}\n"
        "    else: [{action: small}]\n"
        "  - action: last\n"
    )
    branch = program.steps[0]
    assert isinstance(branch, Branch)
    assert [arm.target for arm in branch.arms] == [1, 4]
    assert branch.otherwise == 3
    assert [getattr(step, "next", None) for step in program.steps] == [None, 2, None, 4, END]
    assert isinstance(program.steps[2], Stop)


def test_arms_of_a_parallel_meet_at_the_join() -> None:
    program = compiled("  - parallel:\n      a: [{delay: 1h}, {action: x}]\n      b: [{action: y}]\n  - action: last\n")
    assert program.steps[0] == Fork("parallel_1", (("a", 1), ("b", 3)), 4)
    assert program.steps[4] == Join("parallel_1", 2, 5)
    assert [getattr(step, "next", None) for step in program.steps[1:4]] == [2, 4, 4]


def test_names_are_as_or_verb_object_and_ordinal() -> None:
    program = compiled(
        "  - action: x\n  - {action: x, as: again}\n  - action: x\n  - delay: 1s\n  - set: {b: '{{ deal.id }}', a: 1}\n"
    )
    assert [step.name for step in program.steps] == ["action_x_1", "again", "action_x_2", "delay_1", "set_a_1"]


def test_only_what_steps_read_travels_into_an_execution() -> None:
    program = compiled(
        "  - set: {who: '{{ deal.manager }}'}\n"
        "  - until: deal.closed_at + 1d\n"
        "  - {action: x, with: {who: '{{ who }}', at: '{{ event.time }}', run: '{{ execution.id }}', how: '{{ trigger.name }}'}}\n"
    )
    assert program.reads == (
        ("deal.closed_at", Type("timestamp")),
        ("deal.manager", Type("string", optional=True)),
        ("event.time", Type("timestamp")),
    )


def test_conditions_of_the_trigger_are_not_read_into_executions() -> None:
    text = "flow: f\ntrigger: {event: deal.closed, conditions: [deal.value > 3]}\nsteps: [{action: x, with: {id: '{{ deal.id }}'}}]\n"
    program = check_sources([Source("a.yaml", text)], [DEAL]).flows[0].program
    assert program.reads == (("deal.id", STRING),)


def test_an_action_takes_its_own_option_then_the_default_of_the_flow_then_the_language() -> None:
    steps = "  - {action: x, priority: high, retry: {attempts: 2}, not_after: 5m}\n  - action: y\n"
    program = compiled(steps, "defaults: {priority: low, retry: {attempts: 9, wait: 2s}}\n")
    first, second = program.steps
    assert isinstance(first, Act)
    assert isinstance(second, Act)
    assert (first.priority, first.retry.attempts, first.retry.wait_us, first.not_after_us) == ("high", 2, 1_000_000, 300_000_000)
    assert (second.priority, second.retry.attempts, second.retry.wait_us) == ("low", 9, 2_000_000)
    assert second.not_after_us == 7 * 86_400_000_000


def test_data_keeps_types_and_numbers_keep_their_digits() -> None:
    program = compiled("  - {action: x, with: {rate: 0.10, id: '{{ deal.id }}', none: null, list: [1, two]}}\n")
    act = program.steps[0]
    assert isinstance(act, Act)
    assert isinstance(act.params, Record)
    values = dict(act.params.items)
    assert values["rate"] == Value("0.10")
    assert values["none"] == Value("null")
    assert values["list"] == Value('[1,"two"]')
    assert isinstance(values["id"], Whole)


def test_set_binds_what_later_steps_read() -> None:
    program = compiled(
        "  - set: {rate: 0.05}\n  - set: {share: '{{ round(deal.value * rate, 2) }}'}\n  - {action: x, with: {a: '{{ share }}'}}\n"
    )
    assert [type(step) for step in program.steps] == [Set, Set, Act]
    assert program.reads == (("deal.value", Type("int")),)


def test_programs_survive_their_bytes() -> None:
    program = compile_flow(ONBOARDING, [DEAL])
    assert unpack(pack(program)) == program


def test_a_flow_with_errors_raises_all_of_them() -> None:
    document = {"flow": "f", "trigger": {"event": "deal.closed"}, "steps": [{"delay": "30"}, {"until": "deal.nope"}]}
    with pytest.raises(InvalidFlow) as caught:
        compile_flow(document, [DEAL])
    assert [problem.name for problem in caught.value.problems] == ["bad-duration", "unknown-field"]


def test_what_does_not_count_does_not_change_the_version() -> None:
    one = "flow: f\ntitle: A\ntrigger: {event: deal.closed, conditions: [deal.value>3]}\nsteps: [{action: x, with: {a: 1, b: '{{deal.id}}'}}]\n"
    two = (
        '# a comment\nsteps:\n  - note: why\n    with:\n      b: "{{ deal.id }}"\n      a: 1\n    action: x\n    priority: normal\n'
        "description: B\nenabled: true\ntrigger: [{event: deal.closed, conditions: [{field: deal.value, operator: '>', value: 3}]}]\nflow: f\n"
    )
    found = check_sources([Source("one.yaml", one)], [DEAL]), check_sources([Source("two.yaml", two)], [DEAL])
    assert found[0].flows[0].version == found[1].flows[0].version
    assert found[0].flows[0].program == found[1].flows[0].program


def test_what_counts_changes_the_version() -> None:
    def version(steps: str) -> str:
        return compiled(steps).version

    assert version("  - action: x\n") != version("  - action: y\n")
    assert version("  - {action: x, with: {a: 0.1}}\n") != version("  - {action: x, with: {a: 0.2}}\n")
    assert version("  - {action: x}\n  - {action: y}\n") != version("  - {action: y}\n  - {action: x}\n")


def test_the_version_of_onboarding_is_frozen() -> None:
    assert compile_flow(ONBOARDING, [DEAL]).version == "f892ce9363c00c96c6ff2bd0e849b74d"
