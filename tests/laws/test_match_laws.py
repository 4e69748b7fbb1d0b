"""Matching as a join agrees with asking each flow about each event, one by one."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.triggers.match import make_table, match_columns, match_events
from operators.triggers.match_rows import ALL, PAIRS, Trigger
from schemas.decode import select_keys
from schemas.expression.rows import compile_row
from schemas.expression.tree import And, Compare, Constant, Field, Not, Or, Tree
from schemas.expression.types import INT, STRING
from tests.examples import examples

TENANTS = ("acme", "globex", "Zürich")
VALUE = Field("deal.value", (), INT)
STAGE = Field("deal.stage", (), STRING)

numbers = st.builds(
    lambda op, n: Compare(op, VALUE, Constant(n, INT)), st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), st.integers(0, 4)
)
words = st.builds(
    lambda op, w: Compare(op, STAGE, Constant(w, STRING)), st.sampled_from(["==", "!="]), st.sampled_from(["won", "lost"])
)
conditions: st.SearchStrategy[Tree] = st.recursive(
    numbers | words,
    lambda inner: (
        st.builds(lambda a, b: And((a, b)), inner, inner)
        | st.builds(lambda a, b: Or((a, b)), inner, inner)
        | st.builds(Not, inner)
    ),
    max_leaves=4,
)
flows = st.lists(
    st.tuples(
        st.sampled_from(["f", "g", "h"]),
        st.sampled_from([*TENANTS, ALL]),
        st.lists(st.none() | conditions, min_size=1, max_size=2),
    ),
    max_size=8,
    unique_by=lambda flow: flow[:2],
)
events = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.none() | st.integers(0, 4), st.none() | st.sampled_from(["won", "lost"])), max_size=12
)


@pytest.mark.parametrize("route", ["joined", "asked"])
@given(flows=flows, events=events)
@settings(max_examples=examples(120))
def test_either_route_agrees_with_the_meaning(route: str, flows: Any, events: Any) -> None:
    triggers = _triggers(flows)
    frame = _frame(events)
    before = frame.clone()
    found = _matched(frame, triggers, route)
    assert found.schema == pl.Schema(PAIRS)
    assert found.select("row", "entry").rows() == _one_by_one(triggers, events)
    assert frame.equals(before)


@given(flows, events, st.integers(0, 12))
@settings(max_examples=examples(60))
def test_batch_edges_do_not_show(flows: Any, events: Any, cut: int) -> None:
    triggers, frame = _triggers(flows), _frame(events)
    parts = [_matched(part, triggers, "joined") for part in (frame[:cut], frame[cut:])]
    assert pl.concat(parts).rows() == _matched(frame, triggers, "joined").rows()


@given(flows, flows, events)
@settings(max_examples=examples(60))
def test_several_event_types_come_back_in_their_places(flows: Any, others: Any, events: Any) -> None:
    frame = _frame(events)
    tables = [make_table(_triggers(one)) for one in (flows, others) if one]
    found = match_events([(frame, table) for table in tables], select_keys)
    assert [one.rows() for one in found] == [match_columns([(frame, table)], select_keys)[0].rows() for table in tables]


def _matched(frame: pl.DataFrame, triggers: list[Trigger], route: str) -> pl.DataFrame:
    if not triggers:
        return pl.DataFrame(schema=PAIRS)
    table = make_table(triggers)
    return table.rows.match(frame, select_keys) if route == "asked" else match_columns([(frame, table)], select_keys)[0]


def _triggers(flows: Any) -> list[Trigger]:
    listed = [(tenant, name, order, tree) for name, tenant, trees in flows for order, tree in enumerate(trees)]
    return [Trigger(entry, tenant, name, order, tree) for entry, (tenant, name, order, tree) in enumerate(listed)]


def _frame(events: Any) -> pl.DataFrame:
    deal = pl.Struct({"value": pl.Int64, "stage": pl.String})
    return pl.DataFrame(
        {
            "row": range(len(events)),
            "tenant": [tenant for tenant, _, _ in events],
            "data": [{"deal": {"value": value, "stage": stage}} for _, value, stage in events],
        },
        schema={"row": pl.UInt32, "tenant": pl.String, "data": pl.Struct({"deal": deal})},
    )


def _one_by_one(triggers: list[Trigger], events: Any) -> list[tuple[int, int]]:
    own = {(one.tenant, one.flow) for one in triggers}
    found = []
    for row, (tenant, value, stage) in enumerate(events):
        env = {"deal.value": value, "deal.stage": stage}
        for name in sorted({one.flow for one in triggers}):
            owner = tenant if (tenant, name) in own else ALL
            mine = (one for one in triggers if (one.tenant, one.flow) == (owner, name))
            fitting = (one.entry for one in mine if one.condition is None or compile_row(one.condition)(env) is True)
            found.extend([(row, entry) for entry in [next(fitting, None)] if entry is not None])
    return found
