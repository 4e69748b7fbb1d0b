"""Decoded events → rows of the `events` table: their place in the log, and their data as JSON.

Reads: frames by event type. Emits: one frame. State: none. Cost: 5-10 µs an event, nearly all of it the JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import polars as pl

from schemas.decode import Decoded, EventFrame
from schemas.events import json_value
from schemas.frames import ROW
from schemas.ports import Chunk
from sinks.projection.columns import TIME

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def event_rows(decoded: Decoded, chunks: Sequence[Chunk]) -> pl.DataFrame | None:
    """Give the rows of all good events of a poll, by rising place; None where there is none. `chunks` are what was decoded."""
    if not decoded.frames:
        return None
    found = pl.concat([_typed(events) for events in decoded.frames]).sort(ROW)
    return found.with_columns(_places(chunks, found.get_column(ROW).to_numpy())).drop(ROW)


def _typed(events: EventFrame) -> pl.DataFrame:
    kind = events.contract.data
    texts = [_encoder.encode(json_value(value, kind)).decode() for value in events.frame.get_column("data").to_list()]
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
