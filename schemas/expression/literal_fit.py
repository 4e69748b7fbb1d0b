"""Literals in data, read by the type that a contract gives them: "4h" is a duration where one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from schemas.expression.findings import ExpressionError
from schemas.expression.literals import INT_MAX, INT_MIN, parse_decimal, parse_duration_us, parse_money, parse_timestamp_us
from schemas.expression.tree import Constant
from schemas.expression.type_text import print_type
from schemas.expression.types import ANY, BOOL, DECIMAL, INT, STRING, Type

_FAR: Final = 400  # decimal places from the point: beyond any number that is kept
_SHOWN: Final = 80  # characters of a value in a message
_PLAIN: Final[dict[type, Type]] = {str: STRING, bool: BOOL, int: INT, float: DECIMAL, Decimal: DECIMAL}


def literal_type(value: Any) -> Type:
    """Give the type of a JSON value that no contract speaks about."""
    if isinstance(value, dict):
        return Type("record", fields=tuple((str(key), literal_type(item)) for key, item in value.items()))
    if isinstance(value, list):
        kinds = {literal_type(item) for item in value}
        return Type("list", item=kinds.pop() if len(kinds) == 1 else ANY)
    return Type("any", optional=True) if value is None else _PLAIN.get(type(value), ANY)


def literal_misfit(value: Any, want: Type) -> ExpressionError | None:
    """Say why a JSON value is no literal of a type; None if it is one. The error's path leads into the value."""
    try:
        _read(value, want)
    except ExpressionError as error:
        return error
    return None


def literal_misfits(value: Any, want: Type) -> Iterator[ExpressionError]:
    """Say one by one what keeps a JSON value from being a literal of a type: unknown names, then in the order of its fields."""
    if isinstance(value, dict) and want.name == "record" and want.fields:
        known = dict(want.fields)
        yield from (_unknown(name, want) for name in value if name not in known)
        for name, part in known.items():
            yield from _misfits_inside(value, name, part)
    elif isinstance(value, list) and want.name == "list":
        for place, item in enumerate(value):
            yield from (_led_by(place, one) for one in literal_misfits(item, want.item or ANY))
    elif (wrong := literal_misfit(value, want)) is not None:
        yield wrong


def literal_value(value: Any, want: Type) -> Any:
    """Give a JSON value as rows hold a value of a type; raises ExpressionError."""
    return _read(value, want)


def literal_constant(value: Any, want: Type, at: int = 0) -> Constant:
    """Make the constant of a JSON value by the type of the field it is compared with; raises ExpressionError."""
    found = _read(value, want)
    digits = want.name in ("decimal", "money")
    return Constant(f"{found:f}" if digits and isinstance(found, Decimal) else found, Type(want.name, currency=want.currency), at)


def _read(value: Any, want: Type) -> Any:
    if value is None:
        if want.optional or want.name == "any":
            return None
        raise ExpressionError("type-mismatch", f"null stands where {print_type(want)} is wanted; write a value")
    return _READERS[want.name](value, want)


def _wrong(value: Any, want: Type) -> ExpressionError:
    quote = '; quote it: "..."' if want.name in ("string", "one_of") and not isinstance(value, list | dict) else ""
    return ExpressionError(
        "type-mismatch", f"{_shown(value)} is {literal_type(value).name} and {print_type(want)} is wanted{quote}"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _kind(*kinds: type) -> Callable[[Any, Type], Any]:
    def reads(value: Any, want: Type) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _wrong(value, want)
        return value

    return reads


def _int(value: Any, want: Type) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not INT_MIN <= value <= INT_MAX:
        raise _wrong(value, want)
    return value


def _decimal(value: Any, want: Type) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _wrong(value, want)
    number = Decimal(str(value))
    if number.is_finite() and abs(number.adjusted()) > _FAR:  # in plain digits 1e999999999 takes a gigabyte
        raise ExpressionError("bad-number", f"{number} has too many digits; 29 before and 9 behind the point are kept")
    return parse_decimal(f"{number:f}")


def _float(value: Any, want: Type) -> float:
    return float(_decimal(value, want))


def _money(value: Any, want: Type) -> Decimal:
    if not isinstance(value, str):
        raise ExpressionError(
            "needs-currency", f"{value!r} has no currency and {print_type(want)} is wanted; write {value} {want.currency}"
        )
    amount, currency = parse_money(value)
    if currency != want.currency:
        raise ExpressionError("currency-mismatch", f"{value} stands where {print_type(want)} is wanted; convert it first")
    return amount


def _duration(value: Any, want: Type) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(value, want)
    return parse_duration_us(str(value))


def _timestamp(value: Any, want: Type) -> int:
    if not isinstance(value, str):
        raise _wrong(value, want)
    return parse_timestamp_us(value)


def _one_of(value: Any, want: Type) -> str:
    if not isinstance(value, str):
        raise _wrong(value, want)
    if value not in want.options:
        near = get_close_matches(value, want.options, 1)
        hint = f"did you mean {near[0]!r}?" if near else "write one of these"
        raise ExpressionError("type-mismatch", f"{_shown(value)} is none of {', '.join(want.options)}; {hint}")
    return value


def _list(value: Any, want: Type) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(value, want)
    return [_inside(place, item, want.item or ANY) for place, item in enumerate(value)]


def _record(value: Any, want: Type) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, want)
    known = dict(want.fields)
    for name in (name for name in value if known and name not in known):
        raise _unknown(name, want)
    return {name: _inside(name, value.get(name), part) for name, part in known.items()}


def _unknown(name: str, want: Type) -> ExpressionError:
    known = dict(want.fields)
    near = get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
    return ExpressionError("unknown-field", f"field '{name}' is not in {print_type(want)}; {hint}", 0, (name,))


def _misfits_inside(record: dict[str, Any], name: str, want: Type) -> Iterator[ExpressionError]:
    if name not in record and not want.optional and want.name != "any":
        yield ExpressionError("type-mismatch", f"is missing and {print_type(want)} is wanted; give a value", 0, (name,))
    else:
        yield from (_led_by(name, one) for one in literal_misfits(record.get(name), want))


def _led_by(place: str | int, error: ExpressionError) -> ExpressionError:
    return ExpressionError(error.name, error.message, error.at, (place, *error.path))


def _inside(place: str | int, value: Any, want: Type) -> Any:
    try:
        return _read(value, want)
    except ExpressionError as error:
        raise _led_by(place, error) from error


_READERS: Final[dict[str, Callable[[Any, Type], Any]]] = {
    "string": _kind(str),
    "bool": _kind(bool),
    "int": _int,
    "decimal": _decimal,
    "float": _float,
    "money": _money,
    "duration": _duration,
    "timestamp": _timestamp,
    "one_of": _one_of,
    "list": _list,
    "record": _record,
    "any": lambda value, _want: value,
}
