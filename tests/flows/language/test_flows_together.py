"""What `check` says of flows that reach each other: calls, circles, twins; and the order in which they are compiled."""

# ruff: noqa: E501  (messages and definitions stand whole, so that they can be searched for)

from __future__ import annotations

import pytest

from flows.language.definitions import Definitions, Source, check_sources
from flows.language.known import FlowType
from schemas.expression.type_text import parse_type
from schemas.program import Call

CONTRACTS = """\
event: a.made
fields: {a: {id: string, n: int}}
---
event: b.made
fields: {b: {id: string}}
---
{action: note, params: {text: string}}
"""


def checked(*flows: str) -> Definitions:
    return check_sources([Source("c.yaml", CONTRACTS), *(Source(f"{at}.yaml", text) for at, text in enumerate(flows))])


def told(*flows: str) -> list[str]:
    return [str(problem) for problem in checked(*flows).problems]


def emits(name: str, on: str, event: str, more: str = "") -> str:
    root, source = event.partition(".")[0], on.partition(".")[0]
    data = f"{{{root}: {{id: '{{{{ {source}.id }}}}'" + (", n: 1" if root == "a" else "") + "}}"
    return f"flow: {name}\ntrigger: {{event: {on}{more}}}\nsteps:\n  - {{emit: {event}, with: {data}}}\n"


def test_a_flow_that_starts_itself_by_an_event_is_told() -> None:
    assert told(emits("one", "a.made", "a.made")) == [
        "0.yaml:4:12: error[flow-cycle]: one emits a.made (line 4), which starts one; add a condition that ends it, or a limit with over: drop"
    ]


def test_a_circle_of_two_is_told_at_both() -> None:
    assert told(emits("one", "a.made", "b.made"), emits("two", "b.made", "a.made")) == [
        "0.yaml:4:12: error[flow-cycle]: one emits b.made (line 4), which starts two, which emits a.made, which starts one; add a condition that ends it, or a limit with over: drop",
        "1.yaml:4:12: error[flow-cycle]: two emits a.made (line 4), which starts one, which emits b.made, which starts two; add a condition that ends it, or a limit with over: drop",
    ]


def test_a_condition_or_a_limit_that_drops_ends_a_circle() -> None:
    assert told(emits("one", "a.made", "a.made", ", conditions: [a.n > 3]")) == []
    assert told(emits("one", "a.made", "a.made").replace("steps:", "limits: {concurrency: {max: 1, over: drop}}\nsteps:")) == []


def test_flows_that_call_each_other_are_told_once_each() -> None:
    one = "flow: one\ntrigger: {event: a.made}\nsteps: [{call: two, timeout: 1h}]\n"
    two = "flow: two\ntrigger: {event: b.made}\nsteps: [{call: one, timeout: 1h}]\n"
    assert told(one, two) == [
        "0.yaml:3:16: error[flow-cycle]: one calls two (line 3), which calls one; a call waits for its end: take one away",
        "1.yaml:3:16: error[flow-cycle]: two calls one (line 3), which calls two; a call waits for its end: take one away",
    ]


def test_a_flow_that_starts_after_itself_is_told() -> None:
    found = told("flow: one\ntrigger: [{as: x, event: a.made}, {as: y, after: one}]\nsteps: [{delay: 1h}]\n")
    assert found == [
        "0.yaml:2:50: error[flow-cycle]: one ends (line 2), which starts one; add a condition that ends it, or a limit with over: drop"
    ]


CALLEE = "flow: callee\ninputs: {id: string, n: int?}\ntrigger: {manual: {roles: [desk]}, id: inputs.id}\nsteps: [{delay: 1h}]\noutput: {id: '{{ inputs.id }}', n: '{{ inputs.n }}'}\n"
CALLER = "flow: caller\ntrigger: {event: a.made}\nsteps:\n  - {call: callee, as: back, timeout: 1h, with: {id: '{{ a.id }}'}}\n  - {action: note, with: {text: '{{ back.id }}'}}\n"


@pytest.mark.parametrize("flows", [(CALLER, CALLEE), (CALLEE, CALLER)])
def test_a_caller_is_checked_and_locked_whatever_the_order_of_the_files(flows: tuple[str, str]) -> None:
    found = checked(*flows)
    assert [str(problem) for problem in found.problems] == []
    by_name = {flow.name: flow for flow in found.flows}
    (call,) = [step for step in by_name["caller"].program.steps if isinstance(step, Call)]
    assert call.version == by_name["callee"].version
    assert call.result == parse_type({"id": "string", "n": "int?"})
    assert [flow.file for flow in found.flows] == ["0.yaml", "1.yaml"]


def test_a_new_version_of_what_is_called_is_a_new_version_of_the_caller() -> None:
    once, again = checked(CALLER, CALLEE), checked(CALLER, CALLEE.replace("1h", "2h"))
    assert once.flows[0].version != again.flows[0].version
    assert once.flows[0].document == again.flows[0].document


def test_inputs_of_a_call_are_checked() -> None:
    assert told(CALLER.replace("id: '{{ a.id }}'", "n: '{{ a.id }}', m: 1"), CALLEE) == [
        "0.yaml:4:49: error[missing-key]: flow 'callee' needs 'id' (string); add it to with",
        "0.yaml:4:57: error[type-mismatch]: 'a.id' is a string; an int is wanted here",
        "0.yaml:4:67: error[unknown-field]: flow 'callee' takes no 'm' (id, n)",
    ]


def test_a_flow_that_is_deployed_already_can_be_called() -> None:
    deployed = FlowType("callee", "v1", parse_type({"id": "string"}), parse_type({"id": "string"}))
    sources = [Source("c.yaml", CONTRACTS), Source("0.yaml", CALLER)]
    assert [str(one) for one in check_sources(sources).problems] == [
        "0.yaml:4:12: error[unknown-flow]: no flow 'callee' is known that could be called; give its file as well, or deploy it first"
    ]
    found = check_sources(sources, known_flows={"callee": deployed}.get)
    assert found.problems == ()
    (call,) = [step for step in found.flows[0].program.steps if isinstance(step, Call)]
    assert call.version == "v1"


def test_a_long_chain_of_calls_is_compiled_from_its_end() -> None:
    chain = [
        f"flow: f{at}\ntrigger: {{event: a.made, conditions: [a.n == {at}]}}\nsteps: [{{call: f{at + 1}, timeout: 1h}}]\n"
        for at in range(1200)
    ]
    last = "flow: f1200\ntrigger: {event: a.made, conditions: [a.n > 1200]}\nsteps: [{delay: 1h}]\n"
    found = checked("---\n".join([*chain, last]))
    assert found.problems == ()
    assert len(found.flows) == 1201


TWIN = "flow: {name}\n{more}trigger: {{event: a.made}}\nsteps: [{{action: note, with: {{text: '{{{{ a.id }}}}'}}}}]\n"


def test_two_flows_that_do_the_same_for_an_event_are_told() -> None:
    one, two = TWIN.format(name="one", more=""), TWIN.format(name="two", more="")
    assert told(one, two) == [
        "1.yaml:3:18: warning[twin-action]: 'note' is sent with the same data for each a.made by flow 'one' (0.yaml:3) too; take one away, or let the triggers exclude each other"
    ]


@pytest.mark.parametrize(
    ("one", "two", "twins"),
    [("tenant: a\n", "tenant: b\n", 0), ("tenant: a\n", "tenant: [b, a]\n", 1), ("tenant: a\n", "", 1), ("", "tenant: a\n", 1)],
)
def test_twins_serve_one_tenant(one: str, two: str, twins: int) -> None:
    assert len(told(TWIN.format(name="one", more=one), TWIN.format(name="two", more=two))) == twins


def hook(name: str, more: str, path: str = "in") -> str:
    signed = "{header: X-Signature, scheme: hmac-sha256, secret: secrets.hook, tolerance: 5m}"
    trigger = f"trigger: {{webhook: {path}, event: a.made, signature: {signed if more != 'none' else 'none'}"
    rest = f", {more}" if more not in ("", "none") else ""
    return f"flow: {name}\n{trigger}{rest}}}\nsteps: [{{action: note, with: {{text: '{name}'}}}}]\n"


UNSIGNED = (
    "0.yaml:2:50: warning[unsigned-way]: the signature guards the webhook alone: each a.made starts this flow, also one that comes "
    'by WAYS; if only signed ones may, add conditions: [event.source == "/hooks/in"], which '
    "whoever may use `millrace send` can write too"
)


def test_a_signed_webhook_is_told_that_its_events_come_other_ways_too() -> None:
    assert told(hook("one", "")) == [UNSIGNED.replace("WAYS", "millrace send")]
    several = told(
        hook("one", ""), hook("two", "none", "open"), emits("three", "b.made", "a.made", "").replace("b.made, ", "b.made")
    )
    assert UNSIGNED.replace("WAYS", "webhook 'open' without a signature, emit in flow 'three', millrace send") in several
    assert sum("unsigned-way" in problem for problem in several) == 1


@pytest.mark.parametrize(
    ("more", "warns"),
    [
        ("conditions: ['event.source == \"/hooks/in\"']", False),
        ("conditions: ['a.n > 3', 'starts_with(event.source, \"/hooks/\")']", False),
        ("conditions: ['a.n > 3']", True),
        ("conditions: ['event.source != \"/x\"']", True),
        ("conditions: [{any: ['a.n > 3', 'event.source == \"/hooks/in\"']}]", True),
        ("conditions: ['a.n > 3 or event.source == \"/hooks/in\"']", True),
        ("none", False),
    ],
)
def test_who_asks_for_the_source_or_for_no_signature_is_not_told(more: str, warns: bool) -> None:
    assert ["unsigned-way" in problem for problem in told(hook("one", more))] == [True] * warns
