"""Query results as JSON: ISO 8601 times in UTC, exact decimals, payloads as text where they are UTF-8, else base64."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import pyarrow as pa

from schemas.records import Json

_encoder: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def encode_json(value: Any) -> bytes:
    """Write a value that holds what `json_columns` gives."""
    return _encoder.encode(value)


def rows_of(batch: pa.RecordBatch, types: Sequence[str]) -> Iterator[tuple[Json, ...]]:
    """Give the rows of a batch; `types` are DuckDB's names of the columns' types."""
    columns = [_converted(column.to_pylist(), kind) for column, kind in zip(batch.columns, types, strict=True)]
    return zip(*columns, strict=True)


def unique_names(names: Sequence[str]) -> list[str]:
    """Give names that an object may have: a repeated one gets a number.

    >>> unique_names(["a", "b", "a"])
    ['a', 'b', 'a_2']
    """
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _converted(values: list[Any], kind: str) -> list[Json]:
    convert = _CONVERTERS.get(kind.split("(", maxsplit=1)[0])
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b64encode(value).decode()


def _raw(value: str) -> msgspec.Raw:
    return msgspec.Raw(value.encode())


def _number(value: Decimal) -> int | Decimal:
    return int(value)


_CONVERTERS: Final[dict[str, Callable[[Any], Json]]] = {"BLOB": _bytes, "JSON": _raw, "HUGEINT": _number, "UHUGEINT": _number}
