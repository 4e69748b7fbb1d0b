"""Decodes all records of one schema as one Avro block through polars.

Reads: framed records. Emits: a frame with one column per field of the schema's twin (and the marks), one row per record.
State: none. Cost: 0.6-1 µs a small flat record. Bodies carry no framing of their own, so each stands behind a separator of
eight random bytes and its Confluent frame, read as a column: a body that is too short or too long breaks the next row's column,
and a last, empty record checks the block's end. So a corrupt record is always noticed and never moves its neighbours' values.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import polars as pl

from schemas.avro.framing import SEPARATOR, SYNC, frame_of, long_bytes
from schemas.avro.schema import Node
from schemas.avro.twin import FRAME_COLUMN, block_header, least_body
from schemas.errors import BadRecord
from schemas.stderr import quietly

FEW: Final = 64  # records; to compare them in polars costs as much


class BlockReader:
    """Reads blocks of one schema; immutable."""

    def __init__(self, node: Node, schema_id: int) -> None:
        self._head = block_header(node)
        self._mark = SEPARATOR + frame_of(schema_id)
        self._last = SEPARATOR + frame_of(schema_id) + least_body(node) + SYNC

    def read(self, records: Sequence[bytes]) -> pl.DataFrame:
        """Read framed records; raises BadRecord if any of them is corrupt."""
        rows = SEPARATOR + SEPARATOR.join(records)
        size = len(rows) + len(self._last) - len(SYNC)
        block = b"".join((self._head, long_bytes(len(records) + 1), long_bytes(size), rows, self._last))
        frame = quietly(lambda: pl.read_avro(io.BytesIO(block)))
        if frame.height != len(records) + 1 or not self._are_marks(frame.get_column(FRAME_COLUMN)):
            raise BadRecord("wrong-schema", "a record is shorter or longer than its schema says")
        return frame.head(len(records))

    def _are_marks(self, column: pl.Series) -> bool:
        if len(column) <= FEW:
            return column.to_list() == [self._mark] * len(column)
        return (column == pl.Series([self._mark])).all()
