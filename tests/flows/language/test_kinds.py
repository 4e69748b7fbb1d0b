"""Each of the 25 messages of flow-language.md section 8 is told for the least text that deserves it."""

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources

CONTRACTS = """\
event: deal.closed
fields: {deal: {id: string, value: int, stage: string, partner: string?, total: money(GBP), band: 'one_of("a", "b")'}}
---
event: invoice.paid
fields: {invoice: {id: string}}
---
{action: note, params: {text: string, token: string?}, result: {id: string}}
"""
HEAD = "flow: f\ntrigger:\n  event: deal.closed\n"
DEEP = "steps: [" + "{parallel: {a: [" * 16 + "{delay: 1h}" + "]}}" * 16 + "]"
KINDS = [
    (1, "unknown-field", "  conditions: deal.valeu > 1\nsteps: [{delay: 1h}]"),
    (2, "type-mismatch", "  conditions: deal.stage >= 10000\nsteps: [{delay: 1h}]"),
    (3, "needs-currency", "  conditions: deal.total > 5000\nsteps: [{delay: 1h}]"),
    (4, "currency-mismatch", "  conditions: deal.total > 5 EUR\nsteps: [{delay: 1h}]"),
    (5, "bad-duration", "steps: [{delay: 30}]"),
    (6, "bad-duration", "steps: [{delay: 1M}]"),
    (7, "unquoted-template", "steps: [{action: note, with: {text: {{ deal.id }}}}]"),
    (8, "template-in-expression", "  conditions: '{{ deal.value }} >= 10'\nsteps: [{delay: 1h}]"),
    (9, "null-comparison", "  conditions: deal.partner == null\nsteps: [{delay: 1h}]"),
    (10, "maybe-missing", "steps: [{action: note, with: {text: 'Dear {{ deal.partner }}'}}]"),
    (11, "unknown-key", "steps: [{wait: invoice.paid, as: paid, time_out: 1d, on_timeout: fail}]"),
    (12, "no-deadline", "steps: [{wait: invoice.paid, as: paid, on_timeout: fail}]"),
    (13, "two-verbs", "steps: [{action: note, delay: 1h}]"),
    (14, "not-awaited", "steps: [{action: note, as: n, with: {text: x}}, {action: note, with: {text: '{{ n.id }}'}}]"),
    (15, "not-yet-bound", "steps: [{action: note, with: {text: '{{ later }}'}}, {set: {later: x}}]"),
    (16, "bound-twice", "steps: [{set: {a: x}}, {set: {a: '{{ a }}'}}]"),
    (17, "shadows-field", "steps: [{set: {deal: x}}]"),
    (18, "missing-else", "steps: [{branch: [{when: 'deal.band == \"a\"', then: continue}]}]"),
    (19, "unreachable", "steps: [{stop: done}, {delay: 1h}]"),
    (20, "cannot-be-met", "steps: [{wait: invoice.paid, as: p, correlate: p.deal.id == deal.id, timeout: 1d, on_timeout: fail}]"),
    (21, "flow-cycle", "steps: [{emit: deal.closed, with: {deal: '{{ event.data.deal }}'}}]"),
    (22, "bad-schedule", "steps: [{delay: 1h}]"),
    (23, "secret-in-clear", "steps: [{action: note, with: {text: x, token: abc}}]"),
    (24, "want-string", "labels: {version: 1.10}\nsteps: [{delay: 1h}]"),
    (25, "too-deep", DEEP),
]


@pytest.mark.parametrize(("number", "name", "text"), KINDS)
def test_a_kind_of_message_is_told_with_a_place(number: int, name: str, text: str) -> None:
    head = HEAD if number != 22 else 'flow: f\ntrigger: {schedule: "0 25 * * *", zone: Europe/Berlin}\n'
    found = check_sources([Source("c.yaml", CONTRACTS), Source("a.yaml", f"{head}{text}\n")])
    assert name in {problem.name for problem in found.errors}
    assert all(problem.file == "a.yaml" and problem.line >= 1 and problem.column >= 1 for problem in found.problems)
    assert not found.ok


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (
            "2",
            "a.yaml:1:11: error[newer-language]: this document says it is written in language 2, and this Millrace reads "
            "language 1; upgrade Millrace, or write language: 1 if nothing newer is used",
        ),
        ("0", "a.yaml:1:11: error[bad-word]: '0' is no number of a language; write language: 1, or take the key away"),
        ("first", "a.yaml:1:11: error[bad-word]: 'first' is no number of a language; write language: 1, or take the key away"),
    ],
)
@pytest.mark.parametrize("document", [f"{HEAD}steps: [{{delay: 1h}}]", "policy: p\ntype: int\nvalue: 1"])
def test_a_document_of_another_language_is_refused_by_its_number(number: str, message: str, document: str) -> None:
    found = check_sources([Source("c.yaml", CONTRACTS), Source("a.yaml", f"language: {number}\n{document}\n")])
    assert message in [str(problem) for problem in found.errors]


WARNINGS = [
    ("maybe-missing-branch", "  conditions: deal.partner == deal.id\nsteps: [{delay: 1h}]"),
    ("outcome-unread", "steps: [{approve: 'Ship?', as: a, by: {role: desk}, timeout: 1d, on_timeout: rejected}]"),
    ("unnamed-wait", "steps: [{wait: invoice.paid, timeout: 1d, on_timeout: continue}]"),
    ("always-false", '  conditions: deal.band == "c"\nsteps: [{delay: 1h}]'),
    ("unused-binding", "steps: [{set: {a: x}}]"),
]


@pytest.mark.parametrize(("name", "text"), WARNINGS)
def test_a_warning_forbids_nothing(name: str, text: str) -> None:
    found = check_sources([Source("c.yaml", CONTRACTS), Source("a.yaml", f"{HEAD}{text}\n")])
    assert [problem.name for problem in found.problems] == [name]
    assert [flow.name for flow in found.flows] == ["f"]
