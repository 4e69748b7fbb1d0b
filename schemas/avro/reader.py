"""All records of one schema id → columns of the event type's contract, whichever route the schema needs.

Reads: framed records. Emits: a frame with the envelope's columns and data, by index, and the bad ones with reason.
State: none. Cost: see fast.py; the slow route takes 5-20 µs a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from schemas.avro.depth import DepthGuard
from schemas.avro.fast import BlockReader
from schemas.avro.lift import is_same, lift, misfit, needs_presence
from schemas.avro.rows import contract_value
from schemas.avro.schema import check_envelope, read_schema, type_of
from schemas.avro.slow import RecordReader
from schemas.avro.tenant import way_to_tenant
from schemas.avro.twin import is_readable, refuse_empty_items
from schemas.bisection import Sifted, sift
from schemas.contracts import EventContract
from schemas.envelope import EventChecks
from schemas.errors import BadRecord, InvalidInput
from schemas.expression.types import Type
from schemas.frames import ENVELOPE, dtype_of, holds_any
from schemas.stderr import quietly

JUDGE_ALONE = 16  # records; below this a failed block is judged one by one
HOPS_CLIP = 1 << 30  # more than any rule allows, less than a column holds
Json = Any
Row = dict[str, Any]
ENVELOPE_TYPES = {name: Type("timestamp" if name == "time" else "int" if name == "hops" else "string") for name in ENVELOPE}


class AvroReader:
    """Reads records of one writer schema as one contract says. Raises InvalidInput if the two do not fit."""

    def __init__(self, schema: Json, schema_id: int, contract: EventContract) -> None:
        self._node = read_schema(schema)
        self._want = contract.data
        self._fields = dict(self._node.fields)
        have = self._check(contract)
        self.checks = EventChecks(contract, presence=needs_presence(have, self._want))
        self._alone = RecordReader(schema)
        self._depth = DepthGuard(self._node)
        self._block = BlockReader(self._node, schema_id) if is_readable(self._node) else None
        self._columns = [
            *(self._attribute(name) for name in ENVELOPE),
            lift(pl.col("data"), self._fields["data"], self._want).alias("data"),
        ]
        self.way_to_tenant = way_to_tenant(self._node)
        self._same = self._is_same()
        self._is_plain = self._has_plain_values()
        self._cast: list[str] | None = None  # columns whose type in the block is another one
        self._schema = {**ENVELOPE, "data": dtype_of(self._want)}

    @property
    def route(self) -> str:
        """Say which route reads this schema: fast or slow."""
        return "slow" if self._block is None else "fast"

    def read(self, records: Sequence[bytes]) -> tuple[pl.DataFrame, Sequence[int] | None, list[tuple[int, str, str]]]:
        """Give the good rows, their indices (None: all of them), and the bad ones as (index, reason, detail)."""
        if self._block is None:
            sifted: Sifted[pl.DataFrame | Row] = Sifted()
            sifted = sift(records, self._each, self.read_one, len(records))
        else:
            sifted = sift(records, self._many, self.read_one, JUDGE_ALONE)
        if len(sifted.pieces) == 1 and not sifted.bad and isinstance(sifted.pieces[0][2], pl.DataFrame):
            return sifted.pieces[0][2], None, []
        places = [place for start, count, _ in sifted.pieces for place in range(start, start + count)]
        return self._joined([piece for _, _, piece in sifted.pieces]), places, sifted.bad

    def few(self, records: Sequence[bytes]) -> list[Row] | None:
        """Give few records as dicts with what a frame would hold; None where one is bad, or a frame would hold other values."""
        if not self._is_plain:
            return None
        try:
            return [self._alone.read(one) if self._same else self.read_one(one) for one in records]
        except BadRecord:
            return None

    def read_one(self, record: bytes) -> Row:
        """Read one record through fastavro; raises BadRecord. This is what a record means."""
        self._depth.check(record)
        value = self._alone.read(record)
        row: Row = {name: self._attribute_value(value, name) for name in ENVELOPE}
        row["data"] = contract_value(value["data"], self._fields["data"], self._want)
        return row

    def _check(self, contract: EventContract) -> Type:
        refuse_empty_items(self._node)
        lacking = [name for name in ("id", "source", "data") if name not in self._fields]
        if self._node.sort != "record" or lacking:
            raise InvalidInput(f"the schema of {contract.event} has no {', '.join(lacking)} on top")
        check_envelope(self._node)
        have = type_of(self._fields["data"])
        wrong = misfit(have, contract.data)
        if wrong:
            raise InvalidInput(f"the schema of {contract.event} does not fit its contract: {wrong}")
        return have

    def _attribute(self, name: str) -> pl.Expr:
        if name not in self._fields:
            return pl.lit(None, dtype=ENVELOPE[name]).alias(name)
        column = lift(pl.col(name), self._fields[name], ENVELOPE_TYPES[name])
        return (column.clip(-1, HOPS_CLIP).cast(pl.Int32) if name == "hops" else column).alias(name)

    def _attribute_value(self, value: Mapping[str, Any], name: str) -> Any:
        if name not in self._fields:
            return None
        found = contract_value(value[name], self._fields[name], ENVELOPE_TYPES[name])
        return max(-1, min(found, HOPS_CLIP)) if name == "hops" and found is not None else found

    def _is_same(self) -> bool:
        kinds = {**ENVELOPE_TYPES, "data": self._want}
        return all(name in self._fields and is_same(self._fields[name], kind) for name, kind in kinds.items())

    def _has_plain_values(self) -> bool:
        """Tell whether records lack nothing and their values are those of columns: with `any` as bytes, decimals of 9 places."""
        return not (self.checks.presence or holds_any(self._want) or (_holds_decimal(self._want) and not self._same))

    def _many(self, records: Sequence[bytes]) -> pl.DataFrame | Row:
        assert self._block is not None
        frame = self._block.read(records)
        if self._same and _fit_hops(frame.get_column("hops")):
            return self._as_contract(frame)
        return quietly(lambda: frame.select(self._columns))

    def _as_contract(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Give the contract's columns; a block of one schema has the same types each time, so they are compared once."""
        if self._cast is None:
            self._cast = [name for name, kind in self._schema.items() if frame.get_column(name).dtype != kind]
        found = frame[:, list(self._schema)]
        for name in self._cast:
            found.replace_column(list(self._schema).index(name), frame.get_column(name).cast(self._schema[name]))
        return found

    def _each(self, records: Sequence[bytes]) -> pl.DataFrame | Row:
        return self._frame([self.read_one(record) for record in records])

    def _frame(self, rows: Sequence[Row]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=self._schema, orient="row", strict=True)

    def _joined(self, pieces: Sequence[pl.DataFrame | Row]) -> pl.DataFrame:
        frames: list[pl.DataFrame] = []
        rows: list[Row] = []
        for piece in pieces:
            if isinstance(piece, dict):
                rows.append(piece)
                continue
            if rows:
                frames.append(self._frame(rows))
                rows = []
            frames.append(piece)
        frames.append(self._frame(rows))
        return pl.concat(frames)


def _holds_decimal(kind: Type) -> bool:
    parts = [field for _, field in kind.fields] + ([kind.item] if kind.item is not None else [])
    return kind.name in ("decimal", "money") or any(map(_holds_decimal, parts))


def _fit_hops(hops: pl.Series) -> bool:
    return hops.null_count() == len(hops) or (hops.min() >= -1 and hops.max() <= HOPS_CLIP)  # type: ignore[operator, return-value]
