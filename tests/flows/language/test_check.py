"""What `check` says: text and exact messages, in the voice of flow-language.md section 8."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources

CONTRACTS = """\
event: deal.closed
fields:
  deal: {id: string, value: int, stage: string, partner: string?, band: band, closed_at: timestamp?, vip: bool}
  customer: {id: string}
types: {band: 'one_of("low", "unsure", "high")'}
---
event: deal.lost
fields: {deal: {id: int, stage: string}}
---
event: order.placed
fields: {order: {id: string, total: money(GBP), email: string?}}
---
action: notify
params: {to: string, text: string?, level: int?, amount: money(GBP)?, token: string?}
"""
DEAL = "flow: f\ntrigger:\n  event: deal.closed\n"
FIELDS = "deal.id, deal.value, deal.stage, deal.partner, deal.band, deal.closed_at, deal.vip, customer.id"


def messages(text: str) -> list[str]:
    found = check_sources([Source("contracts.yaml", CONTRACTS), Source("a.yaml", text)])
    return [str(problem).removeprefix("a.yaml:") for problem in found.problems]


CONDITIONS = [
    (
        "deal.valeu >= 10000",
        f"5:7: error[unknown-field]: field 'deal.valeu' is not in deal.closed ({FIELDS}); did you mean 'deal.value'?",
    ),
    ("deal.stage >= 10000", "5:7: error[type-mismatch]: 'deal.stage' is a string and 10000 an int; '>=' wants two of one type"),
    ("deal.partner == null", "5:7: error[null-comparison]: nothing equals null; write not exists(deal.partner)"),
    (
        "'{{ deal.value }} >= 10'",
        "5:7: error[template-in-expression]: 'conditions' is an expression already; write deal.value >= 10, without {{ }}",
    ),
    (
        'deal.partner == "x"',
        "5:7: warning[maybe-missing-branch]: 'deal.partner' may be missing, then this is false; "
        "ask with exists(deal.partner), or say coalesce(deal.partner, ...)",
    ),
    (
        'deal.band == "mid"',
        "5:20: warning[always-false]: 'deal.band' is one of low, unsure, high and never \"mid\"; compare with one of these",
    ),
    ("false", "5:7: warning[always-false]: this is never true; take it away, or what hangs on it"),
    ("null", "5:7: error[want-expression]: null stands where an expression was wanted; write it as one text"),
    (
        '{field: deal.valeu, operator: ">=", value: 3}',
        f"5:15: error[unknown-field]: field 'deal.valeu' is not in deal.closed ({FIELDS}); did you mean 'deal.value'?",
    ),
    (
        '{field: deal.closed_at, operator: ">", value: yesterday}',
        "5:53: error[bad-time]: 'yesterday' is not a time; write RFC 3339 with a zone: 2026-11-21T10:00:00Z",
    ),
    (
        "{field: deal.partner, operator: ==, value: null}",
        "5:50: error[null-comparison]: nothing equals null; write not exists(deal.partner)",
    ),
]

STEPS = [
    ("- delay: PT1H30M", ["5:12: error[bad-duration]: 'PT1H30M' is for data and this is an expression; write 1h30m"]),
    (
        "- delay: P1M",
        ["5:12: error[bad-duration]: 'P1M' is not a duration; ISO 8601 here has weeks, days, hours, minutes, seconds: PT1H30M"],
    ),
    ("- delay: 30", ["5:12: error[bad-duration]: '30' has no unit; write 30s, 30m, 30h or 30d"]),
    (
        "- delay: 1M",
        [
            "5:12: error[bad-duration]: '1M' is not a unit (w d h m s ms); months differ in length: "
            'use until: plus_months(event.time, 1, "UTC")'
        ],
    ),
    ("- delay: deal.value", ["5:12: error[type-mismatch]: 'deal.value' is an int; a duration is wanted here"]),
    (
        "- until: deal.closed_at",
        ["5:12: error[maybe-missing]: 'deal.closed_at' may be missing and 'until' needs it; write coalesce(deal.closed_at, ...)"],
    ),
    (
        "- {action: notify, with: {to: {{ deal.id }}}}",
        ['5:33: error[unquoted-template]: a value that starts with {{ is a YAML mapping; quote it: "{{ deal.id }}"'],
    ),
    (
        '- {action: notify, with: {to: "{{ deal.partner }}", txt: x}}',
        [
            "5:33: error[maybe-missing]: 'deal.partner' may be missing and 'to' must be there; write {{ coalesce(deal.partner, ...) }}",
            "5:55: error[unknown-field]: action 'notify' takes no 'txt' (to, text, level, amount, token); did you mean 'text'?",
        ],
    ),
    (
        "- {action: notify, with: {to: 'Dear {{ deal.partner }}', token: abc}}",
        [
            "5:42: error[maybe-missing]: 'deal.partner' may be missing and stands inside text; "
            'write {{ coalesce(deal.partner, "...") }}',
            "5:67: error[secret-in-clear]: 'token' looks like a secret written out; store it and write {{ secrets.token }}",
        ],
    ),
    ("- {action: notify}", ["5:5: error[missing-key]: action 'notify' needs 'to' (string); add it to with"]),
    (
        "- branch: [{when: deal.value > 1, then: [stop: big], else: []}]\n    else: []",
        [
            "5:56: error[unknown-key]: an arm of 'branch' has no key 'else' (when, then); 'else' stands beside 'branch', behind its list"
        ],
    ),
    (
        "- branch: [{if: deal.value > 1, do: [stop: big]}, {condition: deal.value > 0, tehn: [stop: small]}, {then: continue}]\n    else: []",
        [
            "5:15: error[unknown-key]: an arm of 'branch' has no key 'if' (when, then); its condition stands at 'when'",
            "5:35: error[unknown-key]: an arm of 'branch' has no key 'do' (when, then); its steps stand at 'then'",
            "5:54: error[unknown-key]: an arm of 'branch' has no key 'condition' (when, then); its condition stands at 'when'",
            "5:81: error[unknown-key]: an arm of 'branch' has no key 'tehn' (when, then); did you mean 'then'?",
            "5:103: error[missing-key]: an arm of 'branch' has no 'when' and needs one; add it",
        ],
    ),
    (
        "- {action: notify, tme: 3, with: {to: x}}",
        [
            "5:22: error[unknown-key]: step 'action' has no key 'tme' "
            "(action, as, with, await, timeout, returns, retry, idempotency, priority, batch, concurrency, not_after, order_key, on_unknown, compensate, on_error); did you mean 'timeout'?"
        ],
    ),
    (
        "- {action: notify, with: {to: x}, piority: low}",
        [
            "5:37: error[unknown-key]: step 'action' has no key 'piority' "
            "(action, as, with, await, timeout, returns, retry, idempotency, priority, batch, concurrency, not_after, order_key, on_unknown, compensate, on_error); did you mean 'priority'?"
        ],
    ),
    ("- {action: notify, delay: 2h}", ["5:5: error[two-verbs]: one step has 'action' and 'delay'; make two steps"]),
    (
        "- {dely: 2h}",
        [
            "5:5: error[no-verb]: a step begins with 'dely', which is no verb "
            "(action, delay, until, set, branch, parallel, for_each, call, wait, approve, decide, emit, generate, fail, stop); did you mean 'delay'?"
        ],
    ),
    (
        '- {score: risk, as: risk}\n  - {action: notify, with: {to: "{{ risk.band }}"}}',
        [
            "5:6: error[not-yet]: step 'score': the language has it and this version of Millrace does not run it yet; take the step away"
        ],
    ),
    (
        "- {action: notify, with: {to: x}, await: true}",
        [
            "5:5: error[no-deadline]: action 'notify' is awaited and has no timeout; an outcome must come: add timeout, here or under defaults"
        ],
    ),
    (
        '- {action: notify, as: sent, with: {to: x}}\n  - {action: notify, with: {to: "{{ sent.id }}"}}',
        [
            "6:37: error[not-awaited]: 'sent.id' is the result of an action that is not awaited; add await: true to step 'sent' (line 5)"
        ],
    ),
    (
        '- {action: notify, with: {to: "{{ late }}"}}\n  - set: {late: x}',
        [
            "5:37: error[not-yet-bound]: 'late' is bound later (line 6); move this step behind it",
        ],
    ),
    (
        '- set: {late: x}\n  - set: {late: y}\n  - {action: notify, with: {to: "{{ late }}"}}',
        ["6:11: error[bound-twice]: 'late' is bound at line 5 already; choose another name"],
    ),
    (
        "- set: {deal: x}",
        [
            "5:11: error[shadows-field]: 'deal' is a field of deal.closed; a binding needs another name",
            "5:11: warning[unused-binding]: 'deal' is bound and never read; read it or take it away",
        ],
    ),
    ("- stop: foo\n  - delay: 3s", ["6:5: error[unreachable]: nothing comes after stop (line 5); remove the step or move it"]),
    (
        '- branch: [{when: deal.band == "low", then: continue}, {when: deal.band == "high", then: continue}]',
        ['5:5: error[missing-else]: the arms do not cover "unsure" of deal.band; add an arm or else'],
    ),
    ("- branch: [{when: deal.vip, then: continue}, {when: not deal.vip, then: continue}]", []),
    (  # arms that cover every case: what all of them bind is there, and nothing comes behind what all of them end
        '- branch: [{when: deal.vip, then: [{set: {a: x}}]}, {when: not deal.vip, then: [{set: {a: y}}]}]\n  - {action: notify, with: {to: "{{ a }}"}}',
        [],
    ),
    (
        "- branch: [{when: deal.vip, then: [{stop: a}]}, {when: not deal.vip, then: [{stop: b}]}]\n  - delay: 3s",
        ["6:5: error[unreachable]: nothing comes after stop (line 5); remove the step or move it"],
    ),
    (
        "- branch: [{when: deal.value > 3, then: continue}]",
        ["5:5: error[missing-else]: the arms do not cover every case; add an arm or else"],
    ),
    (
        '- branch: [{when: deal.vip, then: [{set: {a: x}}]}]\n    else: continue\n  - {action: notify, with: {to: "{{ a }}"}}',
        ["7:33: error[maybe-missing]: 'a' may be missing and 'to' must be there; write {{ coalesce(a, ...) }}"],
    ),
    (
        '- branch: [{when: deal.vip, then: [{set: {a: x}}]}]\n    else: [{set: {a: y}}]\n  - {action: notify, with: {to: "{{ a }}"}}',
        [],
    ),
    (
        '- branch: [{when: exists(deal.partner), then: [{action: notify, with: {to: "{{ deal.partner }}"}}]}]\n    else: continue',
        [],
    ),
    (
        '- parallel: {x: [{set: {a: p}}], y: [{set: {a: q}}]}\n  - {action: notify, with: {to: "{{ a }}"}}',
        ["5:47: error[bound-twice]: 'a' is bound at line 5 already, in another arm; choose another name"],
    ),
    ("- {action: notify, with: {to: 3}}", ['5:33: error[type-mismatch]: 3 is int and string is wanted; quote it: "..."']),
    (
        "- {action: notify, as: exists, with: {to: x}}",
        ["5:26: error[bad-name]: 'exists' is a word of expressions and cannot be a name; choose another"],
    ),
    (
        "- {action: notfy}",
        [
            "5:14: warning[no-contract]: no contract is known for action 'notfy': its parameters cannot be checked; did you mean 'notify'?"
        ],
    ),
    (
        "- {action: notify, with: {to: x}, not_after: 10, retry: {attempts: 0}}",
        ["5:70: error[bad-value]: '0' cannot stand at 'attempts': input should be greater than or equal to 1"],
    ),
]

WHOLE = [
    (
        "flow: f\ntenant: [acme, a/b]\ntrigger: {event: order.placed}\nsteps: [{stop: done}]\n",
        ["2:16: error[bad-tenant]: 'a/b' is no tenant; write a name without / and \\, at most 256 bytes"],
    ),
    ("# nothing\n", ["1:1: error[no-document]: no document stands in this file; write one, as in flow: my_flow"]),
    (
        "flow: f\ntrigger: {event: order.placed, conditions: [order.total > 5000]}\nsteps: [{stop: done}]\n",
        ["2:59: error[needs-currency]: 'order.total' is money(GBP) and 5000 has no currency; write 5000 GBP"],
    ),
    (
        "flow: f\ntrigger: {event: order.placed, conditions: [order.total > 5 EUR]}\nsteps: [{stop: done}]\n",
        ["2:59: error[currency-mismatch]: money(GBP) > money(EUR); convert first, or compare amount(...) if that is meant"],
    ),
    (
        "flow: f\ntrigger: {event: no.such}\nsteps: [{stop: done}]\n",
        [
            "2:18: warning[no-contract]: no contract is known for no.such: its fields cannot be checked; "
            "write an event document or use --infer"
        ],
    ),
    (
        "flow: f\nlabels: {version: 1.10}\nenabled: yes\ntrigger: {event: order.placed}\nsteps: [{stop: done}]\n",
        [
            "2:19: error[want-string]: 1.10 is a number and 'version' wants a string; quote it: \"1.10\"",
            "3:10: error[want-bool]: 'yes' is a string in YAML 1.2 and 'enabled' wants a bool; write true or false",
        ],
    ),
    (
        "flow: f\nlimits: {}\ntrigger: {schedule: x}\nsteps: [{stop: done}]\n",
        [
            "3:10: error[missing-key]: trigger 'schedule' has no 'zone' and needs one; add it",
        ],
    ),
    (
        "flow: f\ntrigger: [{event: deal.closed, as: a}, {event: deal.lost, as: b}]\nsteps:\n"
        '  - {action: notify, with: {to: "{{ deal.stage }}"}}\n  - {action: notify, with: {to: "{{ string(deal.id) }}"}}\n',
        [
            "5:33: error[maybe-missing]: 'string(deal.id)' may be missing and 'to' must be there; "
            "write {{ coalesce(string(deal.id), ...) }}",
            "5:33: error[type-mismatch]: 'deal.id' has another type in each trigger; a flow with several triggers reads one type: "
            "divide the flow",
        ],
    ),
    (
        "workflow: f\ntrigger: {event: deal.closed}\nactions:\n  - {type: notify, to: x, delay: 1M}\n  - {type: notify, to: x, dely: 3}\n  - {tpe: notify}\n",
        [
            "4:34: error[bad-duration]: '1M' is not a unit (w d h m s ms); months differ in length: "
            'use until: plus_months(event.time, 1, "UTC")',
            "5:27: error[unknown-field]: action 'notify' takes no 'dely' (to, text, level, amount, token)",
            "6:5: error[missing-key]: an item of 'actions' has no 'type' and needs one; add it",
        ],
    ),
    ("event: a.b\nfields: {a: {x: strng}}\n", ["2:17: error[bad-type]: 'strng' is no type; did you mean 'string'?"]),
    (
        "event: a.b\nfields: {a: {x: string}}\nkey: a.y\n",
        ["3:6: error[unknown-field]: 'a.y' of 'key' is not in the fields (a.x); write one of these"],
    ),
    (
        "flo: x\n",
        [
            "1:1: error[no-kind]: this document has none of test, policy, flow, workflow, event, action; write its kind and name first; did you mean 'flow'?"
        ],
    ),
    (
        "flow: f\ntrigger: {event: order.placed}\nsteps: [{stop: done}]\n---\nflow: f\ntrigger: {event: order.placed}\nsteps: [{stop: done}]\n",
        ["5:7: error[defined-twice]: flow 'f' is defined at a.yaml:1 already; choose another name"],
    ),
]


@pytest.mark.parametrize(("condition", "message"), CONDITIONS)
def test_a_condition_is_told_with_its_place(condition: str, message: str) -> None:
    assert messages(f"{DEAL}  conditions:\n    - {condition}\nsteps:\n  - stop: done\n") == [message]


@pytest.mark.parametrize(("steps", "expected"), STEPS)
def test_a_step_is_told_with_its_place(steps: str, expected: list[str]) -> None:
    assert messages(f"{DEAL}steps:\n  {steps}\n") == expected


@pytest.mark.parametrize(("text", "expected"), WHOLE)
def test_a_document_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert sorted(messages(text)) == sorted(expected)


def test_all_problems_come_at_once_and_nothing_is_compiled() -> None:
    text = f"{DEAL}steps:\n  - delay: 30\n  - {{action: notify, tme: 1}}\n  - stop: Bad\n"
    found = check_sources([Source("contracts.yaml", CONTRACTS), Source("a.yaml", text)])
    assert [problem.name for problem in found.problems] == ["bad-duration", "missing-key", "unknown-key", "bad-name"]
    assert not found.ok
    assert found.flows == ()


def test_the_short_form_of_a_condition_means_what_its_expression_means() -> None:
    pairs = [
        ('{field: deal.value, operator: ">=", value: 10}', "deal.value >= 10"),
        ("{field: deal.stage, operator: starts_with, value: W}", 'starts_with(deal.stage, "W")'),
        ("{field: deal.partner, operator: exists, value: false}", "not exists(deal.partner)"),
        ("{field: deal.stage, operator: in, value: [Won, Lost]}", 'deal.stage in ["Won", "Lost"]'),
        ("{field: deal.stage, operator: ==, value: {field: deal.id}}", "deal.stage == deal.id"),
        ("{not: {any: [deal.vip, deal.value > 3]}}", "not (deal.vip or deal.value > 3)"),
    ]
    for short, long in pairs:
        one, two = (
            check_sources(
                [
                    Source("c.yaml", CONTRACTS),
                    Source(
                        "a.yaml",
                        f"{DEAL}  conditions:\n    - '{text}'\nsteps: [{{stop: d}}]\n".replace("'{", "{").replace("}'", "}"),
                    ),
                ]
            ).flows
            for text in (short, long)
        )
        assert one[0].program == two[0].program, short
        assert one[0].version == two[0].version, short


def test_steps_that_nest_too_deep_are_refused_by_the_limit() -> None:
    steps = "[{stop: s}]"
    for _ in range(17):
        steps = f"[{{branch: [{{when: deal.vip, then: {steps}}}], else: continue}}]"
    assert any("error[too-deep]: steps nest 18 deep, limit max_depth is 16" in one for one in messages(f"{DEAL}steps: {steps}\n"))


def test_more_than_500_steps_are_refused_by_the_limit() -> None:
    steps = "  - delay: 1s\n" * 501
    assert any("error[too-large]: more than 500 steps, the limit max_steps" in one for one in messages(f"{DEAL}steps:\n{steps}"))
