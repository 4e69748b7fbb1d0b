"""What expressions give, worked by hand from flow-language section 4; both evaluators are asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from schemas.expression.check import Scope, elaborate
from schemas.expression.columns import condition, value
from schemas.expression.literals import parse_timestamp_us
from schemas.expression.parse import parse
from schemas.expression.rows import compile_row
from schemas.expression.shape import shape
from schemas.expression.type_text import parse_type
from schemas.expression.types import BOOL, INT

DATA = parse_type(
    {
        "x": "int?", "y": "int?", "d": "decimal?", "f": "float?", "s": "string?", "t": "timestamp?", "m": "money(GBP)?",
        "lines": "list(line)?", "tags": "list(string?)?", "marks": "list(bool?)?", "free": "any",
    },
    {"line": {"sku": "string", "q": "int?"}},
)  # fmt: skip


def got(text: str, **row: Any) -> Any:
    """Evaluate a text on one row by both evaluators, insist that they agree, and give the value."""
    found = elaborate(parse(text), Scope(DATA))
    assert found.ok, found.findings
    result = compile_row(found.tree)(row)
    frame = pl.DataFrame({"row": [1], **{key: [item] for key, item in row.items()}})
    columns = frame.cast({key: pl.Decimal(38, 9) for key in ("d", "m") if key in row})
    assert columns.with_columns(found=value(found.tree, columns.schema))["found"].to_list() == [result]
    return result


def holds(text: str, **row: Any) -> bool:
    found = elaborate(parse(text), Scope(DATA), BOOL).tree
    frame = pl.DataFrame({"row": [1], **{key: [item] for key, item in row.items()}})
    result = bool(compile_row(found)(row))
    assert frame.select(found=condition(found, frame.schema))["found"].to_list() == [result]
    return result


def test_a_comparison_with_a_missing_value_is_false_and_different_too() -> None:
    for operator in ("==", "!=", "<", "<=", ">", ">="):
        assert holds(f"x {operator} 1") is False
        assert holds(f"x {operator} x") is False


def test_not_equal_and_different_differ_exactly_where_missing() -> None:
    assert (holds("x != 1", x=2), holds("not x == 1", x=2)) == (True, True)
    assert (holds("x != 1", x=1), holds("not x == 1", x=1)) == (False, False)
    assert (holds("x != 1"), holds("not x == 1")) == (False, True)


@pytest.mark.parametrize("row", [{}, {"x": 1}, {"y": 2}, {"x": 1, "y": 2}, {"x": 3, "y": 3}])
def test_de_morgan_holds_with_missing_values(row: dict[str, int]) -> None:
    assert holds("not (x == 1 and y == 2)", **row) == holds("not x == 1 or not y == 2", **row)
    assert holds("not (x == 1 or y == 2)", **row) == holds("not x == 1 and not y == 2", **row)


def test_nan_never_compares_true() -> None:
    for text in ("f == f", "f != f", "f > 1.5", "f < 1.5", "f in [f, 1.5]"):
        assert holds(text, f=float("nan")) is False


def test_rounding_is_half_to_even_on_exact_digits() -> None:
    assert got("round(d, 2)", d=Decimal("2.675")) == Decimal("2.68")
    assert got("round(d, 2)", d=Decimal("2.665")) == Decimal("2.66")
    assert got("2 / 3") == Decimal("0.666666667")
    assert got("d * 0.5", d=Decimal("0.000000001")) == Decimal(0)
    assert got("x / y", x=1, y=8) == Decimal("0.125")


def test_overflow_and_division_by_zero_are_missing() -> None:
    assert got("x + 1", x=2**63 - 1) is None
    assert got("x * y", x=2**62, y=2) is None
    assert got("-x", x=-(2**63)) is None
    assert got("x / y", x=1, y=0) is None
    assert got("d * d", d=Decimal(10) ** 15) is None
    assert got("f * f", f=1e300) is None
    assert holds("x + 1 > 0", x=2**63 - 1) is False


def test_list_functions_leave_missing_items_out() -> None:
    lines = [{"sku": "a", "q": 2}, {"sku": "b", "q": None}, {"sku": "c", "q": 4}]
    assert got("sum(lines[*].q)", lines=lines) == 6
    assert got("count(lines[*].q)", lines=lines) == 2
    assert got("mean(lines[*].q)", lines=lines) == Decimal(3)
    assert got("max(lines[*].q)", lines=lines) == 4
    assert got("distinct(lines[*].sku)", lines=lines) == 3
    assert got("lines[-1].sku", lines=lines) == "c"
    assert got('lines[*].sku contains "b"', lines=lines) is True
    assert got('join(tags, ", ")', tags=["a", None, "b"]) == "a, b"


def test_of_an_empty_list() -> None:
    found = {name: got(f"{name}(lines[*].q)", lines=[]) for name in ("count", "sum", "min", "max", "mean", "distinct")}
    assert found == {"count": 0, "sum": 0, "min": None, "max": None, "mean": None, "distinct": None}
    assert (got("any(marks)", marks=[]), got("all(marks)", marks=[])) == (False, True)
    assert got("sum(lines[*].q)") is None


def test_a_value_of_no_contract_is_read_as_the_type_beside_it() -> None:
    assert holds("free >= 10000", free=10000) is True
    assert holds("free >= 10000", free="10000") is False
    assert holds('free == "a"', free="a") is True
    assert holds("free == true", free=True) is True
    assert holds("free > 5 GBP", free="6.00 GBP") is True
    assert holds("free > 5 GBP", free=6) is False


def test_text_functions_count_code_points() -> None:
    assert got("length(s)", s="a😀é") == 3
    assert got("substring(s, 1, 1)", s="a😀é") == "😀"
    assert got("substring(s, -2, 9)", s="abc") == "bc"
    assert got("trim(s)", s="\u00a0 a\x1c ") == "a\x1c"
    assert got('replace(s, "", "x")', s="ab") == "ab"


def test_patterns_are_ascii_and_end_at_the_end_of_the_text() -> None:
    assert holds('s matches "^[A-Z]{2}\\\\d+$"', s="AB12") is True
    assert holds('s matches "a$"', s="a\n") is False
    assert holds('s matches "\\\\d"', s="٣") is False
    assert holds('s matches "\\\\w"', s="é") is False
    assert holds('s matches "(a+)+$"', s="a" * 5000 + "b") is False  # years, for an engine that backtracks


def test_conversions_that_fail_are_missing() -> None:
    assert got("int(s)", s="12") == 12
    assert got("int(s)", s="12.5") is None
    assert got("decimal(s)", s="12.50") == Decimal("12.5")
    assert got("decimal(f)", f=0.1) == Decimal("0.1")
    assert got("timestamp(s)", s="2026-11-21T10:00:00Z") == parse_timestamp_us("2026-11-21T10:00:00Z")
    assert got("duration(s)", s="PT1H") == 3_600_000_000
    assert got("string(m)", m=Decimal("12.5")) == "12.50 GBP"
    assert got("string(d)", d=Decimal("12.500")) == "12.5"


def at(text: str) -> int:
    return parse_timestamp_us(text)


def test_local_days_follow_the_zone() -> None:
    late = at("2026-11-21T23:30:00Z")
    assert got('date(t, "UTC")', t=late) == "2026-11-21"
    assert got('date(t, "Asia/Tokyo")', t=late) == "2026-11-22"
    assert got('part(t, "weekday", "UTC")', t=late) == 6
    assert got("date(t, s)", t=late, s="Nowhere/Land") is None


def test_days_across_a_change_of_the_clock() -> None:
    london = "Europe/London"  # 2026-03-29 01:00 UTC: 01:00 becomes 02:00; 2026-10-25 01:00 UTC: 02:00 becomes 01:00
    assert got(f'plus_days(t, 1, "{london}")', t=at("2026-03-28T12:00:00Z")) == at("2026-03-29T11:00:00Z")
    assert got(f'plus_days(t, 1, "{london}")', t=at("2026-03-28T01:30:00Z")) == at("2026-03-29T01:00:00Z")  # the gap's end
    assert got(f'start_of(t, "day", "{london}")', t=at("2026-10-25T12:00:00Z")) == at("2026-10-24T23:00:00Z")
    second = at("2026-10-25T01:30:00Z")  # 01:30 for the second time
    assert got(f'plus_days(t, 0, "{london}")', t=second) == second
    assert got(f'start_of(t, "hour", "{london}")', t=second) == at("2026-10-25T01:00:00Z")
    assert got('start_of(t, "week", "UTC")', t=at("2026-11-21T10:00:00Z")) == at("2026-11-16T00:00:00Z")


def test_months_end_on_their_last_day() -> None:
    assert got('plus_months(t, 1, "UTC")', t=at("2026-01-31T10:00:00Z")) == at("2026-02-28T10:00:00Z")
    assert got('plus_months(t, -2, "UTC")', t=at("2026-01-31T10:00:00Z")) == at("2025-11-30T10:00:00Z")
    assert got('plus_months(t, x, "UTC")', t=at("2026-01-31T10:00:00Z"), x=10**6) is None


def test_times_outside_1970_to_2200_are_missing() -> None:
    assert got("t - 1d", t=0) is None
    assert got("t + 1d", t=at("2199-12-31T12:00:00Z")) is None


def test_hashes_are_frozen() -> None:
    assert got('hash("a", 1, true)') == "f0d301b80c287947f8f5a4590f25a91b89a79e7904ef21659f4e34e4bcef4323"
    assert got('hash("a1")') != got('hash("a", "1")') != got('hash("a", 1)')
    assert [got("bucket(s, 100)", s=text) for text in ("acme", "globex", "")] == [44, 8, 52]
    assert got("bucket(s, 0)", s="a") is None


def test_presence() -> None:
    assert (got("exists(x)"), got("exists(x)", x=0)) == (False, True)
    assert got("coalesce(x, y, 7)", y=None) == 7
    assert got('if(x > 1, "big", "small")') == "small"


def test_conditions_of_one_shape_are_one_tree() -> None:
    first, constants = shape(elaborate(parse('x > 1 and s == "a"'), Scope(DATA), BOOL).tree)
    second, others = shape(elaborate(parse('x  >  20 and s == "b"'), Scope(DATA), BOOL).tree)
    assert first == second
    assert [constant.value for constant in (*constants, *others)] == [1, "a", 20, "b"]
    assert constants[0].type == INT
