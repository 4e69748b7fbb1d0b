"""Records of one append packed into one blob, and back: a row a record would cost ten times as much.

Layout, little-endian: magic `MLP1` · u32 n · u32 crc32 of the two tables · u32 crc32 of the data · u32 lengths[n] ·
u32 crc32s[n] · data. The crc of the data is checked at once; the crcs of the records only where that one fails, so that one
broken record does not take its neighbours along.

Cost: n records split at more than 1 M/s.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final
from zlib import crc32

MAGIC: Final = b"MLP1"
_HEAD: Final = struct.Struct("<4sIII")


@dataclass(frozen=True, slots=True)
class Pack:
    """What a blob held: n records in order, None where one is damaged; `reason` says why the first damaged one is."""

    records: Sequence[bytes | None]
    reason: str | None = None


def encode(records: Sequence[bytes]) -> bytes:
    """Pack n records into one blob."""
    n = len(records)
    tables = struct.pack(f"<{2 * n}I", *map(len, records), *map(crc32, records))
    data = b"".join(records)
    return b"".join((_HEAD.pack(MAGIC, n, crc32(tables), crc32(data)), tables, data))


def decode(blob: bytes, n: int) -> Pack:
    """Split a blob that should hold n records. Raises nothing: damage is in the answer."""
    broken = _broken_head(blob, n)
    if broken is not None:
        return Pack([None] * n, broken)
    ends = list(accumulate(struct.unpack_from(f"<{n}I", blob, _HEAD.size), initial=0))
    data = blob[_HEAD.size + 8 * n :]
    records = [data[a:b] for a, b in pairwise(ends)]
    if len(data) == ends[-1] and crc32(data) == _HEAD.unpack_from(blob)[3]:
        return Pack(records)
    return _salvage(records, struct.unpack_from(f"<{n}I", blob, _HEAD.size + 4 * n))


def _broken_head(blob: bytes, n: int) -> str | None:
    """Say why the tables of a blob cannot be trusted."""
    if len(blob) < _HEAD.size + 8 * n:
        return f"the pack is {len(blob)} bytes long, too short for {n} records"
    magic, count, check, _ = _HEAD.unpack_from(blob)
    if magic != MAGIC:
        return f"the pack begins with {magic!r} instead of {MAGIC!r}"
    if count != n:
        return f"the pack says {count} records where the log says {n}"
    if crc32(memoryview(blob)[_HEAD.size : _HEAD.size + 8 * n]) != check:
        return "the pack's tables fail their checksum"
    return None


def _salvage(records: Sequence[bytes], checks: Sequence[int]) -> Pack:
    kept = [record if crc32(record) == check else None for record, check in zip(records, checks, strict=True)]
    if None not in kept:  # bytes behind the last record, or the data's own checksum, are damaged: no record is
        return Pack(records)
    return Pack(kept, "the record fails its checksum")
