"""Values that no type describes (maps, general unions, recursion) as JSON text, from either route.

Decimals are numbers with their exact digits, bytes base64, timestamps RFC 3339 in UTC, durations as flows write them.
"""

from __future__ import annotations

import math
from base64 import b64encode
from decimal import Decimal
from typing import Any

import msgspec

from schemas.avro.schema import TIMESTAMPS, Node, optional_part, type_of
from schemas.errors import BadRecord
from schemas.expression.literals import print_decimal, print_duration, print_timestamp

_encoder = msgspec.json.Encoder(decimal_format="number")


def json_text(value: Any) -> str:
    """Write a plain value as JSON text."""
    return _encoder.encode(value).decode()


def twin_text(value: Any, node: Node) -> str:
    """Write a value that the block reader gave for `node` as JSON text."""
    return json_text(_from_twin(value, node))


def _from_twin(value: Any, node: Node) -> Any:
    part = optional_part(node)
    if value is None:
        return None
    if part is not None:
        return _from_twin(value, part)
    match node.sort:
        case "map":
            return {pair["key"]: _from_twin(pair["value"], node.parts[0]) for pair in value}
        case "array":
            return [_from_twin(item, node.parts[0]) for item in value]
        case "record":
            return {name: _from_twin(value[name], field) for name, field in node.fields}
        case "enum":
            if not 0 <= value < len(node.symbols):
                raise BadRecord("wrong-schema", f"{value} is no symbol of an enum of {len(node.symbols)}")
            return node.symbols[value]
        case _:
            return plain_scalar(value, node)


def plain_scalar(value: Any, node: Node) -> Any:
    """Give the JSON value of an Avro scalar."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Decimal):
        return Decimal(print_decimal(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRecord("not-finite", f"{value} is not a number that can be compared")
    if isinstance(value, int) and not isinstance(value, bool):
        kind = type_of(node)
        value_us = value * TIMESTAMPS.get(node.logical, 1000 if node.logical == "time-millis" else 1)
        return _time_text(value_us, kind.name) if kind.name in ("timestamp", "duration") else value
    return value


def _time_text(value_us: int, kind: str) -> str:
    try:
        return print_timestamp(value_us) if kind == "timestamp" else print_duration(value_us)
    except (ValueError, OverflowError) as error:
        raise BadRecord("bad-time", f"{value_us} µs is not a {kind}: {error}") from error
