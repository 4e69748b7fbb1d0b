"""One cause, one message: a misspelt key is read as what it means, and a document with an error is not told of again by others."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources

DOCUMENTS = """\
event: order.placed
fields: {order: {id: string, total: money(GBP), n: int}}
---
{event: order.paid, fields: {order: {id: string}}}
---
{action: ship, params: {order: string, n: int?}}
---
{policy: limit, type: money(GBP), value: 5 GBP}
---
{policy: sla, key: string, type: duration, values: {a: 1d}, default: 2d}
---
policy: route
inputs: {total: money(GBP)}
outputs: {to: string}
hit: first
rules: [{when: total > 5 GBP, then: {to: a}}]
otherwise: {to: b}
---
flow: billing
inputs: {n: int}
trigger: {manual: {roles: [desk]}}
steps: [{delay: 2h}]
output: {bill: "{{ inputs.n }}"}
---
flow: main
trigger: {event: order.placed, conditions: [order.total > policies.limit, order.n > 3]}
steps:
  - {wait: order.paid, as: paid, correlate: paid.order.id == order.id, timeout: 'policies.sla[order.id]', on_timeout: continue}
  - {decide: route, as: way, with: {total: "{{ order.total }}"}}
  - {action: ship, with: {order: "{{ way.to }}"}}
  - {emit: order.paid, with: {order: {id: "{{ order.id }}"}}}
  - {call: billing, as: billed, with: {n: 3}, timeout: 1d}
  - {action: ship, with: {order: "{{ order.id }}", n: "{{ billed.bill }}"}}
---
flow: next
trigger: {after: main}
steps: [{action: ship, with: {order: "{{ after.main.execution }}"}}]
"""


def told(text: str) -> list[str]:
    return [str(problem) for problem in check_sources([Source("a.yaml", text)]).problems]


def test_the_documents_are_right() -> None:
    assert told(DOCUMENTS) == []


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("total: money(GBP), n: int", "total: mony(GBP), n: int", "a.yaml:2:37: error[bad-type]"),
        ("fields: {order: {id: string, total", "field: {order: {id: string, total", "a.yaml:2:1: error[unknown-key]"),
        ("n: int}}", "n: int}}\nkey: order.idd", "a.yaml:3:6: error[unknown-field]"),
        ("{event: order.paid, fields: {order: {id: string}}}", "{event: order.paid}", "a.yaml:4:1: error[missing-key]"),
        ("{order: string, n", "{order: strin, n", "a.yaml:6:32: error[bad-type]"),
        ("value: 5 GBP}", "value: 5 EUR}", "a.yaml:8:42: error[currency-mismatch]"),
        ("default: 2d", "default: 2", "a.yaml:10:70: error[bad-duration]"),
        ("then: {to: a}", "then: {to: 1}", "a.yaml:16:42: error[type-mismatch]"),
        ("rules: [{when: total > 5 GBP, then: {to: a}}]", "rules: []", "a.yaml:16:8: error[empty-list]"),
        ("delay: 2h", "delay: 2", "a.yaml:22:17: error[bad-duration]"),
        ("{delay: 2h}", "{dely: 2h}", "a.yaml:22:9: error[no-verb]"),
        ("fields: {order: {id: string}}}", "fields: [x]}", "a.yaml:4:29: error[want-mapping]"),
    ],
)
def test_a_document_with_an_error_is_told_of_once(right: str, wrong: str, expected: str) -> None:
    assert right in DOCUMENTS
    (problem,) = told(DOCUMENTS.replace(right, wrong, 1))
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("timeout: 'policies", "time_out: 'policies", "timeout"),
        ("on_timeout: continue", "on_timeot: [{delay: 2h}]", "on_timeout"),
        ("as: paid", "ass: paid", "as"),
        ("steps:\n  - {wait", "stepps:\n  - {wait", "steps"),
        ("trigger: {event", "triger: {event", "trigger"),
        ("conditions: [order", "condition: [order", "conditions"),
        ("steps: [{delay", "step: [{delay", "steps"),
        ("inputs: {n: int}", "input: {n: int}", "inputs"),
    ],
)
def test_a_misspelt_key_is_read_as_what_it_means(right: str, wrong: str, key: str) -> None:
    assert right in DOCUMENTS
    (problem,) = told(DOCUMENTS.replace(right, wrong, 1))
    assert "error[unknown-key]" in problem
    assert problem.endswith(f"did you mean '{key}'?")


def test_what_stands_under_a_misspelt_key_is_checked() -> None:
    wrong = DOCUMENTS.replace("on_timeout: continue", "on_timeot: [{delay: 2}, {stop: x, also: y}]", 1)
    assert [problem.partition("]")[0] for problem in told(wrong)] == [
        "a.yaml:28:107: error[unknown-key",
        "a.yaml:28:127: error[bad-duration",
        "a.yaml:28:141: error[unknown-key",
    ]
    deep = "steps: [{delay: 2h}]"
    for _ in range(40):
        deep = f"steps: [{{branch: [{{when: inputs.n > 3, then: [{{for_each: [1], each: x, {deep.replace('steps', 'stepz', 1)}}}]}}], else: continue}}]"
    found = told(DOCUMENTS.replace("steps: [{delay: 2h}]", deep, 1))
    assert any("too-deep" in problem for problem in found)


def test_of_two_keys_that_mean_the_same_one_is_read() -> None:
    wrong = DOCUMENTS.replace("timeout: 'policies.sla[order.id]'", "timout: 3d, timeoutt: 4x", 1)
    assert ["unknown-key" in problem for problem in told(wrong)] == [True, True]
