"""Moving executions to another version: which can, which would strand and why, and that they go on where they were."""

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources
from operators.advance.advance import Moment, Runnable, fire, start
from operators.advance.migrate import Migration
from operators.execution.execution import Cause, State
from operators.steps.steps import make_runnable

EVENT = "event: deal.closed\nfields: {deal: {id: string, value: int, stage: string}}\n---\n"
FLOW = """flow: f
trigger: {event: deal.closed}
steps:
  - {action: one, as: first, with: {a: "{{ deal.id }}"}}
  - {delay: 2h, as: nap}
  - {action: two, as: second, with: {a: "{{ deal.id }}"}}
"""
FORKED = """flow: f
trigger: {event: deal.closed}
steps:
  - parallel:
      left: [{delay: 1h, as: short}, {action: one}]
      right: [{delay: 3h, as: long}, {action: two}]
    as: both
  - {action: three}
"""
CAUSE = Cause("E1", "test", 0, "E1", 0)
ID = b"\x00" * 16
HOUR = 3_600_000_000


def runnable(text: str) -> Runnable:
    found = check_sources([Source("f.yaml", EVENT + text)])
    assert found.ok, found.problems
    return make_runnable(found.flows[0].program)


def begun(one: Runnable) -> State:
    env = {key: {"deal.id": "D1", "deal.value": 3, "deal.stage": "Won"}[key] for key, _ in one.program.reads}
    advanced = start(one, "acme", ID, CAUSE, env, 0)
    assert advanced.state is not None
    return advanced.state


def told(old: str, new: str) -> tuple[str, tuple[str, ...]]:
    before = runnable(old)
    verdict = Migration(before.program, runnable(new).program).verdict(begun(before))
    return verdict.outcome, verdict.why


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("delay: 2h", "delay: 3h", ()),
        ("action: two", "action: three", ()),
        ("  - {action: one", "  - {set: {x: 1}}\n  - {action: zero}\n  - {action: one", ()),
        ("as: nap", "as: sleep", ("it waits at 'nap', which is gone",)),
        ("delay: 2h, as: nap", "action: nap, as: nap, with: {x: 1}", ("it waits at 'nap', which is another kind of step now",)),
        (
            "  - {delay: 2h, as: nap}\n",
            "  - parallel: {x: [{delay: 2h, as: nap}], y: [{delay: 1h, as: other}]}\n    as: both\n",
            ("it waits at 'nap', which stands in another block now",),
        ),
        (
            'second, with: {a: "{{ deal.id }}"}',
            'second, with: {a: "{{ deal.stage }}"}',
            ("steps ahead read 'deal.stage', which it has not kept",),
        ),
    ],
)
def test_an_execution_moves_if_it_can_go_on_from_where_it_waits(old: str, new: str, why: tuple[str, ...]) -> None:
    assert told(FLOW, FLOW.replace(old, new)) == ("strands" if why else "migrates", why)


CALLED = """flow: child
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1h}]
---
"""
CALLING = (
    CALLED
    + CALLED.replace("child", "other")
    + """flow: f
trigger: {event: deal.closed}
steps: [{call: child, as: helped, timeout: 3h}]
"""
)


def test_who_waits_for_the_end_of_a_flow_goes_on_waiting_for_that_one() -> None:
    """A call is withdrawn, and its end found, by the name of its flow."""

    def caller(text: str) -> Runnable:
        found = check_sources([Source("f.yaml", EVENT + text)])
        assert found.ok, found.problems
        return make_runnable(next(one.program for one in found.flows if one.name == "f"))

    before = caller(CALLING)
    for new, why in (
        ("child, as: helped, timeout: 5h", ()),
        ("other, as: helped, timeout: 3h", ("'helped' has called 'child', and calls 'other' now",)),
    ):
        after = caller(CALLING.replace("child, as: helped, timeout: 3h", new))
        assert Migration(before.program, after.program).verdict(begun(before)).why == why


def test_what_was_done_before_the_wait_is_not_done_again() -> None:
    lines = FLOW.splitlines(keepends=True)
    swapped = "".join([*lines[:3], lines[4], lines[3], *lines[5:]])
    assert told(FLOW, swapped) == ("strands", ("it has done first already, and would do that a second time",))


def test_a_moved_execution_does_what_the_new_version_says_next() -> None:
    old = runnable(FLOW)
    new = runnable(
        FLOW.replace("  - {action: one", "  - {set: {x: 1}}\n  - {action: zero}\n  - {action: one").replace("two", "three")
    )
    state = Migration(old.program, new.program).moved(begun(old))
    advanced = fire(Moment(new, "acme", ID, state, 2 * HOUR), state.parked[0].token)
    assert advanced is not None
    assert [command.type for command in advanced.commands] == ["three"]
    assert advanced.status == "completed"


def test_arms_are_found_by_their_names_and_the_others_go_on_too() -> None:
    old = runnable(FORKED)
    swapped = runnable(FORKED.replace("left", "zebra").replace("right", "left").replace("zebra", "right"))
    assert Migration(old.program, swapped.program).verdict(begun(old)).outcome == "strands"
    longer = runnable(
        "flow: f\n"
        + FORKED.split("\n", 1)[1].replace("steps:", "steps:\n  - {set: {x: 1}}").replace("{action: three}", "{action: four}")
    )
    state = Migration(old.program, longer.program).moved(begun(old))
    done = []
    for hours in (1, 3):
        token = next(one.token for one in state.parked if one.due_us == hours * HOUR)
        advanced = fire(Moment(longer, "acme", ID, state, hours * HOUR), token)
        assert advanced is not None
        done += [command.type for command in advanced.commands]
        state = advanced.state or state
    assert done == ["one", "two", "four"]


def test_a_parallel_with_another_arm_keeps_those_inside_where_they_are() -> None:
    assert told(FORKED, FORKED.replace("    as: both", "      more: [{action: five}]\n    as: both")) == (
        "strands",
        ("it is inside 'both', which has other arms now",),
    )
