"""Test documents: what they can say, and what is told of the first thing that is not so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.language.definitions import Source, check_sources
from flows.scenarios.coverage import Coverage
from flows.scenarios.run_tests import Told, run_tests
from schemas.registry import Registry

WORLD = """event: order.placed
fields: {order: {id: string, customer_id: string, total: money(GBP), by: string?}}
topic: orders.events
---
event: payment.received
fields: {payment: {order_id: string, amount: money(GBP), at: timestamp?}}
---
event: order.held
fields: {order: {id: string}}
---
{action: reserve_stock, params: {order: string}, result: {reservation: string}, errors: [out_of_stock]}
---
{action: release_stock, params: {reservation: string}}
---
{action: charge_account, params: {amount: money(GBP)}}
---
{action: notify_owner, params: {text: string}}
---
{policy: approval_limit, type: money(GBP), value: 5000 GBP}
---
{policy: patience, key: string, type: duration, values: {C1: 1h}, default: 2d}
---
flow: held
trigger: {event: order.placed, conditions: [order.total > policies.approval_limit]}
defaults: {timeout: 10m}
steps:
  - {emit: order.held, key: order.id, with: {order: {id: "{{ order.id }}"}}}
  - {approve: "Order {{ order.id }}?", as: approval, by: {role: finance}, need: 2, not: ["{{ coalesce(order.by, 'nobody') }}"],
     form: {reason: string?}, remind: [1d], timeout: 3d, on_timeout: rejected}
  - {branch: [{when: approval.outcome == "rejected", then: [{stop: refused}]}], else: continue}
  - {action: reserve_stock, as: stock, await: true, with: {order: "{{ order.id }}"},
     compensate: {action: release_stock, with: {reservation: "{{ stock.reservation }}"}}}
  - {action: charge_account, as: charge, await: true, with: {amount: "{{ order.total }}"}}
  - {wait: payment.received, as: paid, correlate: paid.payment.order_id == order.id, look_back: 1h,
     timeout: 'policies.patience[order.customer_id]', on_timeout: fail}
on_error: [{action: notify_owner, with: {text: "{{ error.code }} at {{ error.step }}"}}]
output: {order: "{{ order.id }}", paid: "{{ paid.payment.amount }}"}
---
flow: by_hand
inputs: {order_id: string}
trigger:
  - {as: hand, manual: {roles: [clerk]}, id: inputs.order_id}
  - {as: clock, schedule: "0 9 * * 1", zone: [Europe/London, Asia/Tokyo], with: {order_id: weekly}}
steps: [{action: notify_owner, with: {text: "{{ inputs.order_id }} by {{ coalesce(trigger.name, 'a call') }}"}}]
---
flow: caller
trigger: {event: order.held}
steps:
  - {call: by_hand, as: child, with: {order_id: "{{ order.id }}"}, timeout: 1h}
  - {action: notify_owner, with: {text: called}}
"""
HEAD = """---
test: a story
flow: held
clock: "2011-03-01T09:00:00Z"
answers: {reserve_stock: {reservation: R1}}
timeline:
"""
PLACED = "  - {at: 0s, send: order.placed, with: {order: {id: A1, customer_id: C1, total: 6000 GBP, by: bob}}}\n"
APPROVED = (
    "  - {at: 1h, decide: approval, outcome: approved, by: ann}\n  - {at: 2h, decide: approval, outcome: approved, by: eve}\n"
)
PAID = "  - {at: 150m, send: payment.received, with: {payment: {order_id: A1, amount: 6000 GBP}}}\n"


def tell(timeline: str, head: str = HEAD) -> Told:
    definitions = check_sources([Source("t.yaml", WORLD + head + timeline)])
    assert definitions.errors == ()
    (told,) = run_tests(definitions, Registry, Coverage())
    return told


def line_of(told: Told, timeline: str) -> str:
    """Give the line of the timeline that a failure points to."""
    assert told.failure is not None
    return (WORLD + HEAD + timeline).splitlines()[told.failure.line - 1]


def passes(timeline: str, head: str = HEAD) -> None:
    assert tell(timeline, head).failure is None


def fails(timeline: str, message: str, head: str = HEAD) -> Told:
    told = tell(timeline, head)
    assert told.failure is not None
    assert message in told.failure.message, told.failure
    return told


def test_a_whole_story_of_people_actions_events_and_time() -> None:
    passes(
        PLACED
        + "  - {at: 0s, expect: {status: waiting, waiting: {step: approval, until: 3d}, actions: [], executions: 1}}\n"
        + APPROVED
        + "  - at: 2h\n    expect:\n      status: waiting\n      waiting: {step: paid, until: 3h}\n"
        + "      actions: [{action: reserve_stock, at: 2h}, {action: charge_account, with: {amount: 6000.0 GBP}}]\n"
        + "      events: [{event: order.held, at: 0s, with: {order: {id: A1}}}]\n"
        + PAID
        + "  - {at: 150m, expect: {status: completed, output: {order: A1, paid: 6000 GBP}, \n"
        + "      history_include: [wait.met, approval.decided]}}\n"
    )


def test_time_that_passes_reminds_and_rejects() -> None:
    passes(
        PLACED
        + "  - {at: 1d, expect: {history_include: [approval.reminded]}}\n"
        + "  - {at: 3d, expect: {status: completed, reason: refused, actions: [], history_include: [approval.timed_out]}}\n"
    )


def test_what_comes_at_the_very_deadline_still_counts() -> None:
    late = APPROVED.replace("at: 1h", "at: 3d").replace("at: 2h", "at: 3d")
    passes(PLACED + late + "  - {at: 3d, expect: {status: waiting, actions_include: [{action: charge_account}]}}\n")


def test_answers_come_as_a_dispatcher_would_give_them() -> None:
    head = HEAD.replace("answers: {", "answers: {charge_account: [unavailable, timeout, rejected], ")
    passes(
        PLACED
        + APPROVED
        + "  - {at: 2h1s, expect: {waiting: {step: charge}, actions_exclude: [{action: release_stock}]}}\n"
        + "  - at: 2h3s\n    expect: {status: failed, error: rejected, history_include: [compensation.completed],\n"
        + "      actions_include: [{action: release_stock, at: 2h3s, with: {reservation: R1}},"
        + " {action: notify_owner, with: {text: rejected at charge}}]}\n",
        head,
    )


def test_a_code_that_the_rule_does_not_retry_is_final_at_once() -> None:
    head = HEAD.replace("{reserve_stock: {reservation: R1}}", "{reserve_stock: [out_of_stock, {reservation: R1}]}")
    passes(PLACED + APPROVED + "  - {at: 2h, expect: {status: failed, error: out_of_stock}}\n", head)


def test_a_wait_that_nothing_meets_ends_by_its_policy() -> None:
    passes(PLACED + APPROVED + "  - {at: 3h, expect: {status: failed, error: timeout}}\n")
    other = HEAD.replace("timeline:", "policies: {patience: {C1: 5h}, approval_limit: 1 GBP}\ntimeline:")
    passes(PLACED + APPROVED + "  - {at: 3h, expect: {status: waiting, waiting: {step: paid, until: 7h}}}\n", other)
    changed = "  - {at: 1h, policies: {patience: {C1: 4h}}}\n"
    passes(PLACED + changed + APPROVED + "  - {at: 3h, expect: {waiting: {step: paid, until: 6h}}}\n")


def test_an_event_that_came_before_its_wait_counts_within_the_look_back() -> None:
    soon = PAID.replace("150m", "90m")
    passes(
        PLACED
        + APPROVED.splitlines(keepends=True)[0]
        + soon
        + APPROVED.splitlines(keepends=True)[1]
        + "  - {at: 2h, expect: {status: completed}}\n"
    )
    passes(PLACED + PAID.replace("150m", "59m") + APPROVED + "  - {at: 2h, expect: {status: waiting}}\n")


def test_decisions_are_refused_by_their_names() -> None:
    timeline = (
        PLACED
        + "  - {at: 1h, decide: approval, outcome: approved, by: bob, refused: not_allowed}\n"
        + "  - {at: 1h, decide: approval, outcome: approved, by: sue, roles: [sales], refused: not_allowed}\n"
        + "  - {at: 1h, decide: approval, outcome: approved, by: ann}\n"
        + "  - {at: 1h, decide: approval, outcome: approved, by: ann, refused: decided_already}\n"
        + "  - {at: 2h, decide: approval, outcome: rejected, by: eve}\n"
        + "  - {at: 3h, decide: approval, outcome: approved, by: kim, refused: not_open}\n"
        + "  - {at: 3h, expect: {status: completed, reason: refused}}\n"
    )
    passes(timeline)
    wrong = fails(timeline.replace("by: bob, refused: not_allowed", "by: bob"), "the decision is refused: not_allowed")
    assert "by: bob" in line_of(wrong, timeline)
    fails(
        timeline.replace("by: ann}", "by: ann, refused: not_allowed}"),
        "expected the decision to be refused as not_allowed; it is taken",
    )


def test_a_flow_is_started_by_hand_by_its_schedule_and_by_a_call() -> None:
    hand = HEAD.replace("flow: held", "flow: by_hand")
    passes(
        "  - {at: 0s, fire: manual, with: {order_id: O1}}\n"
        "  - {at: 0s, expect: {actions: [{action: notify_owner, with: {text: O1 by hand}}]}}\n",
        hand,
    )
    passes(
        "  - {at: 0s, fire: schedule, zone: Asia/Tokyo}\n"
        "  - {at: 0s, expect: {status: completed, actions: [{action: notify_owner, with: {text: weekly by clock}}]}}\n",
        hand,
    )
    fails(
        "  - {at: 0s, fire: schedule, zone: Asia/Seoul}\n  - {at: 0s, expect: {executions: 1}}\n",
        "none of the schedule's zones",
        hand,
    )
    called = HEAD.replace("flow: held", "flow: caller")
    passes(
        "  - {at: 0s, send: order.held, with: {order: {id: O1}}}\n"
        "  - {at: 0s, expect: {status: completed, executions: 2,\n"
        "      actions: [{action: notify_owner}, {action: notify_owner, with: {text: called}}]}}\n",
        called,
    )


def test_a_start_by_hand_may_be_refused() -> None:
    hand = HEAD.replace("flow: held", "flow: by_hand")
    clerk = "  - {at: 0s, fire: manual, roles: [visitor], with: {order_id: O1}"
    none = "  - {at: 1s, expect: {executions: 0}}\n"
    passes(clerk + ", refused: not_allowed}\n  - {at: 0s, fire: manual, with: {}, refused: bad_inputs}\n" + none, hand)
    fails(clerk + "}\n" + none, "none of visitor may start it; clerk may", hand)
    taken = clerk.replace("visitor", "clerk") + ", refused: not_allowed}\n"
    fails(taken + none, "expected the start to be refused as not_allowed; it is taken", hand)


def test_a_command_may_be_refused() -> None:
    over = PLACED + "  - {at: 3d, expect: {status: completed}}\n  - {at: 3d, command: cancel"
    passes(over + ", refused: not_possible}\n")
    fails(over + "}\n", "the command is refused: not_possible: it has ended")
    waits = PLACED + "  - {at: 1h, command: retry, step: approval"
    passes(waits + ", refused: not_possible}\n  - {at: 1h, expect: {status: waiting}}\n")
    fails(waits + "}\n  - {at: 1h, expect: {status: waiting}}\n", "'approval' waits, and is not tried")


def test_an_operator_says_what_became_of_a_command_that_nobody_knows() -> None:
    head = HEAD.replace(
        "{reserve_stock: {reservation: R1}}", "{reserve_stock: {reservation: R1}, charge_account: unknown_outcome}"
    )
    asked = PLACED + APPROVED + "  - {at: 2h, expect: {status: closing}}\n"
    for outcome in ("done", "not_done"):
        passes(
            asked + f"  - {{at: 3h, command: resume, step: charge, outcome: {outcome}}}\n"
            "  - {at: 3h, expect: {status: failed, error: unknown_outcome, history_include: [resumed]}}\n",
            head,
        )


def test_what_became_of_an_action_is_compared() -> None:
    head = HEAD.replace("reserve_stock: {reservation: R1}", "reserve_stock: out_of_stock")
    actions = "expect: {actions: [{action: reserve_stock, status: %s}, {action: notify_owner, status: delivered}]}}\n"
    passes(PLACED + APPROVED + "  - {at: 2h, " + actions % "failed", head)
    fails(
        PLACED + APPROVED + "  - {at: 2h, " + actions % "delivered", "expected reserve_stock to be delivered; it is failed", head
    )


def test_an_operator_cancels() -> None:
    passes(
        PLACED
        + APPROVED
        + "  - {at: 2h, command: cancel}\n  - {at: 2h, expect: {status: cancelled, actions_include: [{action: release_stock}]}}\n"
    )


@pytest.mark.parametrize(
    ("expect", "message", "column"),
    [
        ("status: failed", "expected status failed; it is waiting at approval", "failed"),
        ("error: timeout", "expected error timeout; there is none", "timeout"),
        ("waiting: {step: paid}", "expected to wait at paid; it waits at approval", "paid"),
        ("waiting: {step: approval, until: 2d}", "expected to wait until 2d; it waits until 3d", "2d"),
        ("executions: 2", "expected 2 executions; there are 1", "2}"),
        ("actions: [{action: reserve_stock}]", "expected reserve_stock; there are only 0 actions (none)", "{action"),
        ("actions_include: [{action: reserve_stock}]", "expected action reserve_stock; there are none", "{action"),
        ("events: []", 'expected 0 events; the next is order.held at 0s: {"order":{"id":"A1"}}', "[]"),
        ("events: [{event: order.held, with: {order: {id: B}}}]", 'expected with.order.id "B"; it is "A1"', "B}"),
        ("events: [{event: order.held, at: 5m}]", "expected order.held at 5m; it came at 0s", "5m"),
        ("history_include: [wait.met]", "expected wait.met; history has started", "wait.met"),
        ("output: {order: A1}", "expected output", "{order"),
    ],
)
def test_the_first_difference_is_told_with_its_place(expect: str, message: str, column: str) -> None:
    timeline = PLACED + f"  - {{at: 1m, expect: {{{expect}}}}}\n"
    told = fails(timeline, message)
    assert told.failure is not None
    assert told.failure.at == "1m"
    assert line_of(told, timeline)[told.failure.column - 1 :].startswith(column)


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        (PLACED.replace("total", "totals"), "field 'totals' is not in"),
        (PLACED.replace("6000 GBP", "6000"), "has no currency"),
        (PLACED.replace("order.placed", "order.lost"), "there is no contract of order.lost"),
        (PLACED + "  - {at: 1h, decide: other, outcome: approved, by: ann}\n", "nothing has asked for a decision of 'other'"),
        ("  - {at: 0s, command: cancel}\n" + PLACED, "no execution has started"),
        (PLACED + "  - {at: 0s, policies: {nothing: 1}}\n", "there is no policy 'nothing'"),
    ],
)
def test_what_a_line_cannot_do_is_told(timeline: str, message: str) -> None:
    fails(timeline + "  - {at: 1d, expect: {executions: 9}}\n", message)


def test_a_result_that_a_step_binds_must_be_answered() -> None:
    head = HEAD.replace("answers: {reserve_stock: {reservation: R1}}\n", "")
    fails(PLACED + APPROVED + "  - {at: 2h, expect: {status: waiting}}\n", "add answers: {reserve_stock: ...}", head)


def millrace(*arguments: str, home: Path) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(home)], catch_exceptions=False)


def test_the_command_reads_the_files_beside_a_test_and_names_what_none_entered(tmp_path: Path) -> None:
    (tmp_path / "held.yaml").write_text(WORLD)
    story = PLACED + "  - {at: 3d, expect: {reason: refused}}\n"
    file = tmp_path / "held.test.yaml"
    file.write_text(HEAD.removeprefix("---\n") + story)
    fine = millrace("test", str(file), "--coverage", "--json", home=tmp_path / "home")
    assert fine.exit_code == 0, fine.stderr
    told = json.loads(fine.stdout)
    assert (told["failed"], len(told["tests"])) == (0, 1)
    assert told["left_out"] == {
        "held": ["step branch_1: else", "step stock", "step charge", "step paid", "step action_notify_owner_1"]
    }
    file.write_text(HEAD.removeprefix("---\n") + story.replace("refused", "agreed"))
    wrong = millrace("test", str(file), home=tmp_path / "home")
    assert wrong.exit_code == 1
    assert f"{file}:7:31: held: a story: at 3d: expected reason agreed; there is refused" in wrong.stdout


def test_files_without_a_test_are_refused(tmp_path: Path) -> None:
    (tmp_path / "held.yaml").write_text(WORLD)
    result = millrace("test", str(tmp_path / "held.yaml"), home=tmp_path / "home")
    assert result.exit_code == 2
    assert "hold no test" in result.stderr
