"""Values of an execution's environment as JSON that gives them back exactly.

A decimal is {"$decimal": "0.10"}: as a number it would come back as an int or a float. A record of the data that looks like one
of these is wrapped in {"$record": ...}, so nobody's event can pass for a decimal. All other values are themselves.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from schemas.errors import InvalidInput

DECIMAL: Final = "$decimal"
FAR: Final = 400  # decimal places from the point: beyond any number that is kept; in plain digits 1e999999999 takes a gigabyte
RECORD: Final = "$record"
PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_MARKS: Final = ({DECIMAL}, {RECORD})


def exact(value: Any) -> Any:
    """Mark the decimals within a value."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is Decimal:
        return {DECIMAL: str(value)}
    if kind is dict:
        marked = value
        if not PLAIN.issuperset(map(type, value.values())):
            marked = {key: item if type(item) in PLAIN else exact(item) for key, item in value.items()}
        return {RECORD: marked} if marked.keys() in _MARKS else marked
    if kind is list or kind is tuple:
        return [exact(item) for item in value]
    return value


def from_exact(value: Any) -> Any:
    """Read a marked value. Raises InvalidInput where a decimal or a record is none."""
    if isinstance(value, list):
        return [from_exact(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {RECORD}:
        if not isinstance(value[RECORD], dict):
            raise InvalidInput(f"{value[RECORD]!r} is no record")
        return {key: from_exact(item) for key, item in value[RECORD].items()}
    if value.keys() == {DECIMAL}:
        return _decimal(value[DECIMAL])
    return {key: from_exact(item) for key, item in value.items()}


def _decimal(text: Any) -> Decimal:
    try:
        found = Decimal(text)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InvalidInput(f"{text!r} is no decimal") from error
    if not found.is_finite() or abs(found.adjusted()) > FAR:
        raise InvalidInput(f"{text!r} is no decimal")
    return found
