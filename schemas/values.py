"""Values that a type allows and a contract does not: NaN, unknown words, too many digits, times outside 1970-2200, broken `any`.

Reads: decoded columns. Emits: for each check a boolean column. State: none.
Cost: a few ns a value; only `any` texts are looked at one by one, and only where they hold many brackets or came as Avro text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Final, cast

import msgspec
import polars as pl

from schemas.errors import BadRecord
from schemas.expression.types import Type
from schemas.frames import holds_any

TIME_MAX_US: Final = 7_258_118_400_000_000  # 2200-01-01T00:00:00Z
DEPTH_MAX: Final = 64
DECIMAL_MOST: Final = Decimal("99999999999999999999999999999.999999999")

HUGE: Final = re.compile(r"[0-9][eE]\+?[0-9]|[0-9]{19}")  # such a number may be infinite, or longer than state can hold
INT_LEAST: Final = -(1 << 63)
INT_MOST: Final = (1 << 63) - 1

BOUNDS: Final[dict[str, tuple[Any, Any]]] = {
    "decimal": (-DECIMAL_MOST, DECIMAL_MOST),
    "money": (-DECIMAL_MOST, DECIMAL_MOST),
    "timestamp": (0, TIME_MAX_US),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that may be wrong with a row: its name, what to say, and a boolean expression (null means fine)."""

    reason: str
    detail: str
    fails: pl.Expr
    bounded: bool = False  # `are_bounded` looks for it too


def value_checks(column: pl.Expr, kind: Type, path: str, *, presence: bool) -> Iterator[Check]:
    """Give the checks of one column. `presence`: also that nothing required is missing."""
    if presence and not kind.optional:
        yield Check("wrong-schema", f"{path} is missing and required", column.is_null())
    if kind.name == "record":
        for name, field in kind.fields:
            for check in value_checks(column.struct.field(name), field, f"{path}.{name}", presence=presence):
                yield Check(check.reason, check.detail, check.fails & column.is_not_null(), check.bounded)
    elif kind.item is not None:
        for check in value_checks(pl.element(), kind.item, f"{path}[*]", presence=presence):
            yield Check(check.reason, check.detail, column.list.eval(check.fails).list.any())
    else:
        yield from _scalar_checks(column, kind, path)


def _scalar_checks(column: pl.Expr, kind: Type, path: str) -> Iterator[Check]:
    match kind.name:
        case "float":
            yield Check("not-finite", f"{path} is NaN or infinite; send a number or leave it out", ~column.is_finite())
        case "one_of":
            words = ", ".join(kind.options)
            yield Check("wrong-schema", f"{path} is none of {words}", ~column.is_in(list(kind.options)))
        case "decimal" | "money":
            yield Check(
                "wrong-schema", f"{path} has more than 38 digits", ~column.is_between(-DECIMAL_MOST, DECIMAL_MOST), bounded=True
            )
        case "timestamp":
            yield Check("bad-time", f"{path} lies outside 1970 to 2200", ~column.is_between(0, TIME_MAX_US), bounded=True)
        case _:
            return


def are_bounded(column: pl.Series, kind: Type) -> bool:
    """Tell by least and greatest whether all decimals and times outside lists are in their bounds."""
    if kind.name == "record" and kind.fields:
        return all(are_bounded(part, field) for part, (_, field) in zip(column.struct.unnest(), kind.fields, strict=True))
    bounds = BOUNDS.get(kind.name)
    if bounds is None or column.null_count() == len(column):
        return True
    return bool(bounds[0] <= cast(Any, column.min()) and cast(Any, column.max()) <= bounds[1])


def sound(kind: Type) -> Callable[[Any], bool] | None:
    """Give what tells whether a value of a type is one that these checks let pass; None where all are."""
    if kind.name == "record":
        parts = [(name, test) for name, field in kind.fields if (test := sound(field)) is not None]
        return (lambda value: value is None or all(test(value[name]) for name, test in parts)) if parts else None
    if kind.item is not None:
        test = sound(kind.item)
        return None if test is None else lambda value: value is None or all(map(test, value))
    if kind.name == "float":
        return lambda value: value is None or isfinite(value)
    if kind.name == "one_of":
        return lambda value: value is None or value in kind.options
    least, most = BOUNDS.get(kind.name, (None, None))
    return None if least is None else lambda value: value is None or least <= value <= most


def check_texts(value: Any, kind: Type, path: str, *, parse: bool) -> None:
    """Raise BadRecord if an `any` inside a value is nested too deep or (with `parse`) is not JSON."""
    if value is None or not holds_any(kind):
        return
    if kind.name == "any":
        check_text(value, path, parse=parse)
    for item in value if kind.item is not None else ():
        check_texts(item, kind.item, f"{path}[*]", parse=parse)  # type: ignore[arg-type]
    for name, field in kind.fields:
        check_texts(value[name], field, f"{path}.{name}", parse=parse)


def check_text(text: str, path: str, *, parse: bool) -> None:
    """Raise BadRecord unless a text is JSON nested at most 64 deep, its numbers within reach."""
    if text.count("[") + text.count("{") > DEPTH_MAX and depth_of(text) > DEPTH_MAX:
        raise BadRecord("too-deep", f"{path} nests more than {DEPTH_MAX} deep")
    if parse or HUGE.search(text):
        try:
            _check_ints(msgspec.json.decode(text), path)
        except msgspec.ValidationError as error:
            raise BadRecord("not-finite", f"{path} holds a number that is too large: {error}") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRecord("malformed-json", f"{path} holds text that is not JSON: {error}") from error


def _check_ints(value: Any, path: str) -> None:
    match value:
        case int() if not INT_LEAST <= value <= INT_MOST:
            raise BadRecord("wrong-schema", f"{path} holds a whole number beyond 64 bits; send it as text")
        case list():
            for item in value:
                _check_ints(item, path)
        case dict():
            for item in value.values():
                _check_ints(item, path)
        case _:
            return


def depth_of(text: str) -> int:
    """Give how deep brackets nest in a JSON text; those inside strings do not count."""
    deepest = depth = 0
    inside = skip = False
    for letter in text:
        if skip:
            skip = False
        elif inside:
            inside, skip = letter != '"', letter == "\\"
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    return deepest
