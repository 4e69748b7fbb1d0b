"""What the readers of data sets share: reading a file strictly, naming tenants, and turning columns into events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from schemas.errors import InvalidInput

SLICE_ROWS: Final = 20_000  # become dicts at a time
TENANT: Final = "#tenant"


class DataEvent(NamedTuple):
    """One event of a data set: the topic it goes to, and its envelope (time in microseconds) with data."""

    topic: str
    event: dict[str, Any]


def read_text_columns(path: Path) -> pl.DataFrame:
    """Read a CSV file (gzip too), every column as text and empty cells as null; raises InvalidInput if it is not there."""
    if not path.is_file():
        raise InvalidInput(f"{path} is not there; the folder must hold the data set's files as its README names them")
    return pl.read_csv(path, infer_schema=False)


def with_tenant(frame: pl.DataFrame, name: str, column: str | None, missing: Sequence[str] = ()) -> pl.DataFrame:
    """Add the tenant of each row: the data set's name, or what `column` holds."""
    if column is None:
        return frame.with_columns(pl.lit(name).alias(TENANT))
    if column not in frame.columns:
        raise InvalidInput(f"{name} has no column {column!r}; it has {', '.join(one for one in frame.columns if one[0] != '#')}")
    value = (
        pl.col(column).cast(pl.String).str.strip_chars().replace(list(missing), None)
        if missing
        else pl.col(column).cast(pl.String)
    )
    return frame.with_columns(value.fill_null(name).alias(TENANT))


def events_of(frame: pl.DataFrame, topic: str, source: str) -> Iterator[DataEvent]:
    """Turn rows with the columns id, type, subject, time, #tenant and data into events, in order."""
    for part in frame.iter_slices(SLICE_ROWS):
        columns = (part.get_column(name).to_list() for name in ("id", "type", "subject", "time", TENANT, "data"))
        for event_id, kind, subject, time, tenant, data in zip(*columns, strict=True):
            yield DataEvent(
                topic,
                {
                    "id": event_id,
                    "source": source,
                    "type": kind,
                    "subject": subject,
                    "time": time,
                    "tenant": tenant,
                    "data": data,
                },
            )


def micros(column: pl.Expr, pattern: str) -> pl.Expr:
    """Read a local time or date as microseconds of UTC."""
    return column.str.to_datetime(pattern, time_unit="us").cast(pl.Int64)
