"""Functions of numbers, money and durations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import reduce
from typing import Any, Final

import polars as pl

from schemas.expression.findings import ExpressionError
from schemas.expression.fit import shown, type_of, unify
from schemas.expression.functions.function import Function, Typed, fitted, misfit, one_of_kinds, plain, same, takes
from schemas.expression.literals import INT_MIN, PLACES
from schemas.expression.numbers import EXACT, kept_decimal, kept_int
from schemas.expression.tree import Call, Constant, Tree
from schemas.expression.types import DECIMAL, DURATION, INT, Type

_MANY: Final = 100
_SECOND: Final = Decimal(1_000_000)
_quantity: Final = one_of_kinds(frozenset(["int", "decimal", "float", "money", "duration"]), DECIMAL)
_number: Final = one_of_kinds(frozenset(["int", "decimal", "float"]), DECIMAL)
_rounded: Final = one_of_kinds(frozenset(["decimal", "money"]), DECIMAL)
_ordered: Final = frozenset(["int", "decimal", "float", "money", "duration", "timestamp", "string"])
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def _abs_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    arg = _quantity(name, args[0])
    return (arg,), type_of(arg)


def _round_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    first = fitted(name, args[0], DECIMAL) if type_of(args[0]).name == "int" else _rounded(name, args[0])
    found = (first, fitted(name, args[1], INT))
    return found, same(type_of(first), found)


def _whole_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    found = (_number(name, args[0]),)
    return found, same(INT, found)


def _extreme_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    found = unify(args)
    if found is None or found[1].name not in _ordered:
        raise misfit(name, args[0], f"values of one type that has an order, beside {', '.join(shown(arg) for arg in args[1:])}")
    return found[0], same(found[1], found[0])


def _money_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    currency = args[1].value if isinstance(args[1], Constant) else None
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ExpressionError("needs-currency", f"'{name}' wants a currency in quotes, as in money(n, \"EUR\")", args[1].at)
    found = (fitted(name, args[0], DECIMAL), args[1])
    return found, same(Type("money", currency=currency), found)


def _amount_rule(name: str, args: tuple[Tree, ...]) -> Typed:
    if type_of(args[0]).name != "money":
        raise misfit(name, args[0], "money")
    return args, same(DECIMAL, args)


def _abs(value: Any) -> Any:
    if isinstance(value, Decimal):
        return EXACT.abs(value)
    return kept_int(abs(value)) if isinstance(value, int) else abs(value)


def _abs_column(call: Call, args: Sequence[pl.Expr]) -> pl.Expr:
    item = args[0]
    if call.type.name in ("int", "duration"):
        item = pl.when(item != INT_MIN).then(item)  # its opposite does not fit, and wraps
    return item.abs()


def _round(value: Decimal, places: int) -> Decimal | None:
    if not 0 <= places <= PLACES:
        return None
    return kept_decimal(value.quantize(Decimal(1).scaleb(-places), context=EXACT))


def _whole(mode: str, of_float: Callable[[float], int]) -> Callable[[Any], int | None]:
    def work(value: Any) -> int | None:
        if isinstance(value, float):
            return kept_int(of_float(value)) if math.isfinite(value) else None
        return value if isinstance(value, int) else kept_int(int(value.to_integral_value(mode, EXACT)))

    return work


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    def work(*values: Any) -> Any:
        return None if any(value != value for value in values) else pick(values)  # noqa: PLR0124  NaN orders nothing

    return work


def _extreme_column(*, greatest: bool) -> Callable[[Call, Sequence[pl.Expr]], pl.Expr]:
    def pick(one: pl.Expr, two: pl.Expr) -> pl.Expr:
        chosen = pl.when(two > one if greatest else two < one).then(two).otherwise(one)
        return pl.when(one.is_not_null() & two.is_not_null()).then(chosen)

    def build(call: Call, args: Sequence[pl.Expr]) -> pl.Expr:
        numbers = [pl.when(arg.is_not_nan()).then(arg) for arg in args] if call.type.name == "float" else args
        return reduce(pick, numbers)

    return build


def _seconds(us: int) -> Decimal | None:
    return kept_decimal(EXACT.divide(Decimal(us), _SECOND))


FUNCTIONS: Final = (
    Function("abs", "abs(n)", 1, 1, _abs_rule, plain(_abs), _abs_column),
    Function("round", "round(d, places)", 2, 2, _round_rule, plain(_round)),
    Function("floor", "floor(n)", 1, 1, _whole_rule, plain(_whole(ROUND_FLOOR, math.floor))),
    Function("ceil", "ceil(n)", 1, 1, _whole_rule, plain(_whole(ROUND_CEILING, math.ceil))),
    Function("least", "least(a, ...)", 1, _MANY, _extreme_rule, plain(_extreme(min)), _extreme_column(greatest=False)),
    Function("greatest", "greatest(a, ...)", 1, _MANY, _extreme_rule, plain(_extreme(max)), _extreme_column(greatest=True)),
    Function(
        "money", 'money(n, "EUR")', 2, 2, _money_rule, plain(lambda n, _currency: n), lambda _call, args: args[0], frozenset([1])
    ),
    Function("amount", "amount(m)", 1, 1, _amount_rule, plain(lambda money: money), lambda _call, args: args[0]),
    Function("seconds", "seconds(d)", 1, 1, takes(DURATION, gives=DECIMAL), plain(_seconds)),
)
