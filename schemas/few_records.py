"""Few records of one schema, judged one by one as they were read: the fixed cost of columns is that of thirty records.

Reads: records of one writer schema. Emits: rows of Python values, with what may be left out filled in, where all are fine; else
nothing, and columns say what is wrong and with which. State: none. Cost: 12 µs a record.
Law: where records are given, they are what columns would hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.avro.reader import AvroReader
from schemas.contracts import EventContract
from schemas.envelope import AHEAD_WALL_US, EventChecks, time_path
from schemas.event_frame import Record
from schemas.frames import ENVELOPE, ROW

FEW: Final = 16  # records of one schema in a turn


def few_records(
    reader: AvroReader, records: Sequence[bytes], places: Sequence[tuple[int, int]], default_tenant: str | None
) -> list[Record] | None:
    """Give the rows of few records; `places`: (row, time of append) of each. None where one of them is not fine."""
    found = reader.few(records)
    if found is None:
        return None
    rows = [_row(value, place, reader.checks.contract, default_tenant) for value, place in zip(found, places, strict=True)]
    return rows if all(_is_fine(row, at, reader.checks) for row, (_, at) in zip(rows, places, strict=True)) else None


def _row(value: Mapping[str, Any], place: tuple[int, int], contract: EventContract, default_tenant: str | None) -> Record:
    """Fill in what may be left out: the time of append, no hops, the type, the default tenant."""
    number, appended_us = place
    row = {ROW: number, **{name: value[name] for name in ENVELOPE}, "data": value["data"]}
    row["tenant"] = row["tenant"] or default_tenant
    row["type"] = contract.event if row["type"] is None else row["type"]
    row["hops"] = row["hops"] or 0
    time_us = _time_in(row["data"], time_path(contract))
    row["time"] = time_us if time_us is not None else appended_us if row["time"] is None else row["time"]
    return row


def _time_in(data: Any, path: Sequence[str]) -> int | None:
    found = data if path else None
    for part in path:
        found = None if found is None else found[part]
    return found


def _is_fine(row: Record, appended_us: int, checks: EventChecks) -> bool:
    return bool(row["time"] <= appended_us + AHEAD_WALL_US) and checks.is_fine(row)
