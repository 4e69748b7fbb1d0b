"""Parsed JSON values of one contract type → one polars column; what cannot be held is reported by row.

Reads: the structs that msgspec made. Emits: series. State: none. Cost: about 0.1 µs a value; texts of decimals and times become
numbers a column at a time, and only unusual spellings (exponents, offsets) are read singly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.errors import BadRecord
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_duration_us, parse_timestamp_us
from schemas.expression.types import Type
from schemas.frames import DECIMAL, dtype_of
from schemas.json_types import RAW, attribute

PLAIN_NUMBER: Final = r"^-?[0-9]{1,29}(?:\.[0-9]{1,9})?$"  # \d would take the digits of all scripts
NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
PLACES: Final = 9
WHOLE_DIGITS: Final = 29
Places = Sequence[int]


@dataclass(slots=True)
class Faults:
    """What is wrong, by row: the first fault of each."""

    found: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, row: int, reason: str, detail: str) -> None:
        """Note a fault of a row."""
        self.found.setdefault(row, (reason, detail))


@dataclass(frozen=True, slots=True)
class Spot:
    """Which values a column holds: their type, their path for messages, and the row that owns each."""

    kind: Type
    path: str
    owners: Places
    faults: Faults

    def part(self, name: str, kind: Type, owners: Places | None = None) -> Spot:
        """Go one step into the values."""
        return Spot(kind, f"{self.path}{name}", self.owners if owners is None else owners, self.faults)


def json_column(values: Sequence[Any], spot: Spot) -> pl.Series:
    """Make the column of some values."""
    match spot.kind.name:
        case "record":
            return _records(values, spot)
        case "list":
            return _lists(values, spot)
        case "timestamp":
            return times_us(values, spot)
        case "duration":
            return _read_each(values, spot, parse_duration_us)
        case "decimal" | "money":
            return _decimals(_raw_texts(values, spot), spot)
        case "any":
            return pl.Series(_raw_texts(values, spot), dtype=pl.String)
        case _:
            return pl.Series(values, dtype=dtype_of(spot.kind), strict=True)


def _records(values: Sequence[Any], spot: Spot) -> pl.Series:
    absent = [value is None for value in values] if spot.kind.optional else []
    if any(absent):
        return _optional_records(values, np.array(absent), spot)
    columns = [
        json_column(list(map(attrgetter(attribute(place)), values)), spot.part(f".{name}", kind)).alias(name)
        for place, (name, kind) in enumerate(spot.kind.fields)
    ]
    return pl.DataFrame(columns).to_struct() if columns else pl.Series([{}] * len(values), dtype=dtype_of(spot.kind))


def _optional_records(values: Sequence[Any], absent: np.ndarray[Any, Any], spot: Spot) -> pl.Series:
    present = np.flatnonzero(~absent).tolist()
    owners = [spot.owners[place] for place in present]
    inner = _records([values[place] for place in present], spot.part("", spot.kind, owners))
    places = pl.Series(np.cumsum(~absent) - 1).set(pl.Series(absent), None)
    return (
        pl.select(pl.lit(inner).gather(places)).to_series()
        if len(present)
        else pl.Series([None] * len(values), dtype=dtype_of(spot.kind))
    )


def _lists(values: Sequence[Any], spot: Spot) -> pl.Series:
    assert spot.kind.item is not None
    lengths = [0 if value is None else len(value) for value in values]
    items = [item for value in values if value for item in value]
    owners = np.repeat(np.asarray(spot.owners), lengths).tolist()
    inner = json_column(items, spot.part("[*]", spot.kind.item, owners))
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    mask = pa.array([value is None for value in values], type=pa.bool_())
    return _list_series(ends, inner, mask).cast(dtype_of(spot.kind))


def _list_series(ends: np.ndarray[Any, Any], inner: pl.Series, mask: Any) -> pl.Series:
    made = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(ends), inner.to_arrow(), mask=mask))
    assert isinstance(made, pl.Series)
    return made


def _raw_texts(values: Sequence[Any], spot: Spot) -> list[str | None]:
    try:
        texts: list[str | None] = [str(value, "utf-8") for value in values]
    except UnicodeDecodeError:
        texts = _readable_texts(values, spot)
    if "null" in texts:
        texts = [None if text == "null" else text for text in texts]
        if not spot.kind.optional:
            _note_each(texts, spot, f"{spot.path} is null and required")
    return texts


def _readable_texts(values: Sequence[Any], spot: Spot) -> list[str | None]:
    """Read texts one by one: msgspec does not look into what it keeps raw, so it may be no UTF-8."""
    texts: list[str | None] = []
    for owner, value in zip(spot.owners, values, strict=True):
        try:
            texts.append(str(value, "utf-8"))
        except UnicodeDecodeError as error:
            texts.append(None)
            spot.faults.add(owner, "malformed-json", f"{spot.path} is not UTF-8: {error.reason} at its byte {error.start}")
    return texts


def _note_each(texts: Sequence[Any], spot: Spot, detail: str) -> None:
    for owner, text in zip(spot.owners, texts, strict=True):
        if text is None:
            spot.faults.add(owner, "wrong-schema", detail)


def _decimals(texts: Sequence[str | None], spot: Spot) -> pl.Series:
    column = pl.Series(texts, dtype=pl.String)
    if spot.kind.name == "money":
        column = column.str.replace(rf'^"(-?[0-9]+(?:\.[0-9]+)?) {spot.kind.currency}"$', "$1")
    numbers = column.set(~column.str.contains(PLAIN_NUMBER), None).cast(DECIMAL)
    return _patched(numbers, texts, spot, lambda text: exact_decimal(text, spot.kind))


def exact_decimal(text: str, kind: Type) -> Decimal:
    """Read a decimal or money as it stands in JSON. Raises BadRecord."""
    money = kind.name == "money"
    amount, _, currency = text.strip('"').partition(" ") if money else (text, "", "")
    if not NUMBER.fullmatch(amount) or (text.startswith('"') and (not money or currency != kind.currency)):
        wanted = f'a number or "12.50 {kind.currency}"' if money else "a number"
        raise BadRecord("wrong-schema", f"{text[:80]} is not {wanted}")
    try:
        return _bounded(Decimal(amount))
    except InvalidOperation as error:  # an exponent beyond all numbers, or too many digits
        raise BadRecord(
            "wrong-schema", f"{text[:80]} has more digits than {WHOLE_DIGITS} before and {PLACES} behind the point"
        ) from error


def _bounded(value: Decimal) -> Decimal:
    """Give a number without zeros at its end. Raises InvalidOperation; nothing here rounds, or looks at the context's limits."""
    if not value:
        return Decimal(0)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    zeros = next(place for place, digit in enumerate(reversed(digits)) if digit)
    if value.adjusted() >= WHOLE_DIGITS or exponent + zeros < -PLACES:
        raise InvalidOperation
    return Decimal((sign, digits[: len(digits) - zeros], exponent + zeros))


def times_us(values: Sequence[str | None], spot: Spot) -> pl.Series:
    """Read RFC 3339 texts as microseconds."""
    column = pl.Series(values, dtype=pl.String)
    usual = column.set(~column.str.contains(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,6})?Z$"), None)
    read = usual.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).cast(pl.Int64)
    return _patched(read, values, spot, parse_timestamp_us)


def _read_each(values: Sequence[str | None], spot: Spot, read: Callable[[str], int]) -> pl.Series:
    return _patched(pl.Series([None] * len(values), dtype=pl.Int64), values, spot, read)


def _patched(column: pl.Series, texts: Sequence[str | None], spot: Spot, read: Callable[[str], Any]) -> pl.Series:
    """Fill what is null and has a text by reading it singly; note what cannot be read."""
    open_places = (column.is_null() & pl.Series(texts, dtype=pl.String).is_not_null()).arg_true().to_list()
    if not open_places:
        return column
    values: dict[str, Any] = {}
    for place in open_places:
        text = texts[place]
        assert text is not None
        if text not in values:
            values[text] = _tried(read, text)
        if isinstance(values[text], BadRecord):
            spot.faults.add(spot.owners[place], values[text].reason, f"{spot.path}: {values[text].detail}")
    good = [place for place in open_places if not isinstance(values[str(texts[place])], BadRecord)]
    return column.scatter(good, pl.Series([values[str(texts[place])] for place in good], dtype=column.dtype))


def _tried(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except BadRecord as error:
        return error
    except ExpressionError as error:
        return BadRecord("bad-time" if error.name == "bad-time" else "wrong-schema", str(error))


def keeps_text(kind: Type) -> bool:
    """Tell whether a type stays text while JSON is parsed."""
    return kind.name in RAW
