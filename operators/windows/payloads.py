"""Whole events that windows still need: those held for their turn, and the last of each window that will close.

Reads: frames of one event type. Emits: rows of them by number. State: the frames, each with the type of its data, for a contract
may change while events are held. Cost: that of the columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.expression.types import Type

Ints = npt.NDArray[np.int64]
NUMBER: Final = "#number"
CLOCK: Final = "#clock"  # when it came
BLOCK: Final = "#block"
TENANT: Final = "#tenant"  # its number


class Part(NamedTuple):
    """Events of one layout: an event frame with NUMBER, CLOCK and BLOCK."""

    frame: pl.DataFrame
    data: Type


class Payloads:
    """Events by number. Numbers rise in the order of arrival."""

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        """Take in what was stored, oldest first."""
        self.parts = [part for part in parts if part.frame.height]
        self._next = max((int(part.frame[NUMBER][-1]) + 1 for part in self.parts), default=1)

    @property
    def height(self) -> int:
        """Give how many events are kept."""
        return sum(part.frame.height for part in self.parts)

    def number(self, frame: pl.DataFrame, tenants: Ints, clock: Ints) -> pl.DataFrame:
        """Give a frame's rows their numbers; they are not kept yet."""
        numbers = np.arange(self._next, self._next + frame.height)
        self._next += frame.height
        added = (pl.Series(NUMBER, numbers), pl.Series(TENANT, tenants), pl.Series(CLOCK, clock))
        return frame.with_columns(*added, pl.lit(-1, dtype=pl.Int64).alias(BLOCK))

    def find(self, numbers: Ints, also: Part | None) -> list[tuple[Part, Ints]]:
        """Give, layout by layout, the events of some numbers and their places among `numbers`."""
        found: list[tuple[Part, Ints]] = []
        for part in [*self.parts, *([also] if also is not None else [])]:
            have = part.frame[NUMBER].to_numpy()
            if len(have) == len(numbers) and (have == numbers).all():
                return [*found, (part, np.arange(len(numbers)))]
            at = np.minimum(np.searchsorted(have, numbers), max(0, len(have) - 1))
            there = np.flatnonzero(have[at] == numbers) if len(have) else at[:0]
            if len(there):
                found.append((Part(part.frame[at[there]], part.data), there))
        return found

    def settle(self, numbers: Ints, fresh: Part | None, block: int) -> None:
        """Keep only the events of some numbers (sorted); those of `fresh` lie in `block` from now on."""
        parts = [Part(part.frame.filter(_among(part.frame, numbers)), part.data) for part in self.parts]
        if fresh is not None:
            new = fresh.frame.filter(_among(fresh.frame, numbers)).with_columns(pl.lit(block, dtype=pl.Int64).alias(BLOCK))
            parts.append(Part(new, fresh.data))
        self.parts = []
        for part in parts:
            self._append(part)

    def blocks(self) -> set[int]:
        """Name the blocks that still hold an event."""
        return {block for part in self.parts for block in part.frame[BLOCK].unique().to_list()}

    def move(self, to: int) -> None:
        """Note that all lie in one block now."""
        self.parts = [Part(part.frame.with_columns(pl.lit(to, dtype=pl.Int64).alias(BLOCK)), part.data) for part in self.parts]

    def _append(self, part: Part) -> None:
        if not part.frame.height:
            return
        last = self.parts[-1] if self.parts else None
        if last is not None and last.data == part.data and last.frame.schema == part.frame.schema:
            self.parts[-1] = Part(pl.concat([last.frame, part.frame]), part.data)
        else:
            self.parts.append(part)


def _among(frame: pl.DataFrame, numbers: Ints) -> npt.NDArray[np.bool_]:
    have = frame[NUMBER].to_numpy()
    if not len(numbers):
        return np.zeros(len(have), np.bool_)
    at = np.minimum(np.searchsorted(numbers, have), len(numbers) - 1)
    return np.asarray(numbers[at] == have)
