"""Reading and printing: expressions, literals and types, worked by hand from flow-language sections 2, 4 and 8."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.expression.findings import ExpressionError
from schemas.expression.literals import (
    parse_duration_us,
    parse_money,
    parse_timestamp_us,
    print_duration,
    print_money,
    print_timestamp,
)
from schemas.expression.parse import parse
from schemas.expression.print import print_tree
from schemas.expression.tree import And, Arith, Compare, Constant, Negate, Not, Or, Path
from schemas.expression.type_text import Spec, parse_type, print_type, type_spec
from schemas.expression.types import BOOL, DECIMAL, DURATION, INT, STRING, Type

HOUR = 3_600_000_000


def refused(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    return caught.value


def test_or_binds_weaker_than_and_and_not_stronger() -> None:
    a, b, c = Path("a", at=0), Path("b", at=5), Path("c", at=15)
    assert parse("a or b and not c") == Or((a, And((b, Not(c, at=11)), at=5)), at=0)


def test_arithmetic_groups_from_the_left() -> None:
    assert parse("a - 1 - 2") == Arith("-", Arith("-", Path("a"), Constant(1, INT, 4)), Constant(2, INT, 8))


def test_a_minus_before_a_literal_is_part_of_it() -> None:
    assert parse("-5") == Constant(-5, INT)
    assert parse("-(5)") == Negate(Constant(5, INT, 2))


def test_literals_have_their_types() -> None:
    assert parse("12.50 GBP") == Constant("12.5", Type("money", currency="GBP"))
    assert parse("0.10") == Constant("0.1", DECIMAL)
    assert parse("1h30m") == Constant(90 * 60_000_000, DURATION)
    assert parse("'it\\'s \\u00e9'") == Constant("it's é", STRING)
    assert parse("true") == Constant(True, BOOL)


def test_an_odd_field_name_stands_in_brackets_and_a_plain_one_is_one_spelling() -> None:
    assert parse('a["b"]') == parse("a.b")
    assert print_tree(parse('a["odd name"][0][*].c')) == 'a["odd name"][0][*].c'


@pytest.mark.parametrize(
    ("text", "name", "at"),
    [
        ("deal.partner == null", "null-comparison", 0),
        ("{{ deal.value }} >= 10", "template-in-expression", 0),
        ("age > 1M", "bad-duration", 6),
        ("1h1d", "bad-duration", 0),
        ("1 < 2 < 3", "chained-comparison", 6),
        ("a = 1", "bad-expression", 2),
        ("a && b", "bad-expression", 2),
        ("a.lower()", "bad-expression", 7),
        ("(a", "bad-expression", 2),
        ('"abc', "bad-string", 0),
        ('"\\ud800"', "bad-string", 0),
        ("99999999999999999999", "bad-number", 0),
        ("1.0000000001", "bad-number", 0),
        ("[1, ]", "bad-expression", 4),
        ("", "bad-expression", 0),
        ("(" * 500 + "a" + ")" * 500, "too-deep", 40),
        (" or ".join(["a"] * 201), "too-large", 0),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(text: str, name: str, at: int) -> None:
    found = refused(text)
    assert (found.name, found.at) == (name, at)


def test_messages_say_what_to_write() -> None:
    assert refused("deal.partner == null").message == "nothing equals null; write not exists(deal.partner)"
    assert "months differ in length" in refused("1M").message
    assert "write deal.value >= 10, without {{ }}" in refused("{{ deal.value >= 10 }}").message


@pytest.mark.parametrize(
    ("text", "us", "printed"),
    [
        ("0", 0, "0s"),
        ("1h30m", HOUR * 3 // 2, "1h30m"),
        ("PT1H30M", HOUR * 3 // 2, "1h30m"),
        ("2w", 14 * 24 * HOUR, "14d"),
        ("P1DT0.5S", 24 * HOUR + 500_000, "1d500ms"),
        ("-2d", -48 * HOUR, "-2d"),
        ("PT0.000001S", 1, "PT0.000001S"),
    ],
)
def test_durations(text: str, us: int, printed: str) -> None:
    assert (parse_duration_us(text), print_duration(us)) == (us, printed)
    assert parse_duration_us(printed) == us


@pytest.mark.parametrize("text", ["30", "1M", "P1M", "P1Y", "P", "PT", "1d1d", "1m1h", "", "h", "1.5h", "99999999999w"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_duration_us(text)
    assert caught.value.name == "bad-duration"


def test_times() -> None:
    assert parse_timestamp_us("1970-01-01T00:00:00Z") == 0
    assert parse_timestamp_us("2026-11-21T12:00:00.5+02:00") == 1_795_255_200_500_000
    assert print_timestamp(1_795_255_200_500_000) == "2026-11-21T10:00:00.5Z"


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:01Z",
        "2026-02-29T00:00:00Z",
        "2026-11-21",
        "2026-11-21T10:00:00",
        "2026-11-21T24:00:00Z",
    ],
)
def test_bad_times(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_timestamp_us(text)


def test_money_prints_at_least_the_digits_of_its_currency() -> None:
    assert parse_money("12.50 GBP") == (Decimal("12.50"), "GBP")
    assert [print_money(Decimal("12.5"), code) for code in ("GBP", "JPY", "KWD")] == ["12.50 GBP", "12.5 JPY", "12.500 KWD"]
    assert print_money(Decimal("0.123456789"), "EUR") == "0.123456789 EUR"


def test_types_are_read_and_written() -> None:
    types: dict[str, Spec] = {"line": {"sku": "string", "note": "string?"}}
    order = parse_type({"id": "string", "lines": "list(line)?", "total": "money(GBP)", "band": 'one_of("low", "high")?'}, types)
    assert print_type(order) == (
        '{id: string, lines: list({sku: string, note: string?})?, total: money(GBP), band: one_of("low", "high")?}'
    )
    named: dict[str, Spec] = {}
    assert parse_type(type_spec(order, "order", named), named) == order


@pytest.mark.parametrize("text", ["strin", "money", "money(pound)", "list()", "one_of()", "string??", "list(string", "", "loop"])
def test_bad_types(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_type(text, {"loop": {"again": "loop"}})


def test_a_comparison_is_of_sums() -> None:
    assert parse("a + 1 > b") == Compare(">", Arith("+", Path("a"), Constant(1, INT, 4)), Path("b", at=8))
