"""Confluent's framing: a zero byte, the schema id as four bytes big-endian, then the Avro body."""

from __future__ import annotations

import os
import struct
from typing import Final

FRAME_BYTES: Final = 5
MAGIC: Final = 0
SEPARATOR: Final = os.urandom(8)  # stands between bodies in a block; what is decoded never depends on it
SYNC: Final = bytes(16)


def frame_of(schema_id: int) -> bytes:
    """Give the five bytes in front of every body of this schema."""
    return struct.pack(">BI", MAGIC, schema_id)


def schema_id_of(record: bytes) -> int | None:
    """Read the schema id; None if the record is not framed."""
    if len(record) < FRAME_BYTES or record[0] != MAGIC:
        return None
    return int.from_bytes(record[1:FRAME_BYTES], "big")


def long_bytes(number: int) -> bytes:
    """Write an Avro long (zigzag varint)."""
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest >= 128:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes(out) + bytes([rest])


def text_bytes(text: bytes) -> bytes:
    """Write Avro bytes or a string: length, then content."""
    return long_bytes(len(text)) + text


def container_header(schema: bytes) -> bytes:
    """Write the head of an Avro container file without compression."""
    meta = text_bytes(b"avro.schema") + text_bytes(schema) + text_bytes(b"avro.codec") + text_bytes(b"null")
    return b"Obj\x01" + long_bytes(2) + meta + long_bytes(0) + SYNC
