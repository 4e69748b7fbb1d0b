"""Contracts derived from JSON lines, worked by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.decode import DecodeRules, decode
from schemas.errors import InvalidInput
from schemas.expression.types import BOOL, FLOAT, INT, STRING, TIMESTAMP, Type
from schemas.infer import infer_contracts
from schemas.ports import Chunk
from schemas.registry import Registry, registered


def lines(*data: Any, event: str = "deal.closed") -> list[bytes]:
    return [
        json.dumps({"id": str(at), "source": "s", "tenant": "t", "type": event, "data": one}).encode()
        for at, one in enumerate(data)
    ]


def fields(*data: Any) -> dict[str, Type]:
    (contract,) = infer_contracts(lines(*data))
    return dict(contract.data.fields)


def test_each_kind_of_value_has_its_type() -> None:
    found = fields({"i": 1, "f": 1.0, "b": True, "t": "2026-01-01T00:00:00Z", "s": "x", "l": [1, 2], "r": {"a": "y"}})
    assert found == {
        "i": INT,
        "f": FLOAT,
        "b": BOOL,
        "t": TIMESTAMP,
        "s": STRING,
        "l": Type("list", item=INT),
        "r": Type("record", fields=(("a", STRING),)),
    }


def test_a_value_ever_absent_or_null_is_optional() -> None:
    found = fields({"a": 1, "b": None}, {"b": "x"}, {"a": 2, "b": "y"})
    assert found == {"a": Type("int", optional=True), "b": Type("string", optional=True)}


def test_kinds_that_differ_meet_where_they_can() -> None:
    found = fields({"n": 1, "t": "2026-01-01T00:00:00Z", "x": 1, "e": []}, {"n": 0.5, "t": "soon", "x": "1", "e": []})
    assert found == {"n": FLOAT, "t": STRING, "x": Type("any"), "e": Type("list", item=Type("any", optional=True))}


def test_a_field_inside_list_items_may_be_missing() -> None:
    (kind,) = fields({"l": [{"a": 1}, {"a": 2, "b": True}]}).values()
    assert kind == Type("list", item=Type("record", fields=(("a", INT), ("b", Type("bool", optional=True)))))


def test_known_and_unusable_lines_are_left_alone() -> None:
    given = [
        *lines({"a": 1}),
        *lines({"a": 1}, event="NoDots"),
        b"{",
        b"[]",
        b"\xff",
        *lines({"a": 1}, event="x.y"),
        *lines([], event="y.z"),
    ]
    assert [(one.event, one.topic) for one in infer_contracts(given, known=["deal.closed"])] == [("x.y", "x.events")]
    assert infer_contracts(given, topic="all.events")[0].topic == "all.events"


def test_what_was_inferred_decodes_what_it_was_inferred_from() -> None:
    given = lines({"a": 1, "l": [{"x": 1.5}], "z": None}, {"a": 2, "l": [], "z": None, "when": "2026-01-01T00:00:00.5+01:00"})
    registry = Registry()
    for contract in infer_contracts(given):
        for key, value in registered(registry, contract)[1]:
            registry.apply(key, value)
    decoded = decode([Chunk("ingress.db", "deal.events", 0, 0, 0, given)], registry, DecodeRules(1))
    assert decoded.bad == ()
    assert decoded.frames[0].frame["data"].to_list()[1]["when"] == 1_767_222_000_500_000


def test_records_nested_too_deep_are_refused() -> None:
    deep: Any = {}
    for _ in range(70):
        deep = {"a": deep}
    with pytest.raises(InvalidInput, match="nest more than"):
        infer_contracts(lines(deep))
