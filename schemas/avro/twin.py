"""A schema with the same bytes that polars' block reader takes, chosen by looking at the schema, never by trying.

polars 2.1 panics on maps, nullable enums and enums inside records, refuses null and general unions, and cuts an `int` that
is too large to 0. Each has a twin of the same encoding: a map is an array of (key, value) records, an enum its index, an int
a long, a timestamp a long, a uuid a string. General unions, recursion and wide decimals stay for the slow route.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.avro.framing import FRAME_BYTES, SEPARATOR, container_header, long_bytes
from schemas.avro.schema import Node, optional_part
from schemas.errors import InvalidInput

FRAME_COLUMN: Final = "#frame"  # no Avro name can be this
DECIMAL_BYTES_MAX: Final = 16
Json = Any


def is_readable(node: Node) -> bool:
    """Tell whether the twin of this schema can be read as a block."""
    if node.sort in ("again", "null"):
        return False
    if node.sort == "union":
        part = optional_part(node)
        return part is not None and is_readable(part)
    if node.sort == "fixed" and (node.size == 0 or (node.logical == "decimal" and node.size > DECIMAL_BYTES_MAX)):
        return False
    if node.sort == "record" and not node.fields:
        return False
    return all(is_readable(part) for part in (*node.parts, *(field for _, field in node.fields)))


def refuse_empty_items(node: Node) -> None:
    """Refuse arrays whose items take no bytes: a body of ten bytes could claim 2^60 of them."""
    if node.sort == "array" and _is_empty(node.parts[0]):
        raise InvalidInput("the Avro schema has an array whose items take no bytes; give the items a field")
    for part in (*node.parts, *(field for _, field in node.fields)):
        refuse_empty_items(part)


def _is_empty(node: Node) -> bool:
    if node.sort == "record":
        return all(_is_empty(field) for _, field in node.fields)
    return node.sort == "null" or (node.sort == "fixed" and node.size == 0)


def block_header(node: Node) -> bytes:
    """Write the container head for records of this schema, each behind the separator and its Confluent frame."""
    twins = _Twins()
    frame = {"name": FRAME_COLUMN, "type": {"type": "fixed", "name": "frame", "size": len(SEPARATOR) + FRAME_BYTES}}
    fields = [{"name": name, "type": twins.of(field)} for name, field in node.fields]
    return container_header(msgspec.json.encode({"type": "record", "name": "event", "fields": [frame, *fields]}))


class _Twins:
    """Gives each named type a name of its own, for one may be used twice."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, node: Node) -> Json:
        match node.sort:
            case "union":
                return [part.sort if part.sort == "null" else self.of(part) for part in node.parts]
            case "record":
                return self._record([(name, self.of(field)) for name, field in node.fields])
            case "map":
                return {"type": "array", "items": self._record([("key", "string"), ("value", self.of(node.parts[0]))])}
            case "array":
                return {"type": "array", "items": self.of(node.parts[0])}
            case "bytes" | "fixed":
                return self._bytes(node)
            case "enum" | "int":
                return "long"
            case sort:
                return sort

    def _record(self, fields: list[tuple[str, Json]]) -> Json:
        return {"type": "record", "name": self._name(), "fields": [{"name": name, "type": kind} for name, kind in fields]}

    def _bytes(self, node: Node) -> Json:
        plain: dict[str, Json] = (
            {"type": "bytes"} if node.sort == "bytes" else {"type": "fixed", "name": self._name(), "size": node.size}
        )
        return {**plain, "logicalType": "decimal", "precision": 38, "scale": node.scale} if node.logical == "decimal" else plain

    def _name(self) -> str:
        self.count += 1
        return f"T{self.count}"


def least_body(node: Node) -> bytes:
    """Write the shortest body of a readable schema: it stands at the end of each block, so that the end is checked too."""
    match node.sort:
        case "union":
            at = next(index for index, part in enumerate(node.parts) if part.sort == "null")
            return long_bytes(at)
        case "record":
            return b"".join(least_body(field) for _, field in node.fields)
        case "fixed":
            return bytes(node.size)
        case "float":
            return bytes(4)
        case "double":
            return bytes(8)
        case _:
            return b"\0"
