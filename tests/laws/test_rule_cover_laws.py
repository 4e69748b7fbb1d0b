"""Law: what is proved of decision tables holds for every input; of rules that compare with constants all is proved."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flows.language.rule_cover import gaps
from schemas.expression.check import Scope, elaborate
from schemas.expression.parse import parse
from schemas.expression.rows import compile_row
from schemas.expression.tree import Tree
from schemas.expression.type_text import parse_type
from schemas.expression.types import BOOL
from tests.examples import examples

INPUTS = {
    "n": "int",
    "d": "decimal?",
    "m": "money(GBP)",
    "u": "duration",
    "b": "bool",
    "w": 'one_of("low", "unsure", "high")',
    "s": "string?",
}
SCOPE = Scope(parse_type({}), {name: parse_type(spec) for name, spec in INPUTS.items()}, steps=False)
SIMPLE = [
    *(f"n {sign} {number}" for sign in ("==", "!=", "<", "<=", ">", ">=") for number in (-1, 0, 1, 3)),
    *(f"d {sign} {number}" for sign in ("==", "<", ">=") for number in ("0.5", "1", "2.5")),
    *(f"n {sign} 1.5" for sign in ("<", ">=")),
    *(f"m {sign} {amount} GBP" for sign in ("<=", ">") for amount in (0, 5)),
    *(f"u {sign} 4h" for sign in ("<", ">=", "==")),
    *(f'w == "{word}"' for word in ("low", "unsure", "high")),
    'w in ["low", "high"]',
    *(f's {sign} "{word}"' for sign in ("==", "!=", "<", ">=") for word in ("a", "b")),
    "b",
    "exists(d)",
    "exists(s)",
    "3 > n",
]
OPEN = ["s matches '^a'", "length(s) > 1", "n > d", "d == n", "starts_with(s, w)"]
atoms = st.sampled_from(SIMPLE)
ROW = st.fixed_dictionaries(
    {
        "n": st.integers(-3, 5),
        "d": st.one_of(st.none(), st.sampled_from([Decimal(text) for text in ("0", "0.5", "0.7", "1", "2.5", "9")])),
        "m": st.sampled_from([Decimal(text) for text in ("-1", "0", "0.1", "5", "6")]),
        "u": st.sampled_from([0, 4 * 3_600_000_000, 4 * 3_600_000_000 - 1, 10**12]),
        "b": st.booleans(),
        "w": st.sampled_from(["low", "unsure", "high"]),
        "s": st.one_of(st.none(), st.sampled_from(["", "a", "aa", "ab", "b", "c"])),
    }
)


def conditions(leaves: list[str]) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(leaves)
    joined: Callable[[str], st.SearchStrategy[str]] = lambda word: st.lists(leaf, min_size=2, max_size=2).map(  # noqa: E731
        lambda parts: f"({f' {word} '.join(parts)})"
    )
    return st.one_of(leaf, joined("and"), joined("or"), leaf.map(lambda text: f"not {text}"))


def typed(text: str) -> Tree:
    found = elaborate(parse(text), SCOPE, BOOL)
    assert found.ok, (text, found.findings)
    return found.tree


def holding(rules: list[Tree], row: dict[str, Any]) -> list[int]:
    return [at for at, rule in enumerate(rules) if compile_row(rule)(row) is True]


QUICK = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@QUICK
@given(st.lists(conditions(SIMPLE + OPEN), min_size=1, max_size=4), st.lists(ROW, min_size=20, max_size=40))
def test_what_is_proved_holds_for_every_input(texts: list[str], rows: list[dict[str, Any]]) -> None:
    rules = [typed(text) for text in texts]
    found = gaps(rules)
    assume(found.proved)
    pairs = {(one, two) for one, two, _ in found.overlaps}
    for row in rows:
        there = holding(rules, row)
        assert there or found.uncovered, (texts, row)
        assert all(pair in pairs for pair in pairwise(there)), (texts, row)
        assert not there or there[0] not in found.idle, (texts, row)


def test_a_table_of_constants_is_judged_exactly() -> None:
    judged = {
        ("n < 3", "n >= 3"): ("", 0),
        ("n < 3", "n > 3"): ("n = 3", 0),
        ("n <= 3", "n >= 3"): ("", 1),
        ("d < 1", "d >= 1"): ("d = missing", 0),
        ("d < 1", "d >= 1", "not exists(d)"): ("", 0),
        ('w == "low"', 'w in ["unsure", "high"]'): ("", 0),
        ('w == "low" and b', 'w == "low" and not b', 'w != "low"'): ("", 0),
        ('s == "a"', 's != "a"', "not exists(s)"): ("", 0),
        ('s < "a"', 's >= "a"'): ("s = missing", 0),
        ("n < 1.5", "n >= 1.5"): ("", 0),
        ("m <= 0 GBP", "m > 0 GBP"): ("", 0),
        ("n > d", "n <= d"): ("n missing in d", 0),
        ("n > floor(1.5)", "n <= floor(1.5)"): ("", 0),
        ("b", "not b"): ("", 0),
    }
    for texts, (uncovered, overlaps) in judged.items():
        found = gaps([typed(text) for text in texts])
        assert found.proved
        assert (found.uncovered, len(found.overlaps)) == (uncovered, overlaps), (texts, found)


def test_too_many_cells_prove_nothing() -> None:
    texts = [f"n == {number} or m == {number} GBP or u == {number + 1}s" for number in range(20)]
    assert not gaps([typed(text) for text in texts]).proved
