"""A flow that starts after another reads why that one ended badly, as the other's own handlers do."""

# ruff: noqa: E501  (definitions stand whole)

from __future__ import annotations

import pytest

from flows.language.definitions import Source, check_sources
from flows.scenarios.coverage import Coverage
from flows.scenarios.run_tests import run_tests
from schemas.registry import Registry

WORLD = """\
{event: order.placed, fields: {order: {id: string, customer: string}}}
---
{action: reserve, params: {order: string}, result: {id: string}}
---
{action: charge, params: {order: string}, result: {id: string}, errors: [no_funds]}
---
{action: release, params: {id: string}}
---
{action: tell, params: {text: string}}
---
flow: paying
trigger: {event: order.placed}
steps:
  - {action: reserve, as: held, await: true, timeout: 1h, with: {order: "{{ order.id }}"}, compensate: {action: release, with: {id: "{{ held.id }}"}}}
  - {action: charge, as: paid, await: true, timeout: 1h, with: {order: "{{ order.id }}"}}
on_error: [{action: tell, with: {text: "{{ error.code }} at {{ error.step }}: {{ error.message }}, undone {{ join(error.compensated, ' ') }}"}}]
---
flow: care
trigger: {after: paying, status: STATUS}
steps: [{action: tell, with: {text: "TEXT"}}]
---
test: a story
flow: care
clock: "2026-03-02T09:00:00Z"
answers: {reserve: {id: R-1}, charge: ANSWER, release: {}}
timeline:
  - {at: 0s, send: order.placed, with: {order: {id: A1, customer: C1}}}
  - {at: 1h, expect: {executions: EXECUTIONS, status: completed, actions_include: [{action: tell, with: {text: SAID}}]}}
"""
ALL = "{{ after.paying.error.code }} at {{ after.paying.error.step }}: {{ after.paying.error.message }}, undone {{ join(after.paying.error.compensated, ' ') }}"
MAYBE = "after: {{ coalesce(after.paying.error.step, 'nowhere') }}"


def differences(status: str, text: str, answer: str, said: str) -> list[str]:
    story = WORLD.replace("STATUS", status).replace("TEXT", text).replace("ANSWER", answer).replace("SAID", said)
    definitions = check_sources([Source("flows.yaml", story.replace("EXECUTIONS", "2"))])
    assert not definitions.errors, definitions.errors
    (told,) = run_tests(definitions, Registry, Coverage())
    return [] if told.failure is None else [str(told)]


@pytest.mark.parametrize(
    ("status", "text", "answer", "said"),
    [
        (
            "failed",
            "after: " + ALL,
            "no_funds",
            '"after: no_funds at paid: the test answers no_funds after 1 attempt, undone held"',
        ),
        ("any", MAYBE, "no_funds", '"after: paid"'),
        ("any", MAYBE, "{id: P-1}", '"after: nowhere"'),
    ],
)
def test_a_flow_that_starts_after_another_sees_what_its_handlers_saw(status: str, text: str, answer: str, said: str) -> None:
    assert differences(status, text, answer, said) == []
