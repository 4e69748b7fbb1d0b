"""The laws of measures: each agrees with plain Python over the same rows."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators.windows.measures import Rows, measure
from schemas.expression.column_types import dtype_of
from schemas.expression.tree import Field
from schemas.expression.types import DECIMAL, DURATION, FLOAT, INT, STRING, Type
from schemas.program import Measure
from tests.examples import examples

MONEY = Type("money", currency="GBP")
BIG = 1 << 62
ints = st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-3, 3)
decimals = st.none() | st.decimals(-Decimal(10**28), Decimal(10**28), places=9, allow_nan=False) | st.integers(-2, 2).map(Decimal)
floats = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3).map(float)
texts = st.none() | st.text(max_size=2)
VALUES = {"int": ints, "duration": ints, "decimal": decimals, "money": decimals, "float": floats, "string": texts}
TYPES = {"int": INT, "duration": DURATION, "decimal": DECIMAL, "money": MONEY, "float": FLOAT, "string": STRING}
lengths = st.lists(st.integers(0, 6), max_size=8)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, list[Any], list[int]]:
    """Draw keys of some rows each, and for each row the start of its window; starts never go back within a key."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    values: list[Any] = []
    starts: list[int] = []
    for length in draw(lengths):
        first = len(values)
        last = first
        for at in range(length):
            last = draw(st.integers(last, first + at))
            starts.append(last)
        values += draw(st.lists(VALUES[kind], min_size=length, max_size=length))
    return kind, values, starts


def measures(kind: str) -> list[Measure]:
    of = TYPES[kind]
    mean = {"int": DECIMAL, "string": None}.get(kind, of)
    named = [("count", INT), ("distinct", INT), ("min", of), ("max", of)]
    named += [("sum", of), ("mean", mean)] if mean is not None else []
    return [Measure(name, name, Field("x", (), of), result) for name, result in named]  # type: ignore[arg-type]


@given(windows(), st.booleans())
@settings(max_examples=examples(300), deadline=None)
@example(("int", [BIG, BIG, -BIG, 1], [0, 0, 0, 1]), True)
@example(("decimal", [Decimal(9 * 10**28), Decimal(9 * 10**28), Decimal(-(9 * 10**28))], [0, 0, 0]), True)
@example(("float", [1e308, 1e308, -1e308], [0, 0, 0]), True)
def test_a_measure_agrees_with_plain_python(drawn: tuple[str, list[Any], list[int]], after: bool) -> None:
    kind, values, starts = drawn
    column = pl.Series(values, dtype=dtype_of(TYPES[kind]))
    rows = Rows(np.array(starts, np.int64), np.arange(len(values), dtype=np.int64))
    for one in measures(kind):
        found = measure(one, column, rows, after=after).to_list()
        assert found == [plain(one, values[start : at + after]) for at, start in enumerate(starts)], one.kind
    counted = measure(Measure("n", "count", None, INT), None, rows, after=after).to_list()
    assert counted == [at + after - start for at, start in enumerate(starts)]


def plain(one: Measure, values: list[Any]) -> Any:
    there = [value for value in values if value is not None]
    match one.kind:
        case "count":
            return len(there)
        case "distinct":
            return len(set(there))
        case "min":
            return min(there, default=None)
        case "max":
            return max(there, default=None)
        case "sum":
            return total(one.type.name, values)
        case _:
            return mean(one, values, len(there))


def total(kind: str, values: list[Any]) -> Any:
    if kind == "float":
        found = blocks([value or 0.0 for value in values])
        return found if abs(found) < float("inf") else None
    there = [value for value in values if value is not None]
    if kind in ("decimal", "money"):
        with localcontext() as context:
            context.prec = 80
            exact = sum(there, Decimal(0))
        return exact if abs(exact) < Decimal(10**29) else None
    whole = sum(there)
    return whole if -(1 << 63) <= whole < 1 << 63 else None


def blocks(values: list[float]) -> float:
    """Add blocks of 1, 2, 4, ... from the front, those that the bits of the length name; each block by halves."""
    found, at, size = 0.0, 0, 1
    while at < len(values):
        if len(values) & size:
            found += halves(values[at : at + size])
            at += size
        size *= 2
    return found


def halves(values: list[float]) -> float:
    middle = len(values) // 2
    return values[0] if not middle else halves(values[:middle]) + halves(values[middle:])


def mean(one: Measure, values: list[Any], count: int) -> Any:
    if not count:
        return None
    name = one.type.name
    of = "int" if name == "decimal" and all(isinstance(value, int | None) for value in values) else name
    whole = total(of, values)
    if whole is None:
        return None
    if name == "float":
        return whole / count
    if name == "duration":
        return round(Fraction(whole, count))
    with localcontext() as context:
        context.prec = 80
        return Decimal(round(Fraction(whole) / count * 10**9)) / 10**9
