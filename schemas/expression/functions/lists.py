"""Functions of lists. Missing items are left out; of an empty list count and sum are 0, any false, all true, the rest missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import polars as pl

from schemas.expression.fit import optional, present, type_of
from schemas.expression.functions.function import Function, Typed, fitted, misfit, plain
from schemas.expression.numbers import EXACT, kept_decimal, kept_float, kept_int
from schemas.expression.tree import Call, Tree
from schemas.expression.types import ANY, BOOL, DECIMAL, INT, Type

_SUMMED: Final = frozenset(["int", "decimal", "float", "money", "duration"])
_ORDERED: Final = _SUMMED | {"timestamp", "string", "one_of"}
_COUNTED: Final = _ORDERED | {"bool"}


def _list_of(name: str, tree: Tree, read_any_as: Type) -> tuple[Tree, Type]:
    have = type_of(tree)
    if have.name not in ("any", "list"):
        raise misfit(name, tree, "a list, as in order.lines[*].quantity")
    item = present(have.item or ANY) if have.name == "list" else ANY
    if item.name != "any":
        return tree, item
    found = fitted(name, tree, Type("list", item=optional(read_any_as)))
    return found, read_any_as


def _rule(kinds: frozenset[str], read_any_as: Type, gives: Callable[[Type], Type]) -> Callable[[str, tuple[Tree, ...]], Typed]:
    def rule(name: str, args: tuple[Tree, ...]) -> Typed:
        tree, item = _list_of(name, args[0], read_any_as)
        if kinds and item.name not in kinds:
            raise misfit(name, args[0], "a list of one of " + ", ".join(sorted(kinds)))
        of = gives(item)
        return (tree,), optional(of, when=of.optional or type_of(args[0]).optional)

    return rule


def _maybe(item: Type) -> Type:
    return optional(item)


def _mean_type(item: Type) -> Type:
    return optional(DECIMAL if item.name == "int" else item)


def _there(items: list[Any]) -> list[Any]:
    return [item for item in items if item is not None]


def _count(items: list[Any]) -> int:
    return len(_there(items))


def _sum(call: Call) -> Callable[[list[Any]], Any]:
    return _SUMS[call.type.name]


def _sum_ints(items: list[Any]) -> int | None:
    return kept_int(sum(_there(items)))


def _sum_floats(items: list[Any]) -> float | None:
    there = _there(items)
    try:
        return kept_float(math.fsum(there)) if all(map(math.isfinite, there)) else None
    except OverflowError:
        return None


def _exact_sum(items: list[Decimal]) -> Decimal:
    total = Decimal(0)
    for item in items:
        total = EXACT.add(total, item)
    return total


def _sum_decimals(items: list[Any]) -> Decimal | None:
    return kept_decimal(_exact_sum(_there(items)))


_SUMS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "int": _sum_ints,
    "duration": _sum_ints,
    "float": _sum_floats,
    "decimal": _sum_decimals,
    "money": _sum_decimals,
}


def _mean(call: Call) -> Callable[[list[Any]], Any]:
    return {"float": _mean_floats, "duration": _mean_durations}.get(call.type.name, _mean_decimals)


def _mean_floats(items: list[Any]) -> float | None:
    total = _sum_floats(items)
    return None if total is None or not _there(items) else total / len(_there(items))


def _mean_decimals(items: list[Any]) -> Decimal | None:
    there = [Decimal(item) for item in _there(items)]
    return kept_decimal(EXACT.divide(_exact_sum(there), Decimal(len(there)))) if there else None


def _mean_durations(items: list[Any]) -> int | None:
    there = _there(items)
    return round(EXACT.divide(Decimal(sum(there)), Decimal(len(there)))) if there else None


def _extreme(pick: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def work(items: list[Any]) -> Any:
        there = _there(items)
        if not there or any(item != item for item in there):  # noqa: PLR0124  NaN orders nothing
            return None
        return pick(there)

    return work


def _distinct(items: list[Any]) -> int | None:
    there = [item for item in _there(items) if item == item]  # noqa: PLR0124  NaN is like nothing
    return len(set(there)) or None


def _any(items: list[Any]) -> bool:
    return any(item is True for item in items)


def _all(items: list[Any]) -> bool:
    return all(item is not False for item in items)


def _count_column(_call: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    return args[0].list.drop_nulls().list.len().cast(pl.Int64)


_NONE: Final[frozenset[str]] = frozenset()

FUNCTIONS: Final = (
    Function("count", "count(l)", 1, 1, _rule(_NONE, ANY, lambda _item: INT), plain(_count), _count_column),
    Function("sum", "sum(l)", 1, 1, _rule(_SUMMED, DECIMAL, lambda item: item), _sum),
    Function("mean", "mean(l)", 1, 1, _rule(_SUMMED, DECIMAL, _mean_type), _mean),
    Function("min", "min(l)", 1, 1, _rule(_ORDERED, DECIMAL, _maybe), plain(_extreme(min))),
    Function("max", "max(l)", 1, 1, _rule(_ORDERED, DECIMAL, _maybe), plain(_extreme(max))),
    Function("distinct", "distinct(l)", 1, 1, _rule(_COUNTED, DECIMAL, lambda _item: optional(INT)), plain(_distinct)),
    Function("any", "any(l)", 1, 1, _rule(frozenset(["bool"]), BOOL, lambda item: item), plain(_any)),
    Function("all", "all(l)", 1, 1, _rule(frozenset(["bool"]), BOOL, lambda item: item), plain(_all)),
)
