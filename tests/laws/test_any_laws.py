"""Fields that no contract types mean the same to a trigger's condition as to a step: what their JSON says, never its text."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.triggers.match import make_table, match_columns
from operators.triggers.match_rows import ALL, Trigger
from operators.triggers.mistyped import mistyped_table
from schemas.contracts import EventContract
from schemas.decode import Decoded, DecodeRules, EventFrame, decode, key_rows, select_keys
from schemas.events import encode_events
from schemas.expression.check import elaborate
from schemas.expression.parse import parse
from schemas.expression.rows import compile_row
from schemas.expression.scope import Scope
from schemas.expression.tree import Convert, Field, Tree
from schemas.expression.type_text import parse_type
from schemas.expression.walk import keys, nodes
from schemas.ports import Chunk
from sinks.projection.event_columns import event_rows
from tests.examples import examples
from tests.laws.test_codec_laws import NOW, registry_of

DATA: Final = parse_type({"amount": "any?", "deal": {"note": "any?"}, "tags": "list(any)?", "n": "int?"}, {})
TEXTS: Final = (
    "amount > 100",
    "amount != 150",
    'amount == "x"',
    "amount == true",
    'amount in ["x", "150"]',
    "exists(amount)",
    "exists(deal.note) and deal.note == n",
    "n > 1 and amount < 3.5",
    'deal.note matches "x.*"',
    'tags[0] == "x"',
    "count(tags) > 1",
    'string(amount) == "150"',
    "coalesce(amount, 7) >= 7",
)
values = st.sampled_from([None, 150, 3, 12.5, "x", "150", "", True, False, [1, "x"], {"a": "x"}, '"x"', "null"])
rows = st.lists(
    st.fixed_dictionaries(
        {
            "amount": values,
            "deal": st.fixed_dictionaries({"note": values}),
            "tags": st.none() | st.lists(values.filter(lambda value: value is not None), max_size=3),
            "n": st.none() | st.integers(0, 3),
        }
    ),
    min_size=1,
    max_size=12,
)


def condition_of(text: str) -> Tree:
    found = elaborate(parse(text), Scope(DATA, event="a.b", steps=False))
    assert found.ok, (text, found.findings)
    return found.tree


TREES: Final = {text: condition_of(text) for text in TEXTS}


def decoded(drawn: list[dict[str, Any]], route: str) -> tuple[Decoded, Chunk]:
    registry, (contract,) = registry_of(EventContract(event="a.b", topic="a.events", data=DATA))
    events = [
        {"id": f"e{at}", "source": "s", "type": "a.b", "specversion": "1.0", "time": NOW, "tenant": "t", "data": data}
        for at, data in enumerate(drawn)
    ]
    if route == "avro":
        records = encode_events(contract, [{**one, "subject": None} for one in events])
    else:
        records = [json.dumps({**one, "time": "2026-01-01T00:00:00Z"}).encode() for one in events]
    chunk = Chunk("ingress.db", "a.events", 0, 0, NOW, records)
    found = decode([chunk], registry, DecodeRules(NOW, "events"))
    assert found.bad == ()
    return found, chunk


def frame_of(drawn: list[dict[str, Any]], route: str) -> EventFrame:
    return decoded(drawn, route)[0].frames[0]


@pytest.mark.parametrize("route", ["json", "avro"])
@given(rows)
@settings(max_examples=examples(60), deadline=None)
def test_a_condition_reads_what_the_json_says(route: str, drawn: list[dict[str, Any]]) -> None:
    events = frame_of(drawn, route)
    triggers = [Trigger(entry, ALL, f"f{entry:02}", 0, tree) for entry, tree in enumerate(TREES.values())]
    read = sorted({key for tree in TREES.values() for key in keys(tree)})
    envs = key_rows(events.frame, read, events.contract.data)
    wanted = [
        (row, entry)
        for row, env in enumerate(envs)
        for entry, tree in enumerate(TREES.values())
        if compile_row(tree)(env) is True
    ]
    table = make_table(triggers)
    (joined,) = match_columns([(events.frame, table)], select_keys)
    for found in (joined, table.rows.match(events.frame, select_keys)):
        assert found.select("row", "entry").rows() == wanted


@given(rows)
@settings(max_examples=examples(60), deadline=None)
def test_what_is_there_and_cannot_be_read_as_a_condition_wants_is_told(drawn: list[dict[str, Any]]) -> None:
    events = frame_of(drawn, "json")
    table = mistyped_table([Trigger(entry, ALL, f"f{entry:02}", 0, tree) for entry, tree in enumerate(TREES.values())], ())
    assert table is not None
    (found,) = match_columns([(events.frame, table)], select_keys)
    wanted = []
    for entry, tree in enumerate(TREES.values()):
        read = [one for one in nodes(tree) if isinstance(one, Convert) and isinstance(one.item, Field)]
        envs = key_rows(events.frame, sorted(keys(tree)), events.contract.data)
        for row, env in enumerate(envs):
            there = [compile_row(one)(env) is None for one in read if compile_row(one.item)(env) is not None]
            wanted += [(row, entry)] if any(there) else []
    assert sorted(found.select("row", "entry").rows()) == sorted(wanted)


@pytest.mark.parametrize("route", ["json", "avro"])
@given(rows)
@settings(max_examples=examples(30), deadline=None)
def test_the_events_view_shows_what_was_sent(route: str, drawn: list[dict[str, Any]]) -> None:
    found, chunk = decoded(drawn, route)
    shown = event_rows(found, [chunk], np.empty(0, np.int64))
    assert shown is not None
    assert [json.loads(text) for text in shown["data"]] == [_without_missing(data) for data in drawn]


def _without_missing(data: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if value is not None}
    return {**kept, "deal": {key: value for key, value in data["deal"].items() if value is not None}}


def test_what_an_any_says_decides() -> None:
    drawn: list[dict[str, Any]] = [{"amount": value, "deal": {}} for value in (150, "x", 12.5, "150", None)]
    events = frame_of(drawn, "json")
    assert events.frame.schema["data"].to_schema()["amount"] == pl.Binary()  # type: ignore[attr-defined]
    table = make_table([Trigger(0, ALL, "big", 0, TREES["amount > 100"]), Trigger(1, ALL, "x", 0, TREES['amount == "x"'])])
    (found,) = match_columns([(events.frame, table)], select_keys)
    assert found.select("row", "entry").rows() == [(0, 0), (1, 1)]
