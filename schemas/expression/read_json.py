"""Reading what came from outside as JSON by a type: results of actions, outputs of called flows, forms."""

from __future__ import annotations

from typing import Any

from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_value
from schemas.expression.type_text import print_type
from schemas.expression.types import ANY, Type


def read_json(value: Any, want: Type) -> Any:
    """Give a JSON value as rows hold a value of the type; raises ExpressionError, its path leading to what does not fit.

    Fields that the type does not name are left out: an API may always say more.
    """
    if value is None or want.name not in ("record", "list"):
        return literal_value(value, want)
    if want.name == "list" and isinstance(value, list):
        return [_inside(place, item, want.item or ANY) for place, item in enumerate(value)]
    if want.name == "record" and isinstance(value, dict):
        return {name: _inside(name, value.get(name), part) for name, part in want.fields} if want.fields else value
    raise ExpressionError("type-mismatch", f"{type(value).__name__} stands where {print_type(want)} is wanted")


def _inside(place: str | int, value: Any, want: Type) -> Any:
    try:
        return read_json(value, want)
    except ExpressionError as error:
        raise ExpressionError(error.name, error.message, error.at, (place, *error.path)) from error
