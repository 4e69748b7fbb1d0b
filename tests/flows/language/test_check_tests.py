"""What `check` says of test documents: their shape, the order of their lines, and that they can fail."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources

WRONG: list[tuple[str, list[str]]] = [
    (
        'test: it works\nflow: f\nclock: "2011-03-01T09:00:00Z"\ntimeline:\n  - {at: 0s, send: order.placed, fire: manual}\n  - {at: 1h, expect: {state: completed}}\n  - {at: 5m}\n',
        [
            "5:5: error[two-verbs]: one line has 'send' and 'fire'; make two lines",
            "6:23: error[unknown-key]: 'expect' has no key 'state' (status, error, reason, waiting, output, executions, actions, actions_include, actions_exclude, events, history_include); did you mean 'status'?",
            "7:5: error[no-verb]: a line of a test does nothing; write one of send, fire, decide, command, policies, expect",
            "7:10: error[bad-order]: '5m' comes before the line above it; put the lines in order of time",
        ],
    ),
    (
        'test: it works\nflow: f\nclock: "2011-03-01T09:00:00Z"\ntimeline:\n  - {at: 0s, fire: schedule, outcome: approved}\n  - {at: soon, decide: approval}\n',
        [
            "5:30: error[unknown-key]: a line with 'fire' has no key 'outcome' (at, by, fire, refused, roles, with, zone)",
            "6:5: error[missing-key]: a decision has no 'outcome' and needs one; write approved or rejected",
            "6:10: error[bad-duration]: 'soon' is not a duration; write whole numbers with units w d h m s ms, as in 1h30m; or a timestamp",
        ],
    ),
    (
        'test: it works\nflow: f\nclock: "2011-03-01T09:00:00Z"\ntimeline:\n  - {at: 0s, fire: schedule, refused: not_allowed}\n  - {at: 1h, decide: ok, outcome: done, refused: bad_inputs}\n  - {at: 1h, command: resume}\n  - {at: 1h, command: cancel, outcome: done, refused: not_open}\n  - {at: 1h, expect: {actions: [{action: a, status: done}]}}\n',
        [
            "5:39: error[bad-word]: a schedule is never refused as 'not_allowed'; take it away",
            "6:35: error[bad-word]: 'done' is no outcome of 'decide'; write approved or rejected",
            "6:50: error[bad-word]: 'decide' is never refused as 'bad_inputs'; write not_allowed or decided_already or bad_form or not_open",
            "7:5: error[missing-key]: a resume has no 'outcome' and needs one; write done or not_done",
            "8:40: error[bad-word]: 'done' is no outcome of 'cancel'; take it away",
            "8:55: error[bad-word]: 'command' is never refused as 'not_open'; write not_possible",
            "9:53: error[bad-word]: 'done' is no word for 'status'; write 'pending', 'delivered', 'failed', 'unknown' or 'cancelled'",
        ],
    ),
    (
        "test: 3\nflow: f\nclock: noon\ntimeline: []\n",
        [
            "1:7: error[want-string]: 3 is a number and 'test' wants a string; quote it: \"3\"",
            "4:11: error[empty-list]: 'timeline' is empty; write at least one, or take the key away",
        ],
    ),
    (
        'test: it works\nflow: f\nclock: "2011-03-01T09:00:00Z"\ntimeline:\n  - {at: 0s, send: order.placed}\n  - {at: 1h, expect: {actions: [{action: a, wth: {}}], waiting: {stp: x}, events: [{emit: x}]}}\n',
        [
            "6:45: error[unknown-key]: an expected action has no key 'wth' (action, at, with, status); did you mean 'with'?",
            "6:66: error[unknown-key]: 'waiting' has no key 'stp' (step, until); did you mean 'step'?",
            "6:84: error[missing-key]: an expected event has no 'event' and needs one; add it",
            "6:85: error[unknown-key]: an expected event has no key 'emit' (event, at, with)",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_test_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert [str(problem).removeprefix("a.yaml:") for problem in check_sources([Source("a.yaml", text)]).problems] == expected


RIGHT = """\
test: an order over the limit waits for finance, a refused charge undoes the reservation
flow: order_over_limit
clock: "2011-03-01T09:00:00Z"
policies: {approval_limit: 5000 GBP}
answers: {reserve_stock: {reservation: R-1}, charge_account: [unavailable, rejected]}
scores: {cancellation_risk: away}
timeline:
  - {at: 0s, send: order.placed, with: {order: {id: A1, total: 6000 GBP}}}
  - {at: 1m, expect: {waiting: {step: approval, until: 3d}, actions: []}}
  - {at: 2h, decide: approval, outcome: approved, by: bob, refused: not_allowed}
  - {at: 2h, policies: {approval_limit: 3 GBP}}
  - {at: 3h, command: cancel}
  - {at: "2011-03-01T13:00:00Z", expect: {status: failed, error: rejected, events: [], actions_exclude: [{action: ship}], history_include: [approval.decided]}}
"""


def test_every_verb_of_a_test_is_read() -> None:
    found = check_sources([Source("a.test.yaml", RIGHT)])
    assert not found.problems
    assert [test.name for test in found.tests] == [
        "an order over the limit waits for finance, a refused charge undoes the reservation"
    ]
