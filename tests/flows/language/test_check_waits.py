"""What `check` says of waits and approvals: text and exact messages."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources
from tests.flows.language.step_texts import messages

WAITS = [
    (
        "- {wait: thing.odd, as: odd, timeout: 1d, on_timeout: fail}\n  - {action: notify, with: {to: '{{ string(odd) }}'}}",
        [
            "4:12: warning[no-contract]: no contract is known for thing.odd: its fields cannot be checked; write an event document or use --infer",
            "4:27: error[no-contract]: 'odd' is read as a whole, and no contract says what thing.odd holds; write an event document for it",
            "5:33: error[maybe-missing]: 'string(odd)' may be missing and 'to' must be there; write {{ coalesce(string(odd), ...) }}",
        ],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id}",
        ["4:5: error[no-deadline]: wait 'got' has no timeout; a wait must end: add timeout and on_timeout"],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id, timeout: 1d}",
        ["4:5: error[no-deadline]: wait 'got' does not say what its timeout means; add on_timeout: continue, fail or steps"],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id, timeout: 1d, on_timeout: continue}\n  - {action: notify, with: {to: '{{ got.payment.order }}'}}",
        [
            "5:33: error[maybe-missing]: 'got.payment.order' may be missing and 'to' must be there; write {{ coalesce(got.payment.order, ...) }}"
        ],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id, timeout: 1d, on_timeout: fail}\n  - {action: notify, with: {to: '{{ got.payment.order }}', text: '{{ got.event.time }}'}}",
        ["5:70: error[type-mismatch]: 'got.event.time' is a timestamp; a string is wanted here"],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id, timeout: 1d, on_timeout: [{stop: unpaid}]}\n  - {action: notify, with: {to: '{{ got.payment.order }}'}}",
        [],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id, timeout: 1d, on_timeout: [{set: {late: x}}]}\n  - {action: notify, with: {to: '{{ got.payment.order }}', text: '{{ coalesce(late, \"\") }}'}}",
        [
            "5:33: error[maybe-missing]: 'got.payment.order' may be missing and 'to' must be there; write {{ coalesce(got.payment.order, ...) }}"
        ],
    ),
    (
        "- {wait: payment.received, timeout: 1d, on_timeout: continue}",
        [
            "4:5: warning[unnamed-wait]: wait 'payment.received' has no name: after an edit its executions would not find it again; add as"
        ],
    ),
    (
        "- {wait: payment.receved, as: got, timeout: 1d, on_timeout: fail}",
        [
            "4:12: warning[no-contract]: no contract is known for payment.receved: its fields cannot be checked; write an event document or use --infer; did you mean 'payment.received'?"
        ],
    ),
    (
        "- {wait: order.held, as: got, correlate: got.invoice.id == order.id, conditions: [got.order.totl > 3 GBP], timeout: 1d, on_timeout: fail}",
        [
            "4:44: error[cannot-be-met]: order.held has no field 'invoice'; this wait could only time out",
            "4:85: error[cannot-be-met]: order.held has no field 'order.totl'; this wait could only time out",
        ],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.amount >= order.total, timeout: 1d, on_timeout: fail}",
        [
            "4:50: error[bad-correlate]: correlate finds the event by equalities joined by and, each a field of got == a value without got; write one like that and move the rest to conditions"
        ],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.id and got.payment.rate == order.score, timeout: 1d, on_timeout: fail}",
        [
            "4:50: error[bad-correlate]: correlate finds the event by equalities joined by and, each a field of got == a value without got; write one like that and move the rest to conditions"
        ],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == got.payment.note, timeout: 1d, on_timeout: fail}",
        [
            "4:50: error[bad-correlate]: correlate finds the event by equalities joined by and, each a field of got == a value without got; write one like that and move the rest to conditions",
            "4:71: warning[maybe-missing-branch]: 'got.payment.note' may be missing, then this is false; ask with exists(got.payment.note), or say coalesce(got.payment.note, ...)",
        ],
    ),
    (
        "- {wait: payment.received, as: got, correlate: order.id == got.payment.order and got.event.tenant == event.tenant, timeout: 1d, on_timeout: fail}",
        [],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.total, timeout: 30, on_timeout: sometimes, look_back: -3m}",
        ["4:109: error[bad-word]: 'sometimes' is no word for 'on_timeout'; write 'continue' or 'fail'"],
    ),
    (
        "- {wait: payment.received, as: order, timeout: 1d, on_timeout: fail}",
        ["4:34: error[shadows-field]: 'order' is a field of order.placed; a binding needs another name"],
    ),
    (
        "- {wait: payment.received, as: got, correlate: got.payment.order == order.total, timeout: 30, on_timeout: fail, look_back: -3m}",
        [
            "4:50: error[type-mismatch]: 'got.payment.order' is a string and 'order.total' money(GBP); '==' wants two of one type",
            "4:93: error[bad-duration]: '30' has no unit; write 30s, 30m, 30h or 30d",
            "4:126: error[bad-duration]: '-3m' is less than nothing and 'look_back' wants a time ahead; write one like 30s",
        ],
    ),
    (
        "- {wait: order.held, as: held, timeout: 1h, conditions: held.order.total == order.total, on_timeout: fail}\n  - {wait: order.held, as: held, timeout: 1h, on_timeout: fail}",
        ["5:28: error[bound-twice]: 'held' is bound at line 4 already; choose another name"],
    ),
]

APPROVALS = [
    (
        "- {approve: 'Ship {{ order.id }}?', as: approval, by: {role: finance}, timeout: 3d, on_timeout: rejected}\n  - {branch: [{when: approval.outcome == \"rejected\", then: [{stop: refused}]}], else: continue}",
        [],
    ),
    (
        "- {approve: 'Ship {{ order.id }}?', as: approval, by: {role: finance}}\n  - {branch: [{when: approval.outcome == \"rejected\", then: [{stop: refused}]}], else: continue}",
        ["4:5: error[no-deadline]: approve 'approval' has no timeout; a wait must end: add timeout and on_timeout"],
    ),
    (
        "- {approve: 'Ship?', by: {role: finance, person: ann}, timeout: 3d, on_timeout: continue}",
        ["4:83: error[bad-word]: 'continue' is no word for 'on_timeout'; write 'approved', 'rejected' or 'fail'"],
    ),
    (
        "- {approve: 'Ship {{ order.email }}?', as: approval, by: {people: [ann, '{{ order.email }}']}, need: 3, not: ['{{ order.email }}'], form: {limit: mony(GBP)}, remind: [4h, soon], escalate: {after: 2d}, timeout: 3d, on_timeout: rejected}",
        ["4:191: error[missing-key]: 'escalate' has no 'to' and needs one; add it"],
    ),
    (
        "- {approve: 'Ship?', as: approval, by: {person: '{{ order.customer }}'}, form: {limit: money(GBP), reason: string?}, show: {total: '{{ order.total }}'}, timeout: 3d, on_timeout: fail}\n  - branch: [{when: approval.outcome == \"rejected\", then: [{stop: refused}]}, {when: approval.outcome == \"approved\", then: continue}]\n  - {action: notify, with: {to: '{{ approval.by }}', text: '{{ approval.form.reason }}'}}\n  - {delay: 1h, as: rest}",
        [],
    ),
    (
        "- {approve: 'Ship?', by: {role: finance, person: ann}, timeout: 3d, on_timeout: approved}",
        [
            "4:5: warning[outcome-unread]: nothing reads the outcome of an approval without a name: approved and rejected go the same way; branch on it",
            "4:5: warning[unnamed-wait]: an approval has no name: after an edit its executions would not find it again; add as",
            "4:28: error[bad-people]: 'role' and 'person' stands where one of role, person, people was wanted; say one of them",
        ],
    ),
    (
        "- {approve: 'Ship {{ order.email }}?', as: approval, by: {people: [ann, '{{ order.email }}']}, need: 3, not: ['{{ order.email }}'], form: {limit: mony(GBP)}, remind: [4h, soon], escalate: {after: 2d, to: {}}, timeout: 3d, on_timeout: rejected}",
        [
            "4:24: error[maybe-missing]: 'order.email' may be missing and stands inside text; write {{ coalesce(order.email, \"...\") }}",
            "4:46: warning[outcome-unread]: nothing reads the outcome of approval 'approval': approved and rejected go the same way; branch on it",
            "4:75: error[maybe-missing]: 'order.email' may be missing and a person must be there; write {{ coalesce(order.email, ...) }}",
            "4:104: error[cannot-be-met]: 3 of 2 are needed; nobody else may decide: name more people, or a role",
            "4:113: error[maybe-missing]: 'order.email' may be missing and a person must be there; write {{ coalesce(order.email, ...) }}",
            "4:149: error[bad-type]: 'mony' is no type; did you mean 'money'?",
            "4:174: error[bad-duration]: 'soon' is not a duration; write whole numbers with units w d h m s ms, as in 1h30m",
            "4:207: error[bad-people]: nobody stands where one of role, person, people was wanted; say one of them",
        ],
    ),
    (
        "- {approve: 'Ship?', as: approval, by: {person: ann}, need: 2, form: {limit: money(GBP)}, timeout: 3d, on_timeout: approved}\n  - {action: notify, with: {to: '{{ approval.by }}', text: '{{ approval.form.limt }}', level: '{{ approval.form.limit }}'}}",
        [
            "4:28: warning[outcome-unread]: nothing reads the outcome of approval 'approval': approved and rejected go the same way; branch on it",
            "4:63: error[cannot-be-met]: 2 of 1 are needed; nobody else may decide: name more people, or a role",
            "5:64: error[unknown-field]: field 'approval.form.limt' is not in 'approval.form' (approval.form.limit); did you mean 'approval.form.limit'?",
            "5:99: error[type-mismatch]: 'approval.form.limit' is money(GBP); an int is wanted here",
        ],
    ),
]


@pytest.mark.parametrize(("steps", "expected"), WAITS)
def test_a_wait_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(steps) == expected


@pytest.mark.parametrize(("steps", "expected"), APPROVALS)
def test_an_approval_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(steps) == expected


def test_what_would_come_when_a_question_is_over_is_told() -> None:
    text = """\
flow: f
trigger: {manual: {roles: [desk]}}
steps:
  - {approve: q, as: q, by: {role: desk}, remind: [30m, 1h], escalate: {after: 2h, to: {role: boss}}, timeout: 1h, on_timeout: fail}
  - {branch: [{when: q.outcome == "approved", then: continue}], else: [{fail: no}]}
"""
    assert [str(one) for one in check_sources([Source("a.yaml", text)]).problems] == [
        "a.yaml:4:57: warning[never-reached]: after 1h the question is over, its timeout is 1h; write less, or nobody hears of it",
        "a.yaml:4:80: warning[never-reached]: after 2h the question is over, its timeout is 1h; write less, or nobody hears of it",
    ]
    assert not check_sources([Source("a.yaml", text.replace("timeout: 1h", "timeout: 3h"))]).problems
