"""Values of expressions as JSON values: what an action's parameters carry."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from schemas.expression.functions.conversions import printer
from schemas.expression.literals import print_decimal
from schemas.expression.types import Type

Render = Callable[[Any], Any]
_TEXTS: Final = frozenset(["money", "timestamp", "duration"])


def renderer(of: Type) -> Render | None:
    """Give the function that makes a present value JSON-ready; None where it is as it stands.

    decimal → Decimal without needless zeros (encode with decimal_format="number"), money → "12.50 GBP", timestamp → RFC 3339,
    duration → "1h30m", a float that is no number → None.
    """
    if of.name in _TEXTS:
        return printer(of)
    if of.name == "list" and of.item is not None:
        return _list(of.item)
    if of.name == "record":
        return _record(of)
    numbers: dict[str, Render] = {"decimal": _decimal, "float": _float}
    return numbers.get(of.name)


def _decimal(value: Decimal) -> Decimal:
    return Decimal(print_decimal(value))


def _float(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _list(item: Type) -> Render | None:
    each = renderer(item)
    if each is None:
        return None
    return lambda values: [None if value is None else each(value) for value in values]


def _record(of: Type) -> Render | None:
    parts = {name: each for name, part in of.fields if (each := renderer(part)) is not None}
    if not parts:
        return None

    def run(value: dict[str, Any]) -> dict[str, Any]:
        return {name: parts[name](part) if part is not None and name in parts else part for name, part in value.items()}

    return run
