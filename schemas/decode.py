"""A turn's records → frames by event type, and what must be set aside.

Reads: chunks of event topics in their total order. Emits: one frame per event type with `row` = the record's place in that order,
and for each bad record its position, bytes and reason.
State: none (the registry is an argument).
Cost: about 1.4 µs a small Avro record, 4 µs a JSON one, and 0.3 ms a schema or JSON type; few records of one schema cost 12 µs
each (few_records.py) and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.avro.framing import FRAME_BYTES, schema_id_of
from schemas.avro.reader import AvroReader
from schemas.envelope import AHEAD_WALL_US, DecodeRules, EventChecks, ahead_of_events, filled, time_path
from schemas.errors import BadRecord
from schemas.event_frame import EventFrame
from schemas.expression.types import Type
from schemas.few_records import FEW, few_records
from schemas.frames import ENVELOPE, ROW, as_marked, key_rows, select_keys
from schemas.json_route import event_types, tenant_of
from schemas.ports import Chunk, Slot
from schemas.records import RECORD_BYTES_MAX
from schemas.registry import Registry
from schemas.topics import is_engine_file
from schemas.values import check_texts

__all__ = ["BadRow", "DecodeRules", "Decoded", "EventFrame", "decode", "key_rows", "select_keys"]

Rows = NDArray[np.int64]
EVERYBODY: Final = "*"  # the tenant of what a schedule for all starts
COLUMNS: Final = [ROW, *ENVELOPE, "data"]
JSON_START: Final = b"{"
BLANKS: Final = b" \t\r\n"


class BadRow(NamedTuple):
    """One record to set aside. `row` is its place in the turn's total order."""

    row: int
    slot: Slot
    position: int
    reason: str
    detail: str
    tenant: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a turn's records hold: frames by event type, bad ones by rising row, and how many records there were."""

    frames: tuple[EventFrame, ...]
    bad: tuple[BadRow, ...]
    rows: int


def decode(chunks: Sequence[Chunk], registry: Registry, rules: DecodeRules) -> Decoded:
    """Decode all records of a turn. Never raises for what a record holds."""
    turn = _Turn(chunks)
    if not turn.records:
        return Decoded((), (), 0)
    few, parts = turn.avro_parts(registry, rules)
    parts += turn.json_parts(registry)
    checked = [_checked(part, turn, rules) for part in parts if part.frame.height]
    frames = _merged([*few, *_whole(_within_clock(checked, turn, rules))])
    return Decoded(frames, turn.bad_rows(), len(turn.records))


class _Part(NamedTuple):
    """The decoded rows of one schema id, or of one event type's JSON."""

    checks: EventChecks
    frame: pl.DataFrame
    parse: bool  # `any` came as text that nobody has read yet


class _Turn:
    """The records of a turn in one list, and what was found bad among them."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.records: list[bytes] = [record for chunk in chunks for record in chunk.records]
        self._chunks = chunks
        counts = np.array([len(chunk.records) for chunk in chunks], dtype=np.int64)
        self._starts = np.cumsum(counts) - counts
        self.appended_us = np.repeat(np.array([chunk.appended_us for chunk in chunks], dtype=np.int64), counts)
        self._bad: dict[int, tuple[str, str, str | None]] = {}
        self.ours = np.repeat(np.array([is_engine_file(chunk.source) for chunk in chunks], dtype=np.bool_), counts)

    def set_aside(self, row: int, reason: str, detail: str, tenant: str | None) -> None:
        """Note a bad record; the first reason counts."""
        self._bad.setdefault(row, (reason, detail, tenant))

    def bad_rows(self) -> tuple[BadRow, ...]:
        """Give what was set aside, by rising row."""
        return tuple(self._bad_row(row) for row in sorted(self._bad))

    def _bad_row(self, row: int) -> BadRow:
        at = int(np.searchsorted(self._starts, row, side="right")) - 1
        chunk = self._chunks[at]
        reason, detail, tenant = self._bad[row]
        return BadRow(row, chunk.slot, chunk.base + row - int(self._starts[at]), reason, detail, tenant, self.records[row])

    def _groups(self) -> dict[bytes, Rows]:
        """Give the rows by the first five bytes of their records, without those that are too large."""
        heads = [record[:FRAME_BYTES] for record in self.records]
        sizes = np.fromiter(map(len, self.records), dtype=np.int64, count=len(heads))
        for row in np.flatnonzero(sizes > RECORD_BYTES_MAX).tolist():
            self.set_aside(
                row, "too-large", f"{sizes[row]} bytes; at most {RECORD_BYTES_MAX} are decoded", tenant_of(self.records[row])
            )
            heads[row] = b""
        codes = {head: code for code, head in enumerate(dict.fromkeys(heads))}
        if len(codes) == 1:
            return {heads[0]: np.arange(len(heads), dtype=np.int64)}
        column = np.fromiter(map(codes.__getitem__, heads), dtype=np.int64, count=len(heads))
        order = np.argsort(column, kind="stable")
        cuts = np.searchsorted(column[order], np.arange(1, len(codes)))
        return dict(zip(codes, np.split(order, cuts), strict=True))

    def avro_parts(self, registry: Registry, rules: DecodeRules) -> tuple[list[EventFrame], list[_Part]]:
        """Decode what is framed: few rows that are all fine, and others; the rest is kept for `json_parts`."""
        self._json: list[Rows] = []
        few, parts = list[EventFrame](), list[_Part]()
        for head, rows in self._groups().items():
            schema_id = schema_id_of(head)
            if schema_id is not None:
                found = self._avro_part(registry.avro_reader(schema_id), rows, rules)
                few += [found] if isinstance(found, EventFrame) else []
                parts += [found] if isinstance(found, _Part) else []
            elif head.lstrip(BLANKS)[:1] in (JSON_START, b""):
                self._json.append(rows)
            else:
                self._set_all_aside(rows, "malformed", "neither Avro in Confluent framing nor a JSON object")
        return few, parts

    def _avro_part(self, reader: AvroReader | str, rows: Rows, rules: DecodeRules) -> _Part | EventFrame | None:
        if not isinstance(reader, AvroReader):
            self._set_all_aside(rows, "unknown-schema", reader)
            return None
        records = self._take(rows)
        if rules.few and len(records) <= FEW:
            places = list(zip(rows.tolist(), self.appended_us[rows].tolist(), strict=True))
            few = few_records(reader, records, places, rules.default_tenant)
            if few is not None:
                return EventFrame(reader.checks.contract.event, few, reader.checks.contract)
        return _Part(reader.checks, self._read(reader.read(records), rows), parse=True)

    def json_parts(self, registry: Registry) -> list[_Part]:
        """Decode what is JSON, by event type."""
        if not self._json:
            return []
        rows = np.sort(np.concatenate(self._json))
        rows = rows[[row not in self._bad for row in rows.tolist()]] if self._bad else rows
        types, malformed = event_types(self._take(rows))
        self._note(malformed, rows)
        return [part for event, places in self._by_type(types, rows) for part in self._json_part(registry, event, places)]

    def _by_type(self, types: Sequence[str | None], rows: Rows) -> list[tuple[str | None, Rows]]:
        groups: dict[str | None, list[int]] = {}
        for event, row in zip(types, rows.tolist(), strict=True):
            groups.setdefault(event, []).append(row)
        malformed = self._bad
        kept = ((event, [row for row in found if row not in malformed]) for event, found in groups.items())
        return [(event, np.array(found, dtype=np.int64)) for event, found in kept if found]

    def _json_part(self, registry: Registry, event: str | None, rows: Rows) -> list[_Part]:
        reader = registry.json_reader(event) if event else None
        if reader is None:
            known = (
                f"{event[:80]!r} has no contract; register one (send --infer derives it)" if event else "the record has no type"
            )
            self._set_all_aside(rows, "unknown-event", known)
            return []
        return [_Part(reader.checks, self._read(reader.read(self._take(rows)), rows), parse=False)]

    def _take(self, rows: Rows) -> list[bytes]:
        if len(rows) == len(self.records):
            return self.records
        records = self.records
        return [records[row] for row in rows.tolist()]

    def _read(self, found: tuple[pl.DataFrame, Sequence[int] | None, list[tuple[int, str, str]]], rows: Rows) -> pl.DataFrame:
        frame, places, bad = found
        self._note(bad, rows)
        kept = rows if places is None else rows[np.array(places, dtype=np.int64)]
        return frame.insert_column(0, pl.Series(ROW, kept.astype(np.uint32)))

    def _note(self, bad: Sequence[tuple[int, str, str]], rows: Rows) -> None:
        for place, reason, detail in bad:
            row = int(rows[place])
            self.set_aside(row, reason, detail, tenant_of(self.records[row]))

    def _set_all_aside(self, rows: Rows, reason: str, detail: str) -> None:
        for row in rows.tolist():
            self.set_aside(row, reason, detail, tenant_of(self.records[row]))


def _checked(part: _Part, turn: _Turn, rules: DecodeRules) -> _Part:
    """Set aside the rows of a part that break a rule."""
    contract = part.checks.contract
    frame = filled(part.frame, turn.appended_us[part.frame.get_column(ROW).to_numpy()], contract.event, rules)
    if path := time_path(contract):
        frame = frame.with_columns(_time_from_data(path))
    judged = _named(frame, turn)
    if not part.checks.are_fine(judged):
        fails = part.checks.failing(judged)
        _note_failed(frame.filter(fails), part.checks, turn)
        frame = frame.filter(~fails)
    if part.parse and part.checks.any_text:
        frame = _with_readable_texts(frame, contract.data, turn)
    return part._replace(frame=frame)


def _named(frame: pl.DataFrame, turn: _Turn) -> pl.DataFrame:
    """Give the rows as they are judged: what a run for all tenants says itself may be of all; nobody else's record may."""
    ours = turn.ours[frame.get_column(ROW).to_numpy()]
    if not ours.any():
        return frame
    tenant = pl.when(pl.Series(ours) & (pl.col("tenant") == EVERYBODY)).then(pl.lit("all")).otherwise(pl.col("tenant"))
    return frame.with_columns(tenant=tenant)


def _time_from_data(path: Sequence[str]) -> pl.Expr:
    column = pl.col("data")
    for name in path:
        column = column.struct.field(name)
    return pl.coalesce(column, pl.col("time")).alias("time")


def _note_failed(frame: pl.DataFrame, checks: EventChecks, turn: _Turn) -> None:
    for (row, tenant), (reason, detail) in zip(frame.select(ROW, "tenant").rows(), checks.reasons(frame), strict=True):
        turn.set_aside(row, reason, detail, tenant or None)


def _with_readable_texts(frame: pl.DataFrame, data: Type, turn: _Turn) -> pl.DataFrame:
    keep = []
    for row, tenant, value in zip(frame[ROW].to_list(), frame["tenant"].to_list(), frame["data"].to_list(), strict=True):
        try:
            check_texts(value, data, "data", parse=True)
            keep.append(True)
        except BadRecord as error:
            turn.set_aside(row, error.reason, error.detail, tenant)
            keep.append(False)
    return frame if all(keep) else frame.filter(pl.Series(keep, dtype=pl.Boolean))


def _within_clock(parts: Sequence[_Part], turn: _Turn, rules: DecodeRules) -> list[_Part]:
    """Set aside what is too far ahead of the clock, which runs over all parts in the total order.

    Wall time is that of the append: whoever reads a record, and whenever, judges it alike.
    """
    if not parts or rules.ahead == "keep":
        return list(parts)
    rows = np.concatenate([part.frame.get_column(ROW).to_numpy() for part in parts]).astype(np.int64)
    times = np.concatenate([part.frame.get_column("time").to_numpy() for part in parts])
    if rules.clock == "wall":
        refused = rows[times > turn.appended_us[rows] + AHEAD_WALL_US]
    else:
        refused = ahead_of_events(rows, times, rules.now_us)
    if not len(refused):
        return list(parts)
    late = pl.Series(refused, dtype=pl.UInt32).implode()
    kept = []
    for part in parts:
        ahead = pl.col(ROW).is_in(late)
        for row, tenant in part.frame.filter(ahead).select(ROW, "tenant").rows():
            turn.set_aside(row, "bad-time", f"time is too far ahead of the {rules.clock} clock", tenant)
        kept.append(part._replace(frame=part.frame.filter(~ahead)))
    return kept


def _whole(parts: Sequence[_Part]) -> Iterator[EventFrame]:
    """Give the parts that hold something as frames of their contract."""
    for part in parts:
        if part.frame.height:
            contract, frame = part.checks.contract, _in_order(part.frame)
            frame = frame if frame.get_column(ROW).is_sorted() else frame.sort(ROW)
            yield EventFrame(contract.event, as_marked(frame, contract.data) if part.checks.any_text else frame, contract)


def _merged(parts: Sequence[EventFrame]) -> tuple[EventFrame, ...]:
    """Put the parts of one event type together, by rising row; the types come in the order of their first rows."""
    by_event: dict[str, list[EventFrame]] = {}
    for part in parts:
        by_event.setdefault(part.type, []).append(part)
    frames = [found[0] if len(found) == 1 else _one_of(found) for found in by_event.values()]
    return tuple(sorted(frames, key=lambda one: one.first_row()))


def _one_of(parts: Sequence[EventFrame]) -> EventFrame:
    frame = pl.concat([part.frame for part in parts]).sort(ROW)
    return EventFrame(parts[0].type, frame, parts[0].contract)


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame if frame.columns == COLUMNS else frame[:, COLUMNS]
