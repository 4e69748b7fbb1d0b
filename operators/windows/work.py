"""The rows of the keys that a batch touches, by key and time: where each row's window begins, and which windows there are.

Reads: rows held and rows new. Emits: places. State: none. Cost: a sort of what is touched and some passes over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.windows.frontier import first_at_least
from operators.windows.hash import Hashes
from operators.windows.measures import Rows, measure
from operators.windows.rows import Run
from operators.windows.tables import FEED
from schemas.program import Window

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Kind = Literal["sliding", "tumbling", "session"]


def columns_of(window: Window) -> list[str]:
    """Name what a working set holds of its rows."""
    values = [f"x{place}" for place, one in enumerate(window.measures) if one.value is not None]
    ends = [] if window.kind == "sliding" else ["tenant"]
    return ["time", "id", *values, *ends, *(["number", FEED] if window.fire == "close" else [])]


class Closing(NamedTuple):
    """Windows of a working set: the place of their last row, and when they end."""

    last: Ints
    end: Ints
    start_us: Ints


@dataclass(frozen=True, slots=True)
class Work:
    """Rows sorted by key, then in the order in which they were judged. `fresh` is the place among the new rows, else -1."""

    keys: Hashes
    rows: pl.DataFrame
    fresh: Ints
    starts: (
        Ints  # where the window begins that a row ends; of sliding windows only for rows that are fresh, unless `distinct` asks
    )


def make_work(held: Run, new: Run, window: Window) -> Work:
    """Sort rows held and rows new (both in order) together; what came twice is dropped."""
    keys = np.concatenate([held.keys, new.keys])
    fresh = np.concatenate([np.full(len(held.keys), -1), np.arange(len(new.keys))])
    order = np.argsort(keys, kind="stable")
    keys, fresh = keys[order], fresh[order]
    rows = pl.concat([held.rows, new.rows])[order]
    twice = _came_twice(keys, rows, fresh)
    if twice.any():
        keys, fresh, rows = keys[~twice], fresh[~twice], rows.filter(~twice)
    asked = None if any(one.kind == "distinct" for one in window.measures) else np.flatnonzero(fresh >= 0)
    return Work(keys, rows, fresh, _starts(keys, rows["time"].to_numpy(), window, asked))


def measured(work: Work, asked: Ints, window: Window, *, after: bool) -> pl.DataFrame:
    """Give the measures of the windows that some rows end, with them or without, named as expressions name them."""
    rows = Rows(work.starts, asked)
    columns = []
    for place, one in enumerate(window.measures):
        values = None if one.value is None else work.rows[f"x{place}"]
        columns.append(measure(one, values, rows, after=after).alias(f"window.{one.name}"))
    return pl.DataFrame(columns)


def windows_of(work: Work, window: Window) -> Closing:
    """Give the windows (tumbling or session) that the rows lie in."""
    if not len(work.keys):
        empty = np.empty(0, np.int64)
        return Closing(empty, empty, empty)
    last = np.flatnonzero(np.append(work.starts[1:] != work.starts[:-1], True))
    time = work.rows["time"].to_numpy()
    end = time[last] + window.size_us if window.kind == "session" else (time[last] // window.size_us + 1) * window.size_us
    return Closing(last, end, time[work.starts[last]])


def _came_twice(keys: Hashes, rows: pl.DataFrame, fresh: Ints) -> Flags:
    """Find new rows whose event is there already: it has the same time, for an older one would be late."""
    time = rows["time"].to_numpy()
    same = np.zeros(len(keys), np.bool_)
    if len(keys) > 1:
        same[1:] = (keys[1:] == keys[:-1]) & (time[1:] == time[:-1])
    if not (same & (fresh >= 0)).any():
        return same & False
    near = np.flatnonzero(same | np.append(same[1:], False))
    frame = pl.DataFrame({"key": keys[near], "time": time[near], "id": rows["id"].to_numpy()[near]})
    again = np.zeros(len(keys), np.bool_)
    again[near] = ~frame.select(pl.struct("key", "time", "id").is_first_distinct()).to_series().to_numpy()
    return np.asarray(again & (fresh >= 0))


def _starts(keys: Hashes, time: Ints, window: Window, asked: Ints | None) -> Ints:
    places = np.arange(len(keys))
    if not len(keys):
        return places
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])
    if window.kind == "sliding":
        first = np.maximum.accumulate(np.where(begins, places, 0))
        at = places if asked is None else asked
        first[at] = first_at_least(time, first[at], at + 1, time[at] - window.size_us + 1)
        return first
    if window.kind == "tumbling":
        bucket = time // window.size_us
        begins[1:] |= bucket[1:] != bucket[:-1]
    else:
        begins[1:] |= time[1:] - time[:-1] >= window.size_us
    return np.asarray(np.maximum.accumulate(np.where(begins, places, 0)))
