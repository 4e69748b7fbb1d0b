"""Law: the row evaluator and the column evaluator give the same value for every typed tree and every row."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.expression.bind import bind
from schemas.expression.check import elaborate
from schemas.expression.column_types import dtype_of
from schemas.expression.columns import condition, value
from schemas.expression.parse import parse
from schemas.expression.print import print_tree
from schemas.expression.rows import compile_row, constant_value
from schemas.expression.shape import shape
from schemas.expression.tree import Tree
from schemas.expression.types import BOOL
from schemas.expression.walk import depth_of, keys, size_of, without_places
from tests.examples import examples
from tests.laws.typed_trees import (
    COMPOUND,
    DECIMALS,
    FLOATS,
    IN_FORCE,
    INTS,
    PATTERNS,
    SCHEMA,
    SCOPE,
    SPANS,
    TEXTS,
    TIMES,
    Drawn,
    built,
    frames,
    quoted,
    trees,
)


def same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float) and math.isnan(one):
        return math.isnan(two)
    return type(one) is type(two) and one == two


QUICK = settings(
    max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


PAIRS: dict[str, tuple[str, str, list[Any]]] = {
    "int": ("a.i", "a.j", INTS),
    "decimal": ("a.d", "a.e", [Decimal(text) for text in DECIMALS]),
    "float": ("a.f", "a.g", FLOATS),
    "string": ("a.s", "a.t", TEXTS),
}
SINGLES: dict[str, list[Any]] = {
    "a.s": TEXTS,
    "a.i": INTS,
    "a.f": FLOATS,
    "a.d": [Decimal(text) for text in DECIMALS],
}
TWO = [
    "{} == {}",
    "{} != {}",
    "{} < {}",
    "{} <= {}",
    "{} > {}",
    "{} >= {}",
    "not {} == {}",
    "{} in [{}]",
    "least({}, {})",
    "coalesce({}, {})",
]
COUNTED = ["{} + {}", "{} - {}", "{} * {}", "{} / {}"]
ONE = {
    "a.s": [f"a.s matches {quoted(pattern)}" for pattern in PATTERNS] + ["upper(a.s)", "lower(a.s)", "trim(a.s)", "length(a.s)"],
    "a.i": ["-a.i", "abs(a.i)"],
    "a.f": ["-a.f", "abs(a.f)", "a.f / 2.5", "1.5 / a.f", "a.f * 0.1", "string(a.f)", "floor(a.f)"],
    "a.d": ["-a.d", "abs(a.d)", "round(a.d, 2)", "string(a.d)"],
}


def agree(text: str, frame: pl.DataFrame) -> None:
    found = elaborate(parse(text), SCOPE)
    assert found.ok, (text, found.findings)
    got = frame.with_columns(found=value(bind(found.tree, IN_FORCE), frame.schema))["found"].to_list()
    run = compile_row(found.tree)
    expected = [run(row | IN_FORCE) for row in frame.to_dicts()]
    assert len(got) == len(expected)
    different = [triple for triple in zip(frame.to_dicts(), got, expected, strict=True) if not same(*triple[1:])]
    assert not different, (text, different[:3])


def test_every_operator_agrees_on_every_pair_of_troublesome_values() -> None:
    for kind, (left, right, pool) in PAIRS.items():
        both = [{left: one, right: two} for one, two in itertools.product([None, *pool], repeat=2)]
        frame = pl.DataFrame(both, schema={left: SCHEMA[left], right: SCHEMA[right]})
        for template in TWO + (COUNTED if kind != "string" else ["{} contains {}", "starts_with({}, {})", "ends_with({}, {})"]):
            agree(template.format(left, right), frame)


def test_every_function_of_columns_agrees_on_every_troublesome_value() -> None:
    for key, pool in SINGLES.items():
        frame = pl.DataFrame({key: [None, *pool]}, schema={key: SCHEMA[key]})
        for text in ONE[key]:
            agree(text, frame)


def test_times_stay_between_their_years() -> None:
    pairs = [{"a.at": one, "a.u": two} for one, two in itertools.product([None, *TIMES], [None, *SPANS])]
    frame = pl.DataFrame(pairs, schema={"a.at": pl.Int64, "a.u": pl.Int64})
    for text in [
        "a.at + a.u",
        "a.u + a.at",
        "a.at - a.u",
        "a.at - a.at",
        "a.u * 3",
        "a.u + a.u",
        "-a.u",
        "abs(a.u)",
        "seconds(a.u)",
    ]:
        agree(text, frame)


@QUICK
@given(trees("bool", 3), frames)
def test_conditions_agree_and_are_never_missing(tree: Tree, drawn: Drawn) -> None:
    found = elaborate(tree, SCOPE, BOOL)
    assert found.ok, (print_tree(tree), found.findings)
    frame, rows = built(*drawn)
    run = compile_row(found.tree)
    got = frame.select(found=condition(bind(found.tree, IN_FORCE), frame.schema))["found"]
    assert got.dtype == pl.Boolean
    assert got.to_list() == [bool(run(row | IN_FORCE)) for row in rows], print_tree(tree)


@QUICK
@given(st.sampled_from(sorted(COMPOUND)).flatmap(lambda kind: trees(kind, 2)), frames)
def test_values_agree(tree: Tree, drawn: Drawn) -> None:
    found = elaborate(tree, SCOPE)
    assert found.ok, (print_tree(tree), found.findings)
    frame, rows = built(*drawn)
    run = compile_row(found.tree)
    got = frame.with_columns(found=value(bind(found.tree, IN_FORCE), frame.schema))["found"].to_list()
    expected = [run(row | IN_FORCE) for row in rows]
    if found.type.name == "float":
        expected = [None if one is None else float(one) for one in expected]
    assert all(map(same, got, expected)), (print_tree(tree), got, expected)


@settings(max_examples=examples(80), deadline=None)
@given(trees("bool", 2), frames)
def test_a_shape_with_its_parameters_is_the_condition(tree: Tree, drawn: Drawn) -> None:
    typed = bind(elaborate(tree, SCOPE, BOOL).tree, IN_FORCE)
    shaped, constants = shape(typed)
    frame, rows = built(*drawn)
    params = {f"p{place}": constant_value(constant) for place, constant in enumerate(constants)}
    dtypes = {f"p{place}": dtype_of(constant.type) for place, constant in enumerate(constants)}
    columns = [pl.Series(name, [item] * frame.height, dtype=dtypes[name]) for name, item in params.items()]
    wide = frame.with_columns(columns)  # columns as joins make them: polars keeps a literal as one value
    plain, run = compile_row(typed), compile_row(shaped)
    assert [bool(run({**row, **params})) for row in rows] == [bool(plain(row)) for row in rows]
    assert wide.select(found=condition(shaped, wide.schema))["found"].to_list() == [bool(plain(row)) for row in rows]


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(sorted(COMPOUND)).flatmap(lambda kind: trees(kind, 3)))
def test_printing_a_tree_and_reading_it_gives_the_tree(tree: Tree) -> None:
    if size_of(tree) <= 200 and depth_of(tree) <= 20:
        assert without_places(parse(print_tree(tree))) == without_places(tree), print_tree(tree)


def test_what_holds_values_of_no_contract_agrees_too() -> None:
    rows = [
        {"a.xs": one, "a.lines": two}
        for one, two in itertools.product([None, "a", "5"], [None, [], [{"sku": "a", "q": 1, "p": Decimal("1.5")}]])
    ]
    frame = pl.DataFrame(rows, schema={"a.xs": SCHEMA["a.xs"], "a.lines": SCHEMA["a.lines"]})
    for text in [
        "count([a.xs, a.xs])",
        "exists(coalesce(a.xs, a.xs))",
        "string(a.lines)",
        "count(coalesce(a.lines, []))",
        "exists([])",
        'a.xs in [a.xs, "5"]',
        "string(if(exists(a.xs), a.xs, a.xs))",
        'if(exists(a.lines), a.xs, a.xs) == "a"',
    ]:
        agree(text, frame)


def test_a_bound_condition_is_the_condition_with_its_policies_beside_the_row() -> None:
    texts = ["a.i > policies.few", "a.i > policies.by_word[a.s]", "policies.sla[a.xs] > a.u", "a.s in policies.words"]
    texts += ["policies.by_word[a.s] == 9", "exists(policies.by_number[a.i])", 'policies.fees["b"] < a.m', "policies.yes"]
    pairs = itertools.product([None, *TEXTS], [None, *INTS])
    frame = pl.DataFrame(
        [{"a.s": one, "a.i": two, "a.xs": one} for one, two in pairs], schema={k: SCHEMA[k] for k in ("a.s", "a.i", "a.xs")}
    )
    for text in texts:
        agree(text, frame)
        assert not {key for key in keys(bind(elaborate(parse(text), SCOPE).tree, IN_FORCE)) if key.startswith("policies.")}


def test_a_policy_that_is_not_in_force_is_missing() -> None:
    for text in [
        "a.i > policies.few",
        "a.i > policies.by_word[a.s]",
        "exists(policies.by_word[a.s])",
        "not exists(policies.few)",
    ]:
        tree = bind(elaborate(parse(text), SCOPE).tree, {"policies.few": "a text", "policies.by_word": 3})
        frame = pl.DataFrame({"a.i": [7], "a.s": ["a"]})
        assert frame.select(condition(tree, frame.schema)).item() is ("not" in text)
        assert compile_row(tree)({"a.i": 7, "a.s": "a"}) is ("not" in text)


def test_a_long_list_of_constants_is_looked_through_at_once() -> None:
    words = [str(number) for number in range(500)]
    tree = bind(elaborate(parse("a.s in policies.words"), SCOPE).tree, {"policies.words": words})
    shaped, constants = shape(tree)
    frame = pl.DataFrame({"a.s": ["3", "499", "500", None]})
    assert not constants
    assert frame.select(condition(shaped, frame.schema)).to_series().to_list() == [True, True, False, False]


def test_a_condition_gives_one_value_a_row_also_where_everything_is_missing() -> None:
    frame = pl.DataFrame({"a.s": [None, None], "a.t": [None, None]}, schema={"a.s": pl.String, "a.t": pl.String})
    for text in [
        '"" == coalesce(a.s, a.t)',
        "policies.word == coalesce(a.s, a.t)",
        '"b" >= if(a.s == a.t, a.s, a.t)',
        "seconds(1d) > length(a.s)",
    ]:
        tree = bind(elaborate(parse(text), SCOPE).tree, IN_FORCE)
        assert frame.select(found=condition(tree, frame.schema))["found"].to_list() == [False, False], text
