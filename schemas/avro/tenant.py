"""Where the tenant stands in framed records, many at once: fields before it are passed over, nothing else is read.

Reads: records of one or many schemas that begin alike, as one array of bytes. Emits: where the tenant's bytes begin and end.
State: none. Cost: 0.2 µs a record and 0.2 ms a call. Of a body that is corrupt nothing is promised but that no place lies
outside of its record.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.avro.framing import FRAME_BYTES
from schemas.avro.schema import Node, optional_part

Ints = NDArray[np.int64]
PAD: Final = bytes(16)  # behind the last record: a number is read to its end, at most ten bytes
NOWHERE: Final = -1
TENANT: Final = "tenant"
_SIZES: Final = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_KINDS: Final[dict[str, Literal["text", "long"]]] = {
    "string": "text",
    "bytes": "text",
    "int": "long",
    "long": "long",
    "enum": "long",
}


class Field(NamedTuple):
    """How one field is passed over. `null` is the number of the branch that takes no bytes, or NOWHERE."""

    kind: Literal["text", "long", "sized"]
    size: int = 0
    null: int = NOWHERE


Way = tuple[Field, ...]  # up to the tenant, and it; none: the schema has no tenant


def way_to_tenant(node: Node) -> Way | None:
    """Give the fields up to the tenant; None if one of them cannot be passed over without reading it."""
    way: list[Field] = []
    for name, field in node.fields:
        one = _field(field)
        if one is None:
            return None
        way.append(one)
        if name == TENANT:
            return tuple(way) if one.kind == "text" and field.sort != "bytes" else None
    return ()


def places(content: NDArray[np.uint8], starts: Ints, ends: Ints, way: Way) -> tuple[Ints, Ints]:
    """Give where the tenant begins and ends; NOWHERE twice where it cannot be read, one place twice where it is missing."""
    at = starts + FRAME_BYTES
    begins, fine = at, at <= ends
    for field in way:
        begins, after = _passed(content, np.where(fine, at, 0), field)
        fine &= (begins <= after) & (after <= ends) & (begins >= at)
        at = after
    return np.where(fine, begins if way else at, NOWHERE), np.where(fine, at, NOWHERE)


def _field(node: Node) -> Field | None:
    part = optional_part(node)
    if part is not None:
        inner = _field(part)
        return None if inner is None or inner.null != NOWHERE else inner._replace(null=int(node.parts[1].sort == "null"))
    if node.sort in _KINDS:
        return Field(_KINDS[node.sort])
    size = node.size if node.sort == "fixed" else _SIZES.get(node.sort)
    return None if size is None else Field("sized", size)


def _passed(content: NDArray[np.uint8], at: Ints, field: Field) -> tuple[Ints, Ints]:
    """Give where the field's own bytes begin and end."""
    present = np.ones(len(at), np.bool_)
    if field.null != NOWHERE:
        branch, at = _longs(content, at)
        present = branch != field.null
    if field.kind == "sized":
        return at, np.where(present, at + field.size, at)
    number, after = _longs(content, at)
    if field.kind == "long":
        return at, np.where(present, after, at)
    begins = np.where(present, after, at)
    return begins, np.where(present, after + number, begins)


def _longs(content: NDArray[np.uint8], at: Ints) -> tuple[Ints, Ints]:
    """Read an Avro long at each place; give the numbers, and where they end."""
    byte = content[at].astype(np.int64)
    value, more, shift = byte & 127, byte >= 128, 7
    at = at + 1
    while shift < 70 and more.any():
        byte = content[at].astype(np.int64)
        value = np.where(more, value | (byte & 127) << shift, value)
        at = at + more
        more &= byte >= 128
        shift += 7
    return (value >> 1) ^ -(value & 1), at
