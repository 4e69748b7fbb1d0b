"""Refuses bodies of recursive schemas that nest too deep: fastavro's compiled reader overflows the C stack on them (a body of
5,000 bytes ends the process with SIGSEGV), so their depth is counted here first, with a stack of our own.

Reads: one body and its schema. Emits: nothing, or BadRecord `too-deep`. State: none.
Cost: about 1 µs a value, for recursive schemas only.
"""

from __future__ import annotations

from typing import Final

from schemas.avro.framing import FRAME_BYTES
from schemas.avro.schema import Node
from schemas.errors import BadRecord

DEPTH_MAX: Final = 64
FIXED_SIZES: Final = {"null": 0, "boolean": 1, "float": 4, "double": 8}
VARINT_BYTES_MAX: Final = 10


class DepthGuard:
    """Checks bodies of one schema; immutable."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._records: dict[str, Node] = {}
        self.recursive = _collect(node, self._records)

    def check(self, record: bytes) -> None:
        """Raise BadRecord if a framed record nests too deep or its lengths lead out of it."""
        if self.recursive:
            _Walk(record, self._records).skip(self._node, 0)


def _collect(node: Node, records: dict[str, Node]) -> bool:
    if node.sort == "record":
        records[node.name] = node
    parts = (*node.parts, *(field for _, field in node.fields))
    return any([node.sort == "again", *(_collect(part, records) for part in parts)])


class _Walk:
    """A place in one record that moves on value by value."""

    def __init__(self, record: bytes, records: dict[str, Node]) -> None:
        self._record = record
        self._records = records
        self._at = FRAME_BYTES

    def skip(self, node: Node, depth: int) -> None:
        """Go past one value. Depth counts records inside each other, so Python's own stack stays small."""
        if depth > DEPTH_MAX:
            raise BadRecord("too-deep", f"records nest more than {DEPTH_MAX} deep")
        match node.sort:
            case "again":
                self.skip(self._records[node.name], depth + 1)
            case "record":
                for _, field in node.fields:
                    self.skip(field, depth)
            case "union":
                self.skip(self._branch(node), depth)
            case "array" | "map":
                self._items(node, depth)
            case _:
                self._scalar(node)

    def _scalar(self, node: Node) -> None:
        match node.sort:
            case "string" | "bytes":
                self._move(self._long())
            case "int" | "long" | "enum":
                self._long()
            case sort:
                self._move(node.size if sort == "fixed" else FIXED_SIZES[sort])

    def _branch(self, node: Node) -> Node:
        at = self._long()
        if not 0 <= at < len(node.parts):
            raise BadRecord("wrong-schema", f"a union of {len(node.parts)} has no branch {at}")
        return node.parts[at]

    def _items(self, node: Node, depth: int) -> None:
        while count := self._long():
            if count < 0:
                self._long()
            for _ in range(abs(count)):
                if node.sort == "map":
                    self._move(self._long())
                self.skip(node.parts[0], depth)

    def _move(self, size: int) -> None:
        if size < 0 or self._at + size > len(self._record):
            raise BadRecord("wrong-schema", "a length leads out of the record")
        self._at += size

    def _long(self) -> int:
        number = 0
        for shift in range(0, 7 * VARINT_BYTES_MAX, 7):
            if self._at >= len(self._record):
                raise BadRecord("wrong-schema", "the record ends inside a number")
            byte = self._record[self._at]
            self._at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return (number >> 1) ^ -(number & 1)
        raise BadRecord("wrong-schema", f"a number has more than {VARINT_BYTES_MAX} bytes")
