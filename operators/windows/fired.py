"""Verdicts of closed windows that a late event may still disprove, with what their windows held.

Reads: windows that closed and started flows, late events. Emits: verdicts to take back. State: the rows of those windows, for as
long as their flows ask (`retract`). Cost: nothing where no flow asks; a late event that falls into such a window is judged alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.windows.payloads import Part, Payloads
from operators.windows.rows import ranges
from operators.windows.tables import FEED, WatchTables, event_keys, pairs_of
from operators.windows.work import Closing, Work, measured
from schemas.frames import select_keys
from schemas.program import Window

Ints = npt.NDArray[np.int64]
VERDICTS: Final = {
    "key": pl.UInt64(),
    "tenant": pl.Int64(),
    "name": pl.String(),
    FEED: pl.Int64(),
    "start": pl.Int64(),
    "end": pl.Int64(),
    "number": pl.Int64(),  # of the last event
    "flow": pl.String(),
    "block": pl.Int64(),
}


class TakenBack(NamedTuple):
    """A verdict that an event disproves: what was started, by which event, and the row of the late one in its frame."""

    row: int
    tenant: str
    flow: str
    event: str
    source: str
    time_us: int


class Asked(NamedTuple):
    """Who watches, the events that are kept, those of the batch, and the block that what is new goes into."""

    tables: WatchTables
    payloads: Payloads
    part: Part
    block: int


class Fired:
    """The verdicts of one shape. `rows` are those of their windows, by the number of the window's last event."""

    def __init__(self, window: Window, schema: dict[str, pl.DataType]) -> None:
        self._window = window
        self.verdicts = pl.DataFrame(schema=VERDICTS)
        self.rows = pl.DataFrame(schema={"number": pl.Int64(), "block": pl.Int64(), **schema})
        self._thinned: set[int] = set()

    def numbers(self) -> Ints:
        """Name the events that are still read."""
        return self.verdicts["number"].to_numpy()

    def blocks(self) -> set[int]:
        """Name the blocks that still hold something."""
        return {*self.verdicts["block"].to_list(), *self.rows["block"].unique().to_list()}

    def add(self, work: Work, closing: Closing, fired: pl.DataFrame, block: int) -> None:
        """Take in windows that closed: `fired` has place (among those closing), name and flow."""
        fired = fired.unique(maintain_order=True)
        places = fired["place"].to_numpy()
        last = closing.last[places]
        rows = work.rows[last]
        columns = (
            pl.Series("key", work.keys[last]),
            rows["tenant"],
            fired["name"],
            rows[FEED],
            pl.Series("start", closing.start_us[places]),
            pl.Series("end", closing.end[places]),
            rows["number"],
            fired["flow"],
            pl.Series("block", np.full(len(last), block)),
        )
        new = pl.DataFrame(columns).select(pl.col(name).cast(dtype) for name, dtype in VERDICTS.items())
        once = np.unique(last)
        first = work.starts[once]
        held = work.rows[ranges(first, once + 1)]
        numbers = np.repeat(work.rows["number"].to_numpy()[once], once + 1 - first)
        held = held.with_columns(pl.Series("number", numbers), pl.lit(block, dtype=pl.Int64).alias("block"))
        self.restore(new, held.select(list(self.rows.columns)))

    def restore(self, verdicts: pl.DataFrame, rows: pl.DataFrame) -> None:
        """Take in what was stored."""
        self.verdicts = pl.concat([self.verdicts, verdicts])
        self.rows = pl.concat([self.rows, rows])

    def move(self, to: int) -> None:
        """Note that all lies in one block now."""
        moved = pl.lit(to, dtype=pl.Int64).alias("block")
        self.verdicts, self.rows = self.verdicts.with_columns(moved), self.rows.with_columns(moved)

    def take_thinned(self) -> set[int]:
        """Name the blocks that lost a verdict since the last call: what was taken back must not come again from the disk."""
        thinned, self._thinned = self._thinned, set()
        return thinned

    def expire(self, passed: Ints) -> None:
        """Let go of verdicts whose time to be disproved is over."""
        ends = self.verdicts["end"].to_numpy() + self._window.retract_us
        self._keep(ends > passed[self.verdicts["tenant"].to_numpy()])

    def disproved(self, late: pl.DataFrame, ahead: Ints, asked: Asked) -> Iterator[TakenBack]:
        """Judge late rows one by one: `row`, key, time, id and values; `ahead` is what was complete before each.

        A window that was still open then does not hold the row, late as it was, and is not asked.
        """
        known = np.isin(late["key"].to_numpy(), self.verdicts["key"].to_numpy())
        for place in np.flatnonzero(known).tolist():
            one = late[place]
            time, before = one["time"][0], self._window.size_us if self._window.kind == "session" else 0
            passed = int(ahead[place])
            hit = (pl.col("key") == one["key"][0]) & (pl.col("end") > time) & (pl.col("end") <= passed)
            hit &= pl.col("end") + self._window.retract_us > passed
            begun = pl.col("start") - before < time if before else pl.col("end") - self._window.size_us <= time
            for number in self.verdicts.filter(hit & begun)["number"].unique(maintain_order=True).to_list():
                if one["id"][0] not in self.rows.filter(pl.col("number") == number)["id"].to_list():
                    yield from self._judge(number, one, asked)

    def _judge(self, number: int, one: pl.DataFrame, asked: Asked) -> Iterator[TakenBack]:
        added = one.with_columns(number=pl.lit(number, dtype=pl.Int64), block=pl.lit(asked.block, dtype=pl.Int64))
        self.rows = pl.concat([self.rows, added.select(list(self.rows.columns))])
        held = self.rows.filter(pl.col("number") == number).sort("time", maintain_order=True)
        work = Work(np.zeros(held.height, np.uint64), held, np.full(held.height, -1), np.zeros(held.height, np.int64))
        windows = measured(work, np.array([held.height - 1]), self._window, after=True)
        ((part, _),) = asked.payloads.find(np.array([number]), asked.part)
        mine = self.verdicts["number"] == number
        holding = self._holding(asked.tables, part, windows, self.verdicts.filter(mine))
        lost = mine & ~self.verdicts["flow"].is_in(holding)
        event = part.frame.row(0, named=True)
        for tenant, flow in self.verdicts.filter(lost).select("name", "flow").rows():
            yield TakenBack(one["row"][0], tenant, flow, event["id"], event["source"], event["time"])
        self._thinned.update(self.verdicts.filter(lost)["block"].to_list())
        self._keep((~lost).to_numpy())

    def _holding(self, tables: WatchTables, part: Part, windows: pl.DataFrame, verdicts: pl.DataFrame) -> list[str]:
        """Name the flows whose verdict still stands; one that watches no more lets its verdicts be."""
        assert tables.ends is not None
        place = pl.DataFrame({"row": pl.Series([0], dtype=pl.UInt32), "tenant": verdicts["name"][:1], FEED: verdicts[FEED][:1]})
        frame = pl.concat([place, windows, select_keys(part.frame, event_keys(tables))], how="horizontal")
        still = {tables.names[entry] for entry in pairs_of(tables.ends, frame)["entry"].to_list()}
        return [flow for flow in verdicts["flow"].to_list() if flow in still or flow not in tables.names.values()]

    def _keep(self, kept: npt.NDArray[np.bool_]) -> None:
        if kept.all():
            return
        self.verdicts = self.verdicts.filter(kept)
        self.rows = self.rows.filter(pl.col("number").is_in(self.verdicts["number"].unique().to_list()))
