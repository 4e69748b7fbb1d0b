"""Verdicts on windows: which triggers start, by which event, with which measures.

Reads: the working set of a batch. Emits: verdicts, layout by layout. State: none. Cost: that of matching `when`, once for the
windows with their event; again, for those few that hold and fire on crossing, without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.windows.frontier import Completed
from operators.windows.payloads import Part, Payloads
from operators.windows.tables import FEED, WatchTables, event_keys, pairs_of
from operators.windows.work import Closing, Work, measured
from schemas.expression.types import Type
from schemas.frames import select_keys
from schemas.program import Window

Ints = npt.NDArray[np.int64]


class Given(NamedTuple):
    """What verdicts are made of. `part` are events that are not among the payloads yet."""

    tables: WatchTables
    window: Window
    work: Work
    payloads: Payloads
    part: Part | None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Events of one layout and what they start: pairs (row of `events`, tenant, entry).

    `row` is the row of the batch at which a verdict is given, -1 where the clock gives it, at `clock_us`; both, and the columns
    `window.<measure>` of `windows`, are by row of `events`.
    """

    events: pl.DataFrame
    data: Type
    pairs: pl.DataFrame
    row: Ints
    clock_us: Ints
    windows: pl.DataFrame


def started(given: Given, asked: Ints, new: pl.DataFrame, released: pl.DataFrame) -> list[Verdicts]:
    """Judge windows at their events: `asked` are places in the working set, `new` and `released` the rows that belong to them."""
    table = given.tables.starts
    if table is None or not len(asked):
        return []
    windows = measured(given.work, asked, given.window, after=True)
    frame = _asked(new, windows, given.tables)
    pairs = pairs_of(table, frame)
    crossing = pairs["entry"].is_in(given.tables.crossing.tolist())
    if crossing.any():
        rows = pairs.filter(crossing)["row"].unique().sort().to_numpy()
        without = measured(given.work, asked[rows], given.window, after=False)
        held = pairs_of(table, frame[rows].with_columns(without))
        kept = pairs.filter(crossing).join(held, on=["row", "tenant", "entry"], how="anti")
        pairs = pl.concat([pairs.filter(~crossing), kept]).sort("row", "entry", maintain_order=True)
    return _by_layout(given, pairs, windows, (new["number"].to_numpy(), released["row"].to_numpy(), released["clock"].to_numpy()))


def ended(given: Given, closing: Closing, done: Completed, chosen: npt.NDArray[np.bool_]) -> tuple[list[Verdicts], pl.DataFrame]:
    """Judge windows at their end, as of their last event; give the verdicts too as place (in `closing`), name and flow."""
    table = given.tables.ends
    last = closing.last[chosen]
    if table is None or not len(last):
        return [], pl.DataFrame(schema={"place": pl.Int64(), "name": pl.String(), "flow": pl.String()})
    windows = measured(given.work, last, given.window, after=True)
    rows = given.work.rows[last]
    numbers = rows["number"].to_numpy()
    read = event_keys(given.tables)
    events = [
        pl.concat([part.frame.select(name="tenant"), select_keys(part.frame, read)], how="horizontal").with_columns(
            at=pl.Series(at)
        )
        for part, at in given.payloads.find(numbers, given.part)
    ]
    known = pl.concat(events, how="vertical_relaxed").sort("at")
    frame = _asked(known.with_columns(rows[FEED]), windows, given.tables)
    pairs = pairs_of(table, frame)
    places = pl.Series("place", np.flatnonzero(chosen)[pairs["row"].to_numpy()])
    flows = pl.Series("flow", [given.tables.names[entry] for entry in pairs["entry"].to_list()], dtype=pl.String)
    fired = pl.DataFrame([places, pairs["tenant"].alias("name"), flows])
    clock = np.where(done.row < 0, done.clock, -1)[chosen]
    return _by_layout(given, pairs, windows, (numbers, done.row[chosen], clock)), fired


def _asked(events: pl.DataFrame, windows: pl.DataFrame, tables: WatchTables) -> pl.DataFrame:
    """Give what `when` is asked about, by environment key."""
    columns = events.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), pl.col("name").alias("tenant"), FEED)
    return pl.concat([columns, windows, events.select(list(event_keys(tables)))], how="horizontal")


def _by_layout(given: Given, pairs: pl.DataFrame, windows: pl.DataFrame, places: tuple[Ints, Ints, Ints]) -> list[Verdicts]:
    numbers, row, clock = places
    used = pairs["row"].unique().sort().to_numpy().astype(np.int64)
    found = []
    for part, at in given.payloads.find(numbers[used], given.part):
        chosen = used[at]
        local = pl.DataFrame({"row": chosen.astype(np.uint32), "local": np.arange(len(chosen), dtype=np.uint32)})
        mine = pairs.join(local, on="row", how="inner", maintain_order="left").select(
            pl.col("local").alias("row"), "tenant", "entry"
        )
        found.append(Verdicts(part.frame, part.data, mine, row[chosen], clock[chosen], windows[chosen]))
    return found
