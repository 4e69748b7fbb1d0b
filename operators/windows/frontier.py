"""How far event time is complete: rows up to the frontier have been judged, what comes before it is late.

Reads: rows of one event type in their total order, with the clock at their arrival and the time up to which deadlines have
passed. Emits: which rows are late, and when a moment of event time becomes complete. State: three numbers a tenant.
Cost: some passes over the rows.
The watermark of a tenant is the latest event time seen. The frontier stands `lateness` behind it; while no newer event comes it
goes on with the clock, up to the watermark itself, and beyond it only where windows close (their end is a deadline). A tenant
that has been silent for a window and a day is complete too, so its state can go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
NEVER: Final = -(1 << 61)
SILENT_US: Final = 86_400_000_000


class Arrivals(NamedTuple):
    """n rows in their total order: their tenant's number, event time, the clock when they came, the deadlines passed before."""

    tenant: Ints
    time: Ints
    clock: Ints
    until: Ints


class Completed(NamedTuple):
    """When moments became complete: at row `row` by its watermark, or by the clock at `clock` (row -1). Only where `known`."""

    known: Flags
    row: Ints
    clock: Ints


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one waits: for late events, and whether the ends of windows are deadlines."""

    lateness_us: int
    size_us: int
    closes: bool

    def stretch(self, waited_us: Ints) -> Ints:
        """Give how far beyond its watermark a tenant's time is complete when nothing came for so long."""
        over = waited_us - self.lateness_us
        if self.closes:
            return over
        return np.where(over > self.size_us + SILENT_US, self.size_us, np.minimum(over, 0))


class Passage:
    """The frontier as it moved over some rows: before and after each, by tenant."""

    def __init__(self, order: Ints, moved: Ints, bounds: tuple[Ints, Ints], marks: tuple[Ints, Ints]) -> None:
        self._order = order  # rows sorted by tenant
        self.ahead = np.empty(len(order), np.int64)  # the frontier before each row
        self.ahead[order] = moved[::2]
        self._moved = moved  # the frontier before and after each of them, by turns
        self._bounds = bounds  # of each tenant's in it
        self._marks = marks  # watermark and its arrival before each row
        self._place = np.empty(len(order), np.int64)
        self._place[order] = np.arange(len(order))

    def complete(self, tenant: Ints, time: Ints, own_row: Ints, lateness_us: int) -> Completed:
        """Tell when moments became complete; a row itself (own_row, else -1) not before it came."""
        low, high = self._bounds[0][tenant], self._bounds[1][tenant]
        found = first_at_least(self._moved, low, high, time)
        known = found < high
        if not len(self._order):
            return Completed(known, np.full(len(time), -1), time)
        own = own_row >= 0
        found = np.where(own, np.maximum(found, 2 * self._place[own_row] + 1), found)
        at = np.where(known, found // 2, 0)
        by_clock = (found % 2 == 0) & known
        clock = time - self._marks[0][at] + self._marks[1][at] + lateness_us
        return Completed(known, np.where(by_clock, -1, self._order[at]), clock)


class Frontier:
    """Where each tenant's time stands, by its number."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.watermark: Ints = np.empty(0, np.int64)
        self.arrived: Ints = np.empty(0, np.int64)  # when the watermark's event came
        self.passed: Ints = np.empty(0, np.int64)

    def grow(self, tenants: int) -> None:
        """Make room for so many tenants."""
        more = np.full(max(0, tenants - len(self.passed)), NEVER, np.int64)
        self.watermark, self.arrived, self.passed = (
            np.concatenate([one, more]) for one in (self.watermark, self.arrived, self.passed)
        )

    def follow(self, rows: Arrivals) -> tuple[Flags, Passage]:
        """Move over rows; tell which are late."""
        order = np.argsort(rows.tenant, kind="stable")
        tenant, time, clock, until = (column[order] for column in rows)
        begins = np.concatenate([[True], tenant[1:] != tenant[:-1]])[: len(tenant)]
        watermark = _running(tenant, np.where(begins, np.maximum(time, self.watermark[tenant]), time))
        before = _earlier(watermark, begins, self.watermark[tenant])
        arrived = self._arrived(tenant, clock, begins, time > before)
        arrived_before = _earlier(arrived, begins, self.arrived[tenant])
        by_clock = np.where(before == NEVER, NEVER, before + self.patience.stretch(until - arrived_before))
        moved = np.maximum(by_clock, watermark - self.patience.lateness_us)
        after = _running(tenant, np.where(begins, np.maximum(moved, self.passed[tenant]), moved))
        ahead = np.maximum(_earlier(after, begins, self.passed[tenant]), by_clock)
        late = np.empty(len(order), np.bool_)
        late[order] = time < ahead
        bounds = self._settle(tenant, begins, (watermark, arrived, after))
        return late, Passage(order, np.stack([ahead, after], axis=1).ravel(), bounds, (before, arrived_before))

    def advance(self, until_us: int) -> None:
        """Let the clock go on for all."""
        known = self.watermark > NEVER
        by_clock = self.watermark[known] + self.patience.stretch(until_us - self.arrived[known])
        self.passed[known] = np.maximum(self.passed[known], by_clock)

    def due(self, tenant: Ints, time: Ints) -> Ints:
        """Tell at what clock moments become complete if nothing comes any more."""
        return np.asarray(time - self.watermark[tenant] + self.arrived[tenant] + self.patience.lateness_us)

    def _arrived(self, tenant: Ints, clock: Ints, begins: Flags, newest: Flags) -> Ints:
        places = np.arange(len(tenant))
        start = np.maximum.accumulate(np.where(begins, places, 0)) if len(tenant) else places
        last = np.maximum.accumulate(np.where(newest, places, -1)) if len(tenant) else places
        return np.where(last >= start, clock[last], self.arrived[tenant])

    def _settle(self, tenant: Ints, begins: Flags, ends: tuple[Ints, Ints, Ints]) -> tuple[Ints, Ints]:
        """Keep where each tenant stands now; give the bounds of its stretch."""
        first = np.flatnonzero(begins)
        last = np.append(first[1:], len(tenant)) - 1 if len(first) else first
        names = tenant[first]
        low, high = np.zeros((2, len(self.passed)), np.int64)
        low[names], high[names] = 2 * first, 2 * (last + 1)
        self.watermark[names], self.arrived[names], self.passed[names] = (values[last] for values in ends)
        return low, high


def first_at_least(values: Ints, low: Ints, high: Ints, wanted: Ints) -> Ints:
    """Give for each bound the first place in [low, high) whose value is at least the one wanted, else high (binary search)."""
    low, high = low.copy(), high.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        enough = values[np.minimum(middle, len(values) - 1)] >= wanted
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle + 1, low)
    return low


def _running(tenant: Ints, values: Ints) -> Ints:
    frame = pl.DataFrame({"tenant": tenant, "value": values})
    return np.asarray(frame.select(pl.col("value").cum_max().over("tenant")).to_series().to_numpy())


def _earlier(values: Ints, begins: Flags, at_first: Ints) -> Ints:
    return np.where(begins, at_first, np.concatenate([[NEVER], values[:-1]])[: len(values)])
