"""The arithmetic of both evaluators: total, so overflow and division by zero give None (missing)."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from schemas.expression.literals import DECIMAL_LIMIT, INT_MAX, INT_MIN, TIME_MAX_US

# The exact product of two numbers of 38 digits has 76, a quotient 38 before the point: rounding happens once, at 9 places.
EXACT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[])
STEP: Final = Decimal("1e-9")
Operation = Callable[[Any, Any], Any]


def kept_decimal(value: Decimal) -> Decimal | None:
    """Round half to even at 9 places; None for what 38 digits do not hold and for NaN and infinities."""
    if not value.is_finite() or value.adjusted() > 40:
        return None
    rounded = value.quantize(STEP, context=EXACT)
    return rounded if -DECIMAL_LIMIT < rounded < DECIMAL_LIMIT else None  # abs() would round to 28 digits


def kept_int(value: int) -> int | None:
    """Give an int that fits 64 bits."""
    return value if INT_MIN <= value <= INT_MAX else None


def kept_float(value: float) -> float | None:
    """Give a finite float."""
    return value if math.isfinite(value) else None


def kept_time(us: int) -> int | None:
    """Give a time between 1970 and 2200."""
    return us if 0 <= us <= TIME_MAX_US else None


def float_to_decimal(value: float) -> Decimal | None:
    """Read a float by its shortest digits (0.1 is 0.1), kept at 9 places."""
    return kept_decimal(Decimal(repr(value)))


def _sum(one: Decimal, two: Decimal) -> Decimal | None:
    total = EXACT.add(one, two)
    return total if -DECIMAL_LIMIT < total < DECIMAL_LIMIT else None


def _difference(one: Decimal, two: Decimal) -> Decimal | None:
    total = EXACT.subtract(one, two)
    return total if -DECIMAL_LIMIT < total < DECIMAL_LIMIT else None


def _product(one: Decimal, two: Decimal) -> Decimal | None:
    return kept_decimal(EXACT.multiply(one, two))


def _quotient(one: Decimal, two: Decimal) -> Decimal | None:
    return kept_decimal(EXACT.divide(one, two)) if two else None


def _float_quotient(one: float, two: float) -> float | None:
    return kept_float(one / two) if two else None


DECIMALS: Final[dict[str, Operation]] = {"+": _sum, "-": _difference, "*": _product, "/": _quotient}
INTS: Final[dict[str, Operation]] = {
    "+": lambda one, two: kept_int(one + two),
    "-": lambda one, two: kept_int(one - two),
    "*": lambda one, two: kept_int(one * two),
}
FLOATS: Final[dict[str, Operation]] = {
    "+": lambda one, two: kept_float(one + two),
    "-": lambda one, two: kept_float(one - two),
    "*": lambda one, two: kept_float(one * two),
    "/": _float_quotient,
}
TIMES: Final[dict[str, Operation]] = {
    "+": lambda one, two: kept_time(one + two),
    "-": lambda one, two: kept_time(one - two),
}
BY_TYPE: Final[dict[str, dict[str, Operation]]] = {
    "int": INTS,
    "duration": INTS,
    "decimal": DECIMALS,
    "money": DECIMALS,
    "float": FLOATS,
    "timestamp": TIMES,
}


def negated(value: Any) -> Any:
    """Give the opposite of an int, a decimal or a float; None where it overflows."""
    if isinstance(value, Decimal):
        return EXACT.subtract(Decimal(0), value)
    return kept_int(-value) if isinstance(value, int) else kept_float(-value)
