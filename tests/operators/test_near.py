"""What many conditions compare whole numbers with tells which of them need be asked: never one too few, and in their order."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from operators.triggers.near import INT_LEAST, INT_MOST, Near
from schemas.expression.rows import compile_row
from schemas.expression.tree import And, Compare, Comparison, Constant, Field, Tree
from schemas.expression.types import DECIMAL, INT, TIMESTAMP

NUMBERS = st.integers(-3, 3) | st.sampled_from([INT_LEAST, INT_LEAST + 1, INT_MOST - 1, INT_MOST])


@st.composite
def comparisons(draw: st.DrawFn) -> Tree:
    kind = draw(st.sampled_from([INT, TIMESTAMP]))
    key = draw(st.sampled_from(["a", "b", "c", "d", "e", "f"]))
    operator: Comparison = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    if draw(st.integers(0, 5)) == 0:
        return Compare(operator, Field(key, (), DECIMAL), Constant("1.5", DECIMAL))
    return Compare(operator, Field(key, (), kind), Constant(draw(NUMBERS), kind))


CONDITIONS = st.none() | comparisons() | st.lists(comparisons(), min_size=2, max_size=3).map(lambda items: And(tuple(items)))
VALUES = st.none() | NUMBERS | NUMBERS.map(Decimal)
ENVS = st.fixed_dictionaries({}, optional=dict.fromkeys("abcdef", VALUES))


@given(st.lists(CONDITIONS, max_size=30), st.lists(ENVS, min_size=1, max_size=5))
def test_no_condition_that_holds_is_left_unasked(conditions: list[Tree | None], envs: list[dict[str, object]]) -> None:
    asked = [None if one is None else compile_row(one) for one in conditions]
    found = Near(range(len(conditions)), conditions).near(envs)
    assert len(found) == len(envs)
    for env, places in zip(envs, found, strict=True):
        assert list(places) == sorted(places)
        assert {at for at, holds in enumerate(asked) if holds is None or holds(env) is True} <= set(places)


def test_of_many_ranges_only_those_around_the_value_are_asked() -> None:
    ranges = [
        And(
            (
                Compare(">=", Field("v", (), INT), Constant(at * 10, INT)),
                Compare("<", Field("v", (), INT), Constant(at * 10 + 10, INT)),
            )
        )
        for at in range(50)
    ]
    assert Near(range(50), ranges).near([{"v": 42}, {"v": None}, {"v": 499}]) == [[4], [], [49]]
