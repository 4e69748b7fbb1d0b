"""Decoded events → rows of the `events` table: their place in the log, and their data as JSON.

Reads: frames by event type. Emits: one frame. State: none. Cost: 5-10 µs an event, nearly all of it the JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.decode import Decoded, EventFrame
from schemas.envelope import ahead_of_events
from schemas.events import json_value
from schemas.frames import ROW, holds_any, read_value
from schemas.ports import Chunk
from sinks.projection.columns import TIME

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def event_rows(decoded: Decoded, chunks: Sequence[Chunk], doubtful: NDArray[np.int64]) -> pl.DataFrame | None:
    """Give the rows of all good events of a poll, by rising place; None where there is none. `chunks` are what was decoded.

    `doubtful` are those that count only where the engine has not set them aside.
    """
    if not decoded.frames:
        return None
    found = pl.concat([_typed(events) for events in decoded.frames]).sort(ROW)
    rows = found.get_column(ROW).to_numpy()
    return found.with_columns(*_places(chunks, rows), pl.Series("doubtful", np.isin(rows, doubtful))).drop(ROW)


def ahead_of(decoded: Decoded, now_us: int) -> tuple[NDArray[np.int64], int]:
    """Give the rows that are too far ahead of an event clock that starts at `now_us`, and the clock behind all others."""
    if not decoded.frames:
        return np.empty(0, np.int64), now_us
    rows = np.concatenate([events.frame.get_column(ROW).to_numpy() for events in decoded.frames]).astype(np.int64)
    times = np.concatenate([events.frame.get_column("time").to_numpy() for events in decoded.frames])
    ahead = ahead_of_events(rows, times, now_us)
    near = times[~np.isin(rows, ahead)]
    return ahead, max(now_us, int(np.max(near)) if len(near) else 0)


def _typed(events: EventFrame) -> pl.DataFrame:
    kind = events.contract.data
    values = events.frame.get_column("data").to_list()
    if holds_any(kind):
        values = [read_value(value, kind) for value in values]
    texts = [_encoder.encode(json_value(value, kind)).decode() for value in values]
    return events.frame.select(
        ROW,
        "tenant",
        pl.col("id").alias("event"),
        "source",
        "type",
        "subject",
        pl.col("time").cast(TIME),
        pl.Series("data", texts, dtype=pl.String),
    )


def _places(chunks: Sequence[Chunk], rows: np.ndarray) -> list[pl.Series]:
    """Give topic, partition, position and time of append for places in the total order."""
    counts = np.array([len(chunk.records) for chunk in chunks])
    ends = np.cumsum(counts)
    at = np.searchsorted(ends, rows, side="right")
    bases = np.array([chunk.base for chunk in chunks]) - (ends - counts)
    appended = pl.Series("appended_at", np.array([chunk.appended_us for chunk in chunks])[at], dtype=pl.Int64)
    return [
        pl.Series("topic", [chunk.topic for chunk in chunks], dtype=pl.String).gather(at),
        pl.Series("partition", np.array([chunk.partition for chunk in chunks])[at], dtype=pl.Int32),
        pl.Series("position", bases[at] + rows, dtype=pl.Int64),
        appended.cast(TIME),
    ]
