"""What windows hold: rows of a few numbers, found by key, in the order in which they were judged.

Reads: batches of rows. Emits: all rows of some keys. State: runs of rows sorted by key, each twice as long as the next; every row
names the block on the disk that it lies in. Cost: a binary search a key and run; each row is merged a few times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.windows.hash import Hashes

Ints = npt.NDArray[np.int64]
PLACE: Final = {"tenant": pl.Int64(), "time": pl.Int64(), "id": pl.UInt64(), "block": pl.Int64()}


class Run(NamedTuple):
    """Rows sorted by key; those of one key in the order in which they came."""

    keys: Hashes
    rows: pl.DataFrame


class Retained:
    """Rows by key. Columns: those of PLACE and what is measured."""

    def __init__(self, schema: dict[str, pl.DataType]) -> None:
        self.schema = {**PLACE, **schema}
        self._runs: list[Run] = []

    @property
    def height(self) -> int:
        """Give how many rows there are."""
        return sum(run.rows.height for run in self._runs)

    def add(self, keys: Hashes, rows: pl.DataFrame) -> None:
        """Take rows in, behind all that are there."""
        if not len(keys):
            return
        self._runs.append(_sorted(keys, rows))
        while len(self._runs) > 1 and self._runs[-2].rows.height < 2 * self._runs[-1].rows.height:
            first, second = self._runs[-2:]
            self._runs[-2:] = [_sorted(np.concatenate([first.keys, second.keys]), pl.concat([first.rows, second.rows]))]

    def of(self, keys: Hashes, columns: Sequence[str]) -> Run:
        """Give all rows of some keys (sorted, each once), oldest first."""
        found = [_pick(Run(run.keys, run.rows.select(columns)), keys) for run in self._runs]
        if not found:
            return Run(np.empty(0, np.uint64), pl.DataFrame(schema=self.schema).select(columns))
        return Run(np.concatenate([run.keys for run in found]), pl.concat([run.rows for run in found]))

    def all(self) -> Run:
        """Give all rows, oldest first."""
        return Run(
            np.concatenate([np.empty(0, np.uint64), *(run.keys for run in self._runs)]),
            pl.concat([pl.DataFrame(schema=self.schema), *(run.rows for run in self._runs)]),
        )

    def blocks(self) -> set[int]:
        """Name the blocks that still hold a row."""
        return {block for run in self._runs for block in run.rows["block"].unique().to_list()}

    def keep(self, needed: Sequence[npt.NDArray[np.bool_]]) -> None:
        """Keep only the rows marked, run by run in the order of `runs`."""
        kept = [Run(run.keys[mask], run.rows.filter(mask)) for run, mask in zip(self._runs, needed, strict=True)]
        self._runs = [run for run in kept if run.rows.height]

    @property
    def runs(self) -> Sequence[Run]:
        """Give the runs, oldest first."""
        return self._runs

    def move(self, blocks: set[int], to: int) -> None:
        """Note that the rows of some blocks lie in another one now."""
        inside = pl.col("block").is_in(list(blocks))
        moved = pl.when(inside).then(pl.lit(to, dtype=pl.Int64)).otherwise("block").alias("block")
        self._runs = [Run(run.keys, run.rows.with_columns(moved)) for run in self._runs]


def _sorted(keys: Hashes, rows: pl.DataFrame) -> Run:
    order = np.argsort(keys, kind="stable")
    return Run(keys[order], rows[order])


def _pick(run: Run, keys: Hashes) -> Run:
    low, high = np.searchsorted(run.keys, keys, "left"), np.searchsorted(run.keys, keys, "right")
    places = ranges(low, high)
    return Run(run.keys[places], run.rows[places])


def ranges(low: Ints, high: Ints) -> Ints:
    """Give all places of some stretches, one stretch after the other."""
    lengths = high - low
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(low - (ends - lengths), lengths))
