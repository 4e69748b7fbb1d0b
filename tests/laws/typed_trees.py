"""Typed trees of every kind, and rows of troublesome values to run them on, for the laws of expressions."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal
from random import Random
from typing import Any

import polars as pl
from hypothesis import strategies as st

from schemas.expression.check import Scope
from schemas.expression.column_types import dtype_of
from schemas.expression.keyed import Keyed, PolicyTerm
from schemas.expression.parse import parse
from schemas.expression.tree import And, Arith, Call, Compare, ListOf, Matches, Negate, Not, Or, Tree
from schemas.expression.type_text import parse_type

LINE = {"sku": "string?", "q": "int?", "p": "decimal?"}
DATA = parse_type(
    {
        "a": {
            "i": "int?",
            "j": "int?",
            "d": "decimal?",
            "e": "decimal?",
            "f": "float?",
            "g": "float?",
            "s": "string?",
            "t": "string?",
            "b": "bool?",
            "at": "timestamp?",
            "u": "duration?",
            "m": "money(GBP)?",
            "lines": "list(line)?",
            "tags": "list(string?)?",
            "nums": "list(int?)?",
            "fs": "list(float?)?",
            "ds": "list(decimal?)?",
            "bs": "list(bool?)?",
            "r": "inner?",
            "xs": "any",
            "xi": "any",
            "xf": "any",
            "xb": "any",
            "xd": "any",
            "xl": "any",
        }
    },
    {"line": LINE, "inner": {"x": "int?", "y": "string?"}},
)
POLICIES: dict[str, tuple[str, str, Any]] = {  # key, type, value
    "few": ("", "int", 3),
    "word": ("", "string", "ab"),
    "half": ("", "decimal", Decimal("0.5")),
    "slope": ("", "float", 2.675),
    "yes": ("", "bool", True),
    "then": ("", "timestamp", 1_774_746_000_000_000),
    "long": ("", "duration", 86_400_000_000),
    "limit": ("", "money(GBP)", Decimal("12.50")),
    "words": ("", "list(string)", ["a", "b"]),
    "by_word": ("string", "int", Keyed({"a": 1, "ab": -7, "": 0}, 9)),
    "by_number": ("int", "string", Keyed({0: "a", 7: "İ"}, "Straße")),
    "by_truth": ("bool", "decimal", Keyed({True: Decimal("1.5")}, Decimal(0))),
    "sla": ("string", "duration", Keyed({"a": 1, "A": -1}, 60_000_000)),
    "fees": ("string", "money(GBP)", Keyed({"b": Decimal("0.10")}, Decimal(5))),
    "flat": ("string", "float", Keyed({}, 0.1)),
}
SCOPE = Scope(
    DATA, policies={name: PolicyTerm(parse_type(of), parse_type(key) if key else None) for name, (key, of, _) in POLICIES.items()}
)
IN_FORCE = {f"policies.{name}": value for name, (_, _, value) in POLICIES.items()}
INTS = [0, 1, -1, 2, 3, 7, 100, 2**31, 2**62, 2**63 - 1, -(2**63)]
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "Straße",
    "ǅ",
    "İ",
    "ß",
    "ﬁ",
    "Σας",
    "日本",
    "😀x",
    " a ",
    "\u00a0b",
    "a\nb",
    "a\n",
    "5",
    "-7",
    "1.5",
    "٣",
    "é",
    "\x1c",
]
TEXTS += ["2026-03-29T01:30:00Z", "1h30m", "12.50 GBP"]
DECIMALS = [
    "0",
    "1",
    "-1",
    "2.5",
    "0.000000001",
    "-0.000000001",
    "2.675",
    "1234567.891",
    "99999999999999999999999999999.999999999",
]
DECIMALS += ["-99999999999999999999999999999.999999999", "31622776601683.793319988", "0.333333333"]
FLOATS = [0.0, -0.0, 1.0, 2.675, -1.5, 1e308, -1e308, 5e-324, 0.1, math.nan, math.inf]
TIMES = [0, 1, 1_774_746_000_000_000, 1_774_749_600_000_000, 1_792_891_800_000_000, 7_258_118_400_000_000]
SPANS = [0, 1, -1, 1000, 60_000_000, 86_400_000_000, 2**63 - 1, -(2**63)]


_WIDE = Context(prec=60)
Draw = Callable[[Random], Any]


def maybe(draw: Draw) -> Draw:
    return lambda dice: None if dice.random() < 0.15 else draw(dice)


def some(values: list[Any]) -> Draw:
    return maybe(lambda dice: dice.choice(values))


def listed(item: Draw) -> Draw:
    return maybe(lambda dice: [item(dice) for _ in range(dice.randrange(4))])


def record(**parts: Draw) -> Draw:
    return maybe(lambda dice: {name: part(dice) for name, part in parts.items()})


def _digits(dice: Random) -> Decimal:
    limit = 10 ** dice.choice([9, 12, 24, 38]) - 1
    return Decimal(dice.randint(-limit, limit)).scaleb(-9, context=_WIDE)


def _letters(dice: Random) -> str:
    return "".join(dice.choice("aAbß \n\u00a0é5.-😀ǅ") for _ in range(dice.randrange(6)))


ints = maybe(lambda dice: dice.choice([*INTS, dice.randint(-5, 5), dice.randint(-(2**63), 2**63 - 1)]))
texts = maybe(lambda dice: dice.choice([*TEXTS, _letters(dice), _letters(dice)]))
decimals = maybe(lambda dice: dice.choice([*(Decimal(text) for text in DECIMALS), *(_digits(dice) for _ in range(6))]))
floats = maybe(lambda dice: dice.choice([*FLOATS, math.nan, dice.uniform(-10, 10), dice.random()]))
bools = some([True, False])
ROW: dict[str, Draw] = {
    "a.i": ints,
    "a.j": ints,
    "a.d": decimals,
    "a.e": decimals,
    "a.f": floats,
    "a.g": floats,
    "a.s": texts,
    "a.t": texts,
    "a.b": bools,
    "a.at": some(TIMES),
    "a.u": some(SPANS),
    "a.m": decimals,
    "a.lines": listed(record(sku=texts, q=ints, p=decimals)),
    "a.tags": listed(texts),
    "a.nums": listed(ints),
    "a.fs": listed(floats),
    "a.ds": listed(decimals),
    "a.bs": listed(bools),
    "a.r": record(x=ints, y=texts),
    "a.xs": texts,
    "a.xi": ints,
    "a.xf": floats,
    "a.xb": bools,
    "a.xd": decimals,
    "a.xl": listed(texts),
}
ANY_DTYPES = {
    "a.xs": pl.String(),
    "a.xi": pl.Int64(),
    "a.xf": pl.Float64(),
    "a.xb": pl.Boolean(),
    "a.xd": pl.Decimal(38, 9),
    "a.xl": pl.List(pl.String()),
}


def _schema() -> dict[str, pl.DataType]:
    fields = dict(dict(DATA.fields)["a"].fields)
    return {key: ANY_DTYPES.get(key) or dtype_of(fields[key[2:]]) for key in ROW}


SCHEMA = _schema()
frames = st.tuples(st.integers(0, 2**32), st.integers(0, 30), st.sets(st.sampled_from(sorted(ROW)), max_size=2))
Drawn = tuple[int, int, set[str]]
Trees = st.SearchStrategy[Tree]


def literals(kind: str) -> Trees:
    spelled = {
        "int": [str(number) for number in INTS],
        "decimal": [text if "." in text else f"{text}.0" for text in DECIMALS],
        "float": ["1.5", "0.0", "100", "2.675"],
        "string": [quoted(text) for text in TEXTS],
        "bool": ["true", "false"],
        "timestamp": ['timestamp("2026-03-29T01:30:00Z")', 'timestamp("nonsense")'],
        "duration": ["0s", "1h30m", "-1d", "1ms"],
        "money": ["5 GBP", "0.10 GBP", "-3.333333333 GBP"],
    }
    return st.sampled_from([parse(text) for text in spelled[kind]])


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


PATHS = {
    "int": ["a.i", "a.j", "a.r.x", "a.lines[0].q", "a.nums[-1]"],
    "decimal": ["a.d", "a.e", "a.lines[1].p", "a.ds[0]"],
    "float": ["a.f", "a.g", "a.fs[0]"],
    "string": ["a.s", "a.t", "a.r.y", "a.lines[-1].sku", "a.tags[1]"],
    "bool": ["a.b", "a.bs[0]"],
    "timestamp": ["a.at"],
    "duration": ["a.u"],
    "money": ["a.m"],
    "any": ["a.xs", "a.xi", "a.xf", "a.xb", "a.xd", "a.xl", "a.xl[0]"],
}
for policy, (of_key, of_value, _) in POLICIES.items():
    index = {"": [""], "string": ["[a.s]", '["a"]', "[a.xs]"], "int": ["[a.i]", "[7]"], "bool": ["[a.b]", "[true]"]}[of_key]
    if (kind := of_value.partition("(")[0]) in PATHS:
        PATHS[kind] += [f"policies.{policy}{at}" for at in index]
LISTS = {
    "int": ["a.nums", "a.lines[*].q"],
    "decimal": ["a.ds", "a.lines[*].p"],
    "float": ["a.fs"],
    "string": ["a.tags", "a.lines[*].sku", "policies.words"],
    "bool": ["a.bs"],
}
ORDERED = ["int", "decimal", "float", "string", "timestamp", "duration", "money"]
PATTERNS = ["a", "^a$", "\\d+", "\\w", "\\s$", "[^a-c]b?", "(a|b)+$", ".", "é", "x{2,3}", "\\.", "\\bb", "[\\w-]$", "(a+)+$"]


def call(name: str, *args: Trees) -> Trees:
    return st.tuples(*args).map(lambda found: Call(name, found))


def arith(operators: str, left: Trees, right: Trees) -> Trees:
    return st.builds(Arith, st.sampled_from(operators), left, right)


def paths(found: list[str]) -> Trees:
    return st.sampled_from([parse(text) for text in found])


def zone() -> Trees:
    return st.sampled_from(
        [parse(text) for text in ['"UTC"', '"Europe/London"', '"America/New_York"', '"Australia/Lord_Howe"', "a.s"]]
    )


def _of_int(depth: int) -> list[Trees]:
    n, text = trees("int", depth), trees("string", depth)
    unit = st.sampled_from([parse(f'"{word}"') for word in ("year", "month", "day", "hour", "weekday")])
    return [
        arith("+-*", n, n),
        st.builds(Negate, n),
        call("abs", n),
        call("length", text),
        call("int", text),
        call("floor", trees("decimal", depth)),
        call("ceil", trees("float", depth)),
        call("count", some_list()),
        call("sum", paths(LISTS["int"])),
        call("max", paths(LISTS["int"])),
        call("part", trees("timestamp", depth), unit, zone()),
        call("bucket", text, n),
        call("distinct", some_list()),
        call("greatest", n, n),
    ]


def _of_decimal(depth: int) -> list[Trees]:
    n, whole = trees("decimal", depth), trees("int", depth)
    return [
        arith("+-*/", n, n),
        arith("/", whole, whole),
        arith("*", n, paths(PATHS["int"])),
        st.builds(Negate, n),
        call("abs", n),
        call("round", n, st.sampled_from([parse(text) for text in ("0", "2", "9", "10", "a.i")])),
        call("decimal", trees("string", depth)),
        call("decimal", trees("float", depth)),
        call("sum", paths(LISTS["decimal"])),
        call("mean", paths(LISTS["int"])),
        call("least", n, n),
        call("seconds", trees("duration", depth)),
        call("amount", trees("money", depth)),
        arith("/", trees("money", depth), trees("money", depth)),
    ]


def _of_float(depth: int) -> list[Trees]:
    n = st.one_of(trees("float", depth), paths(PATHS["float"]))
    sure = paths(PATHS["float"])
    return [
        arith("+-*/", sure, n),
        arith("+*", sure, paths(PATHS["int"])),
        st.builds(Negate, sure),
        call("abs", sure),
        call("float", trees("string", depth)),
        call("float", trees("decimal", depth)),
        call("sum", paths(LISTS["float"])),
        call("min", paths(LISTS["float"])),
        call("least", sure, n),
    ]


def _of_string(depth: int) -> list[Trees]:
    s, n = trees("string", depth), trees("int", depth)
    scalar = st.one_of(*(trees(kind, depth) for kind in ("int", "decimal", "float", "bool", "timestamp", "duration", "money")))
    return [
        call("lower", s),
        call("upper", s),
        call("trim", s),
        call("substring", s, n, n),
        call("replace", s, s, s),
        call("string", scalar),
        call("join", paths(LISTS["string"]), s),
        call("date", trees("timestamp", depth), zone()),
        call("hash", s, n),
        call("greatest", s, s),
    ]


def _of_bool(depth: int) -> list[Trees]:
    s, b = trees("string", depth), trees("bool", depth)
    return [
        st.one_of(*(comparisons(kind, depth) for kind in ORDERED)),
        st.builds(Compare, st.sampled_from(["==", "!="]), b, b),
        st.lists(b, min_size=2, max_size=3).map(lambda items: And(tuple(items))),
        st.lists(b, min_size=2, max_size=3).map(lambda items: Or(tuple(items))),
        st.builds(Not, b),
        st.builds(Matches, s, st.sampled_from(PATTERNS)),
        call("exists", st.one_of(*(trees(kind, depth) for kind in PATHS if kind != "any"), paths(PATHS["any"]))),
        call("starts_with", s, s),
        call("ends_with", s, s),
        st.builds(Compare, st.just("contains"), s, s),
        call("any", paths(LISTS["bool"])),
        call("all", paths(LISTS["bool"])),
        *(member(kind, depth) for kind in LISTS),
        *(against_any(kind) for kind in ("int", "decimal", "float", "string", "timestamp", "duration", "money")),
    ]


def comparisons(kind: str, depth: int) -> Trees:
    left = paths(PATHS["float"]) if kind == "float" else trees(kind, depth)
    return st.builds(Compare, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), left, trees(kind, depth))


def member(kind: str, depth: int) -> Trees:
    listed = paths(LISTS[kind])
    item = trees(kind, depth) if kind != "float" else st.one_of(literals("float"), paths(PATHS["float"]))
    given_items = st.lists(paths(PATHS[kind]), min_size=1, max_size=3).map(lambda items: ListOf(tuple(items)))
    return st.one_of(
        st.builds(Compare, st.just("in"), item, listed),
        st.builds(Compare, st.just("contains"), listed, item),
        st.builds(Compare, st.just("in"), item, given_items),
    )


def against_any(kind: str) -> Trees:
    unsure = paths(PATHS["any"])
    return st.builds(Compare, st.sampled_from(["==", "!=", "<", ">="]), unsure, st.one_of(literals(kind), paths(PATHS[kind])))


def _of_timestamp(depth: int) -> list[Trees]:
    t, n = trees("timestamp", depth), st.sampled_from([parse(text) for text in ("1", "-1", "13", "a.i")])
    unit = st.sampled_from([parse(f'"{word}"') for word in ("year", "month", "week", "day", "hour")])
    return [
        arith("+-", t, trees("duration", depth)),
        call("start_of", t, unit, zone()),
        call("plus_days", t, n, zone()),
        call("plus_months", t, n, zone()),
        call("timestamp", trees("string", depth)),
        call("least", t, t),
    ]


def _of_duration(depth: int) -> list[Trees]:
    u, t = trees("duration", depth), trees("timestamp", depth)
    return [
        arith("+-", u, u),
        arith("*", u, trees("int", depth)),
        arith("-", t, t),
        st.builds(Negate, u),
        call("abs", u),
        call("duration", trees("string", depth)),
    ]


def _of_money(depth: int) -> list[Trees]:
    m, n = trees("money", depth), trees("decimal", depth)
    return [
        arith("+-", m, m),
        arith("*", m, n),
        arith("*", n, m),
        st.builds(Negate, m),
        call("abs", m),
        call("greatest", m, m),
        call("money", n, st.just(parse('"GBP"'))),
    ]


def some_list() -> Trees:
    return paths([path for found in LISTS.values() for path in found])


COMPOUND: dict[str, Callable[[int], list[Trees]]] = {
    "int": _of_int,
    "decimal": _of_decimal,
    "float": _of_float,
    "string": _of_string,
    "bool": _of_bool,
    "timestamp": _of_timestamp,
    "duration": _of_duration,
    "money": _of_money,
}
_MADE: dict[tuple[str, int], Trees] = {}


def trees(kind: str, depth: int) -> Trees:
    """Draw a tree that gives a kind; made once a kind and depth."""
    if (kind, depth) not in _MADE:
        leaves = st.one_of(paths(PATHS[kind]), literals(kind))
        _MADE[kind, depth] = leaves
        if depth > 0:
            one = trees(kind, depth - 1)
            again = [call("coalesce", paths(PATHS[kind]), one), call("if", trees("bool", depth - 1), paths(PATHS[kind]), one)]
            _MADE[kind, depth] = st.one_of(leaves, *COMPOUND[kind](depth - 1), *again)
    return _MADE[kind, depth]


def built(seed: int, height: int, dropped: set[str]) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Make rows from a seed: pools of troublesome values, far denser than drawing each cell would be."""
    dice = Random(seed)
    rows = [{key: draw(dice) for key, draw in ROW.items() if key not in dropped} for _ in range(height)]
    return pl.DataFrame(rows, schema={key: dtype for key, dtype in SCHEMA.items() if key not in dropped}), rows
