"""From the dicts that fastavro gives to values of the contract: the meaning of a record, one row at a time.

The block route must agree with this (tests/laws). Used for schemas that no block can hold, and to judge a record that a block
refused.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from schemas.avro.plain import json_text, plain_scalar
from schemas.avro.schema import TIMESTAMPS, Node, optional_part
from schemas.errors import BadRecord
from schemas.expression.types import Type

INT64 = range(-(1 << 63), 1 << 63)
DECIMAL_LIMIT = Decimal(10) ** 29


def contract_value(value: Any, node: Node, want: Type) -> Any:
    """Turn a value read by `node` into the contract type `want`; raises BadRecord for what cannot be held."""
    if want.name == "any" and node.sort != "string" and value is not None:
        return json_text(plain_value(value, node))
    part = optional_part(node)
    if value is None:
        return None
    if part is not None:
        return contract_value(value, part, want)
    match node.sort:
        case "record":
            have = dict(node.fields)
            return {name: contract_value(value[name], have[name], kind) if name in have else None for name, kind in want.fields}
        case "array":
            assert want.item is not None
            return [contract_value(item, node.parts[0], want.item) for item in value]
        case "bytes" | "fixed" if node.logical != "decimal":
            return b64encode(value).decode()
        case _:
            return _scalar(value, node, want)


def _scalar(value: Any, node: Node, want: Type) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value *= TIMESTAMPS.get(node.logical, 1000 if node.logical == "time-millis" else 1)
        if value not in INT64:
            raise BadRecord("wrong-schema", f"{value} does not fit into 64 bits")
    if want.name in ("decimal", "money"):
        value = Decimal(value)
        if not -DECIMAL_LIMIT < value < DECIMAL_LIMIT:
            raise BadRecord("wrong-schema", f"{value} has more than 38 digits")
        return value
    return float(value) if want.name == "float" else value


def plain_value(value: Any, node: Node) -> Any:
    """Turn a value read by `node` into plain JSON; unions and recursion are followed by what the value is."""
    node = optional_part(node) or node
    if isinstance(value, Mapping):
        parts = dict(node.fields)
        inner = node.parts[0] if node.sort == "map" else _UNKNOWN
        return {key: plain_value(item, parts.get(key, inner)) for key, item in value.items()}
    if isinstance(value, list):
        inner = node.parts[0] if node.sort == "array" else _UNKNOWN
        return [plain_value(item, inner) for item in value]
    return plain_scalar(value, node)


_UNKNOWN = Node("again")
