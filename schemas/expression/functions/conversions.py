"""Conversions: string int decimal float timestamp duration, and reading an `any` as a type. What fails is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from schemas.expression.findings import ExpressionError
from schemas.expression.fit import NUMBERS, optional, type_of
from schemas.expression.functions.function import Function, RowBuilder, Rule, Typed, misfit
from schemas.expression.literals import (
    parse_decimal,
    parse_duration_us,
    parse_money,
    parse_timestamp_us,
    print_decimal,
    print_duration,
    print_money,
    print_timestamp,
)
from schemas.expression.numbers import float_to_decimal, kept_decimal, kept_int, kept_time
from schemas.expression.tree import Call, Tree
from schemas.expression.types import DECIMAL, DURATION, FLOAT, INT, STRING, TIMESTAMP, Type

_INT: Final = re.compile(r"-?\d{1,19}", re.ASCII)
_FLOAT: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_TEXT_MAX: Final = 400
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


def _converts(gives: Type, kinds: frozenset[str]) -> Rule:
    def rule(name: str, args: tuple[Tree, ...]) -> Typed:
        have = type_of(args[0])
        if have.name not in kinds | {"any", gives.name}:
            raise misfit(name, args[0], "one of " + ", ".join(sorted(kinds)))
        certain = have.name == gives.name or have.name in NUMBERS
        return args, optional(gives, when=have.optional or not certain)

    return rule


def _to_string(_name: str, args: tuple[Tree, ...]) -> Typed:
    have = type_of(args[0])
    return args, optional(STRING, when=have.optional or have.name == "any")


def read(parse: Callable[[str], Any], text: str) -> Any:
    """Parse a text; None where it is no such literal."""
    try:
        return parse(text)
    except ExpressionError:
        return None


def int_of(value: Any) -> int | None:
    """Convert to an int: numbers are cut towards zero."""
    if isinstance(value, str):
        return kept_int(int(value)) if _INT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return kept_int(int(value)) if math.isfinite(value) else None


def decimal_of(value: Any) -> Decimal | None:
    """Convert to a decimal of 9 places; a float by its shortest digits."""
    if isinstance(value, str):
        parsed: Decimal | None = read(parse_decimal, value)
        return parsed
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return float_to_decimal(value) if isinstance(value, float) else kept_decimal(Decimal(value))


def float_of(value: Any) -> float | None:
    """Convert to a finite float."""
    if isinstance(value, str) and not (len(value) <= _TEXT_MAX and _FLOAT.fullmatch(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def time_of(value: Any) -> int | None:
    """Convert to a time: RFC 3339 text, or microseconds that are one already."""
    return read(parse_timestamp_us, value) if isinstance(value, str) else None


def duration_of(value: Any) -> int | None:
    """Convert to a duration: text as in `1h30m`."""
    return read(parse_duration_us, value) if isinstance(value, str) else None


def _or_own(kind: str, work: Callable[[Any], Any]) -> RowBuilder:
    def build(call: Call) -> Callable[[Any], Any]:
        return (lambda value: value) if type_of(call.args[0]).name == kind else work

    return build


def printer(of: Type) -> Callable[[Any], str | None]:
    """Give the function that prints a value of a type as plain text, None for what has no text."""
    if of.name == "money":
        return lambda value: print_money(value, of.currency)
    return _PRINTERS.get(of.name, text_of)


def text_of(value: Any) -> str | None:
    """Print a value by what it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return print_decimal(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, int) else _json(value)


def _plain(value: Any) -> Any:
    """Take needless zeros out of decimals, wherever they lie: 1.5 is one value however many places were kept."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return Decimal(print_decimal(value)) if isinstance(value, Decimal) else value


def _json(value: Any) -> str | None:
    try:
        return _JSON.encode(_plain(value)).decode() if isinstance(value, list | dict) else None
    except (TypeError, ValueError):  # something that JSON has no form for
        return None


_PRINTERS: Final[dict[str, Callable[[Any], str | None]]] = {
    "timestamp": lambda value: None if kept_time(value) is None else print_timestamp(value),
    "duration": print_duration,
}

_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": lambda value: value if isinstance(value, str) else None,
    "one_of": lambda value: value if isinstance(value, str) else None,
    "int": lambda value: kept_int(value) if isinstance(value, int) and not isinstance(value, bool) else None,
    "decimal": lambda value: None if isinstance(value, str) else decimal_of(value),
    "float": lambda value: None if isinstance(value, str) else float_of(value),
    "bool": lambda value: value if isinstance(value, bool) else None,
    "timestamp": time_of,
    "duration": duration_of,
    "record": lambda value: value if isinstance(value, dict) else None,
    "any": lambda value: value,
}


def reader(of: Type) -> Callable[[Any], Any]:
    """Give the function that reads an `any` as a type: the value, or None if it is something else."""
    if of.name == "money":
        return lambda value: _read_money(value, of.currency)
    if of.name == "list":
        each = reader(of.item) if of.item else _READERS["any"]
        return lambda value: [each(item) for item in value] if isinstance(value, list) else None
    return _READERS[of.name]


def _read_money(value: Any, currency: str) -> Decimal | None:
    found = read(parse_money, value) if isinstance(value, str) else None
    return found[0] if found is not None and found[1] == currency else None


_NUMERIC: Final = frozenset(["int", "decimal", "float", "string"])
_TEXT: Final = frozenset(["string", "one_of"])

FUNCTIONS: Final = (
    Function("string", "string(x)", 1, 1, _to_string, lambda call: printer(type_of(call.args[0]))),
    Function("int", "int(x)", 1, 1, _converts(INT, _NUMERIC), lambda _call: int_of),
    Function("decimal", "decimal(x)", 1, 1, _converts(DECIMAL, _NUMERIC), lambda _call: decimal_of),
    Function("float", "float(x)", 1, 1, _converts(FLOAT, _NUMERIC), lambda _call: float_of),
    Function("timestamp", "timestamp(x)", 1, 1, _converts(TIMESTAMP, _TEXT), _or_own("timestamp", time_of)),
    Function("duration", "duration(x)", 1, 1, _converts(DURATION, _TEXT), _or_own("duration", duration_of)),
)
