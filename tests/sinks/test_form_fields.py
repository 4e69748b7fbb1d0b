"""Fields of a form on a page, by their types: what a browser sends is read as its field's type, or told at its field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.expression.read_json import read_json
from schemas.expression.type_text import parse_type
from schemas.expression.types import Type
from sinks.ingress.form_fields import fields_of, read_fields


def form(text: str) -> Type:
    return Type("record", fields=(("it", parse_type(text)),))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " known ", "known"),
        ("int", "12", 12),
        ("int", "-7", -7),
        ("decimal", "0.10", Decimal("0.10")),
        ("float", "2.5", Decimal("2.5")),
        ("bool", "true", True),
        ("bool", "false", False),
        ("money(GBP)", "12.50", "12.50 GBP"),
        ("money(GBP)", "12.50 GBP", "12.50 GBP"),
        ("timestamp", "2026-11-21T09:30", "2026-11-21T09:30:00Z"),
        ("timestamp", "2026-11-21T09:30:15", "2026-11-21T09:30:15Z"),
        ("timestamp", "2026-11-21T09:30:00+01:00", "2026-11-21T09:30:00+01:00"),
        ("duration", "1h30m", "1h30m"),
        ('one_of("low", "high")', "low", "low"),
        ("list(int)", "[1, 2]", [1, 2]),
        ("any", '{"a": 1}', {"a": 1}),
    ],
)
def test_a_text_is_read_as_its_fields_type(kind: str, text: str, value: Any) -> None:
    assert read_fields(form(kind), {"it": text}) == ({"it": value}, {})
    read_json(value, parse_type(kind))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("string", "  ", "write some text"),
        ("int", "", "write a whole number"),
        ("int", "1.5", "'1.5' does not fit; write a whole number"),
        ("int", "9" * 30, "does not fit"),
        ("int", "9" * 19, "write a whole number"),
        ("decimal", "much", "'much' is no number"),
        ("decimal", "NaN", "'NaN' does not fit"),
        ("decimal", "1e999999999", "1E+999999999 has too many digits"),
        ("float", "0e-999999999", "has too many digits"),
        ("bool", "maybe", "'maybe' does not fit"),
        ("money(GBP)", "5 EUR", "write an amount in GBP"),
        ("timestamp", "soon", "'soon' is not a time; write RFC 3339"),
        ("duration", "soon", "as in 1h30m"),
        ('one_of("low", "high")', "mid", "'mid' is none of low, high; write one of these"),
        ("list(int)", "[1", "is no JSON"),
        ("list(int)", '["x"]', "write a list as JSON"),
        ("any", "[" * 100_000, "is no JSON"),
    ],
)
def test_a_text_that_does_not_fit_is_told_at_its_field(kind: str, text: str, message: str) -> None:
    _, wrong = read_fields(form(kind), {"it": text})
    assert message in wrong["it"]
    assert wrong["it"].count("write") == 1


def test_what_may_be_missing_may_stay_empty_and_what_is_not_asked_for_is_told() -> None:
    assert read_fields(form("int?"), {"it": " "}) == ({}, {})
    assert read_fields(form("int?"), {"they": "1"}) == ({}, {"they": "the form does not ask for they"})


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("int", 'type="number" step="1" id="form.it" name="form.it" required value="&lt;1&quot;"'),
        ("money(GBP)", "GBP"),
        ("bool", '<option value="true">yes</option>'),
        ('one_of("a<b", "c")', '<option value="a&lt;b">a&lt;b</option>'),
        ("timestamp", 'type="datetime-local"'),
        ("any", "<textarea"),
        ("string?", "may stay empty"),
    ],
)
def test_each_type_has_its_input_and_everything_is_escaped(kind: str, part: str) -> None:
    shown = fields_of(form(kind), {"it": '<1"'}, {"it": "<script>"})
    assert part in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert '<1"' not in shown
    assert ("required" in shown) == ("?" not in kind)
