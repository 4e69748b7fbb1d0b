"""The state of windows as blocks for the disk: rows by key, whole events, and how far each tenant's time is complete.

Reads and emits: bytes. State: none. Cost: that of copying columns. Frames travel as Arrow IPC, which outlives every
version of the libraries.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

import msgspec
import numpy as np
import polars as pl

from operators.windows.fired import Fired
from operators.windows.frontier import Frontier, Patience
from operators.windows.payloads import BLOCK, Part
from operators.windows.rows import Run
from schemas.expression.types import Type

ROWS: Final = 0  # kinds of blocks
EVENTS: Final = 1
FIRED: Final = 2
KEY: Final = "#key"
_encoder: Final = msgspec.msgpack.Encoder()


def pack_rows(runs: list[Run]) -> bytes:
    """Write rows, in their order."""
    keys = np.concatenate([run.keys for run in runs])
    rows = pl.concat([run.rows for run in runs]).drop("block").with_columns(pl.Series(KEY, keys))
    return _written(rows)


def unpack_rows(data: bytes, block: int, schema: dict[str, pl.DataType]) -> Run:
    """Read rows."""
    rows = pl.read_ipc(BytesIO(data))
    placed = rows.drop(KEY).with_columns(pl.lit(block, dtype=pl.Int64).alias("block"))
    return Run(rows[KEY].to_numpy(), placed.select([pl.col(name).cast(dtype) for name, dtype in schema.items()]))


def pack_events(parts: list[Part]) -> bytes:
    """Write events, layout by layout."""
    return _encoder.encode([(part.data, _written(part.frame.drop(BLOCK))) for part in parts])


def unpack_events(data: bytes, block: int) -> list[Part]:
    """Read events."""
    parts = []
    for kind, frame in msgspec.msgpack.decode(data, type=list[tuple[Type, bytes]]):
        rows = pl.read_ipc(BytesIO(frame))
        parts.append(Part(rows.with_columns(pl.lit(block, dtype=pl.Int64).alias(BLOCK)), kind))
    return parts


def pack_fired(fired: Fired, block: int) -> bytes:
    """Write what closed windows held that lies in a block, and their verdicts."""
    mine = pl.col("block") == block
    return _encoder.encode([_written(frame.filter(mine).drop("block")) for frame in (fired.verdicts, fired.rows)])


def unpack_fired(data: bytes, block: int, fired: Fired) -> None:
    """Read it into what is there."""
    frames = [pl.read_ipc(BytesIO(part)) for part in msgspec.msgpack.decode(data, type=list[bytes])]
    placed = (frame.with_columns(pl.lit(block, dtype=pl.Int64).alias("block")) for frame in frames)
    verdicts, rows = placed
    fired.restore(verdicts.select(list(fired.verdicts.columns)), rows.select(list(fired.rows.columns)))


def pack_frontier(frontier: Frontier) -> bytes:
    """Write how far each tenant's time is complete."""
    return np.stack([frontier.watermark, frontier.arrived, frontier.passed]).astype("<i8").tobytes()


def unpack_frontier(data: bytes, patience: Patience) -> Frontier:
    """Read it."""
    frontier = Frontier(patience)
    found = np.frombuffer(data, "<i8").reshape(3, -1).astype(np.int64)
    frontier.watermark, frontier.arrived, frontier.passed = (row.copy() for row in found)
    return frontier


def _written(frame: pl.DataFrame) -> bytes:
    file = BytesIO()
    frame.write_ipc(file, compat_level=pl.CompatLevel.oldest())
    return file.getvalue()
