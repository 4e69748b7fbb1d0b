"""What an execution knows is shown as it was written: a time as a time, money with its currency, whatever bound it."""

# ruff: noqa: E501  (definitions stand whole)

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.cli.past import NEVER_US, known
from flows.language.definitions import Source, check_sources
from schemas.exact_json import exact
from schemas.expression.type_text import parse_type
from schemas.program import Program
from schemas.program_values import shown_as, type_at, value_types
from tests.examples import examples

FLOWS = """\
event: order.placed
fields: {order: {id: string, at: timestamp, total: money(GBP), patience: duration, lines: list(line), note: any}}
types: {line: {sku: string, at: timestamp}}
---
event: order.paid
fields: {order: {id: string, at: timestamp, paid: money(GBP), by: {at: timestamp, name: string}}}
---
{action: book, params: {order: string}, result: {ready_at: timestamp, fee: money(GBP)}}
---
policy: table
inputs: {x: int}
outputs: {due: timestamp, patience: duration}
hit: first
rules: [{when: x > 5, then: {due: "2026-01-02T00:00:00Z", patience: 1h}}]
otherwise: {due: "2026-01-01T00:00:00Z", patience: 3h}
---
flow: sub
inputs: {at: timestamp}
trigger: {manual: {roles: [desk]}}
steps: [{delay: 1m}]
output: {at: "{{ inputs.at }}"}
---
flow: main
trigger: {event: order.placed}
steps:
  - {set: {later: "{{ order.at + 1d }}", both: {a: "{{ order.at }}", b: [1, "{{ order.patience }}"]}, due: "{{ order.total }}"}}
  - {decide: table, as: got, with: {x: 3}}
  - {wait: order.paid, as: paid, correlate: paid.order.id == order.id, timeout: 3d, on_timeout: continue}
  - {for_each: order.lines, each: line, max: 10, as: lines, result: {t: "{{ line.at }}"}, steps: [{delay: order.patience}]}
  - {call: sub, as: called, with: {at: "{{ later }}"}, timeout: 1d}
  - {action: book, as: booked, await: true, timeout: 1h, with: {order: "{{ order.id }}"}}
  - {approve: "ok?", as: ok, by: {role: x}, form: {when: timestamp}, timeout: 3d, on_timeout: rejected}
  - branch: [{when: ok.outcome == "rejected", then: [{stop: x}]}]
    else: continue
  - {set: {end: "{{ paid.order.by.at }}", more: ["{{ paid.order.at }}", "{{ booked.fee }}"]}}
  - {until: 'coalesce(end, later, called.at, ok.form.when)'}
  - {action: book, with: {order: "{{ order.id }}"}}
---
flow: heard
trigger:
  sequence: {key: order.id, within: 1h, events: [{event: order.placed, as: first}, {event: order.paid, as: second}]}
steps: [{until: first.order.at + 1d}, {until: second.order.at + 1d}]
---
flow: counted
trigger: {event: order.placed, window: {key: order.id, tumbling: 1h, fire: close, measures: {spend: sum(order.total), n: count()}}}
steps: [{action: book, with: {order: "{{ window.spend }} in all"}}]
---
flow: nightly
trigger: {schedule: "0 3 * * *", zone: UTC}
steps: [{until: schedule.slot + 1d}]
---
flow: then
trigger: {after: sub}
steps: [{until: after.sub.output.at}]
"""
T, US = "2026-11-20T10:00:00Z", 1_795_168_800_000_000
PAY, PAID = Decimal("12.500000000"), "12.50 GBP"
SHOWN: dict[str, list[tuple[str, Any, Any]]] = {
    "main": [
        ("event.id", "e1", "e1"),
        ("order.at", US, T),
        ("order.total", PAY, PAID),
        ("order.patience", 5_400_000_000, "1h30m"),
        ("order.lines", [{"sku": "a", "at": US}], [{"sku": "a", "at": T}]),
        ("later", US, T),
        ("both", {"a": US, "b": [1, 60_000_000]}, {"a": T, "b": [1, "1m"]}),
        ("due", PAY, PAID),
        ("got", {"due": US, "patience": 60_000_000}, {"due": T, "patience": "1m"}),
        ("paid", {"order": {"at": US, "by": {"at": None}}}, {"order": {"at": T, "by": {"at": None}}}),
        ("lines", {"results": [{"t": US}, None], "errors": []}, {"results": [{"t": T}, None], "errors": []}),
        ("called", {"at": US}, {"at": T}),
        ("booked", {"ready_at": US, "fee": PAY}, {"ready_at": T, "fee": PAID}),
        ("ok", {"outcome": "approved", "at": US, "form": {"when": US}}, {"outcome": "approved", "at": T, "form": {"when": T}}),
    ],
    "sub": [("inputs.at", US, T)],
    "heard": [("first", {"order": {"at": US}}, {"order": {"at": T}}), ("second", {"order": {"at": US}}, {"order": {"at": T}})],
    "counted": [("window.spend", PAY, PAID)],
    "nightly": [("schedule.slot", US, T)],
    "then": [("after.sub.output", {"at": US}, {"at": T})],
}


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    definitions = check_sources([Source("flows.yaml", FLOWS)])
    assert not definitions.errors, definitions.errors
    return {flow.name: flow.program for flow in definitions.flows}


@pytest.mark.parametrize("flow", SHOWN)
def test_a_value_is_shown_as_its_program_says(flow: str, programs: dict[str, Program]) -> None:
    answer = parse_type({"due": "timestamp", "patience": "duration"})
    types = {"v1": value_types(programs[flow], {"table": answer})}
    bound = {name: exact(value) for name, value, _ in SHOWN[flow]}
    turns = [{"at": T, "version": "v1", "bound": bound | {"#used": 1}}, {"at": T, "version": "gone", "bound": {"x": US}}]
    assert known(turns, NEVER_US, types) == {name: shown for name, _, shown in SHOWN[flow]} | {"x": US}


def test_what_it_knew_at_a_time_is_shown_with_it() -> None:
    turns: list[dict[str, Any]] = [
        {"at": "2026-05-28T20:26:40Z", "version": "v1", "bound": {"order.id": "A1", "#twin": True}},
        {"at": "2026-05-28T20:26:41Z", "version": "v1", "bound": None},
        {"at": "2026-05-28T20:26:45Z", "version": "v1", "bound": {"paid": {"amount": {"$decimal": "5.00"}}}},
    ]
    assert known(turns, 1_780_000_000_000_000 + 4_000_000, {}) == {"order.id": "A1"}
    assert known(turns, 1_780_000_000_000_000 + 5_000_000, {}) == {"order.id": "A1", "paid": {"amount": Decimal("5.00")}}


def test_a_part_of_a_value_has_the_type_of_its_place(programs: dict[str, Program]) -> None:
    types = value_types(programs["main"])
    names = ("paid.order.at", "both.a", "later", "order.total", "called.at")
    assert [(found := type_at(types, name)) and found.name for name in names] == [
        "timestamp",
        "timestamp",
        "timestamp",
        "money",
        "timestamp",
    ]
    assert [type_at(types, name) for name in ("nothing", "paid.order.nothing", "later.x")] == [None, None, None]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.decimals() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)
KINDS = ["timestamp", "duration", "money(GBP)", "list(timestamp)", "string", "any", "decimal"]
NESTED = parse_type({"a": "timestamp", "b": {"a": "list(money(GBP))"}})
kinds = st.sampled_from([*map(parse_type, KINDS), NESTED])


@settings(max_examples=examples(300))
@given(plain, kinds | st.none())
def test_whatever_it_is_it_can_be_shown(value: Any, kind: Any) -> None:
    shown = shown_as(value, kind)
    assert type(shown) in (type(value), str, Decimal)
    assert not isinstance(value, list | dict) or len(shown) == len(value)
