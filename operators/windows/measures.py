"""Measures over stretches of rows: counts, sums, extremes, means and distinct counts, exactly.

Reads: a column whose rows are sorted by key and time, and stretches of it that never go back. Emits: one value a stretch, null
where missing. State: none. Cost: a few passes over the rows; extremes and float sums one more for each doubling of the longest.
Whole numbers and decimals are summed as limbs of 32 bits, so nothing wraps or rounds; floats in blocks whose sizes are the bits
of a stretch's length, so a sum depends on the stretch alone and not on what was worked on beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, assert_never

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from schemas.expression.column_rows import decimal_arithmetic
from schemas.expression.column_types import DECIMAL_DTYPE, dtype_of
from schemas.program import Measure

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_MASK: Final = np.int64(0xFFFFFFFF)
_HALF: Final = np.int64(1 << 31)
_LEAST, _MOST = -(10**38), 10**38  # what 38 digits cannot hold


class Spans(NamedTuple):
    """Stretches of rows: from `first` up to, not including, `end`. Both never fall from one row of a key to its next."""

    first: Ints
    end: Ints

    @property
    def lengths(self) -> Ints:
        """Give how many rows each has."""
        return self.end - self.first


class Rows(NamedTuple):
    """What is measured: k rows with the start of the window that each one ends, and the places of those asked for."""

    starts: Ints
    asked: Ints

    @property
    def after(self) -> Spans:
        """Give the windows with the rows asked for."""
        return Spans(self.starts[self.asked], self.asked + 1)

    @property
    def before(self) -> Spans:
        """Give them without."""
        return Spans(self.starts[self.asked], self.asked)


def measure(one: Measure, values: pl.Series | None, rows: Rows, *, after: bool) -> pl.Series:
    """Give a measure of each window, with its last row or without; `values` is None for count()."""
    spans = rows.after if after else rows.before
    dtype = dtype_of(one.type)
    if values is None:
        return pl.Series(one.name, spans.lengths, dtype=dtype)
    match one.kind:
        case "count":
            found = pl.Series(_present(values, spans))
        case "sum":
            found = _total(values, spans)
        case "mean":
            found = _mean(values, spans, one)
        case "min":
            found = _extreme(values, spans, np.minimum)
        case "max":
            found = _extreme(values, spans, np.maximum)
        case "distinct":
            found = pl.Series(_distinct(values, rows, after=after))
        case other:
            assert_never(other)
    return found.cast(dtype).alias(one.name)


def _present(values: pl.Series, spans: Spans) -> Ints:
    """Count the values that are there."""
    return _over(values.is_not_null().to_numpy().astype(np.int64), spans)


def _over(values: Ints, spans: Spans) -> Ints:
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    return np.asarray(sums[spans.end] - sums[spans.first])


def _total(values: pl.Series, spans: Spans) -> pl.Series:
    if values.dtype == DECIMAL_DTYPE:
        return _decimal_total(values, spans)
    if values.dtype == pl.Float64:
        total = _float_total(values.fill_null(0.0).to_numpy(), spans)
        return pl.Series(np.where(np.isfinite(total), total, 0.0)).set(pl.Series(~np.isfinite(total)), None)
    return _int_total(values.fill_null(0).cast(pl.Int64).to_numpy(), spans)


def _int_total(values: Ints, spans: Spans) -> pl.Series:
    low, high = _carried([_over(values & _MASK, spans), _over(values >> 32, spans)])
    fits = (high >= -_HALF) & (high < _HALF)
    total = (high << 32) | low
    return pl.Series(total).set(pl.Series(~fits), None)


def _carried(limbs: Sequence[Ints]) -> list[Ints]:
    """Bring every limb but the last back to 32 bits."""
    carried, more = [], np.zeros_like(limbs[0])
    for limb in limbs[:-1]:
        whole = limb + more
        carried.append(whole & _MASK)
        more = whole >> 32
    return [*carried, limbs[-1] + more]


def _decimal_total(values: pl.Series, spans: Spans) -> pl.Series:
    words = _words(values.fill_null(0))
    low, high = words[:, 0], words[:, 1]
    limbs = _carried([_over(part, spans) for part in (low & _MASK, (low >> 32) & _MASK, high & _MASK, high >> 32)])
    low_word, high_word = limbs[0] | (limbs[1] << 32), limbs[2] | (limbs[3] << 32)
    wrong = (limbs[3] < -_HALF) | (limbs[3] >= _HALF)
    wrong |= ~(_is_below(high_word, low_word, _MOST) & ~_is_below(high_word, low_word, _LEAST + 1))
    found = np.where(wrong[:, None], 0, np.stack([low_word, high_word], axis=1)).astype("<i8")
    buffers = [None, pa.py_buffer(found.tobytes())]
    array = pa.Decimal128Array.from_buffers(pa.decimal128(38, 9), len(found), buffers)
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return pl.select(pl.when(~pl.Series(wrong)).then(series)).to_series()


def _words(values: pl.Series) -> npt.NDArray[np.int64]:
    """Give the 128-bit numbers of a decimal column as (low, high) words."""
    array = values.rechunk().to_arrow()
    words = np.frombuffer(array.buffers()[1], dtype="<i8") if len(array) else np.empty(0, np.int64)
    return words[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)


def _is_below(high: Ints, low: Ints, bound: int) -> npt.NDArray[np.bool_]:
    top, rest = bound >> 64, np.uint64(bound & ((1 << 64) - 1))
    return np.asarray((high < top) | ((high == top) & (low.view(np.uint64) < rest)))


def _float_total(values: Floats, spans: Spans) -> Floats:
    """Add blocks of 1, 2, 4, ... rows from the start of each stretch, those that the bits of its length name."""
    total, at, left = np.zeros(len(spans.first)), spans.first.copy(), spans.lengths.copy()
    blocks, size = values, 1
    with np.errstate(all="ignore"):
        while left.any():
            odd = np.flatnonzero(left & 1)
            total[odd] += blocks[at[odd]]
            at[odd] += size
            left >>= 1
            blocks, size = blocks[:-size] + blocks[size:], size * 2
    return total


def _mean(values: pl.Series, spans: Spans, one: Measure) -> pl.Series:
    total, count = _total(values, spans), _present(values, spans)
    some = pl.Series(count > 0) & total.is_not_null()
    if one.type.name == "float":
        quotient = total.cast(pl.Float64).fill_null(0.0).to_numpy() / np.where(count > 0, count, 1)
        return pl.select(pl.when(some).then(pl.Series(quotient))).to_series()
    if one.type.name in ("duration", "timestamp"):
        return pl.select(pl.when(some).then(_rounded(total, np.where(count > 0, count, 1)))).to_series()
    frame = pl.DataFrame({"total": total.cast(DECIMAL_DTYPE), "count": pl.Series(count).cast(DECIMAL_DTYPE)})
    return frame.select(decimal_arithmetic("/", pl.col("total"), pl.col("count"))).to_series()


def _rounded(total: pl.Series, count: Ints) -> pl.Series:
    """Divide whole numbers, half to even."""
    whole = total.fill_null(0).to_numpy()
    quotient, rest = np.divmod(whole, count)
    up = (2 * rest > count) | ((2 * rest == count) & (quotient % 2 == 1))
    return pl.Series(quotient + up).set(total.is_null(), None)


def _extreme(values: pl.Series, spans: Spans, least_or_most: Callable[[Any, Any], Any]) -> pl.Series:
    """Compare ranks, so that every type that has an order has extremes."""
    ranks = values.rank("dense").cast(pl.Int64)
    highest = len(values) + 1
    missing = highest if least_or_most is np.minimum else 0
    found = _extreme_rank(ranks.fill_null(missing).to_numpy(), spans, least_or_most, missing)
    place = np.zeros(highest + 1, np.int64)
    there = np.flatnonzero(values.is_not_null().to_numpy())
    place[ranks.drop_nulls().to_numpy()] = there
    empty = pl.Series(found == missing)
    if not len(there):
        return values.clear(len(found))
    return pl.select(pl.when(~empty).then(values.gather(place[found]))).to_series()


def _extreme_rank(ranks: Ints, spans: Spans, least_or_most: Callable[[Any, Any], Any], missing: int) -> Ints:
    """Look at two blocks that cover each stretch (a sparse table, one level at a time)."""
    lengths = spans.lengths
    found = np.full(len(lengths), missing, np.int64)
    blocks, size, most = ranks, 1, int(np.max(lengths, initial=0))
    while size <= most:
        fit = np.flatnonzero((lengths >= size) & (lengths < 2 * size))
        found[fit] = least_or_most(blocks[spans.first[fit]], blocks[spans.end[fit] - size])
        blocks, size = least_or_most(blocks[:-size], blocks[size:]), size * 2
    return found


def _distinct(values: pl.Series, rows: Rows, *, after: bool) -> Ints:
    """Count the values that are there, less those that come again within the window.

    A pair of equal neighbours (p, i) counts from row i on if p lies in the window that i ends, and until the window's start has
    passed p; both numbers only grow, so a difference of two running counts is how many such pairs a window holds.
    """
    present = values.is_not_null().to_numpy()
    earlier = _earlier(values, rows.starts)
    again = earlier >= rows.starts
    entered = np.cumsum(again)
    left = np.zeros(len(values) + 1, np.int64)
    np.add.at(left, earlier[again] + 1, 1)
    left = np.cumsum(left)
    asked, first = rows.asked, rows.starts[rows.asked]
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(present)])
    found = sums[asked + 1] - sums[first] - (entered[asked] - left[first])
    return np.asarray(found if after else found - (present & ~again)[asked])


def _earlier(values: pl.Series, starts: Ints) -> Ints:
    """Give for each row the place of the last row before it with the same value, -1 if there is none.

    Equal values of other keys do no harm: they lie before the window's start.
    """
    frame = pl.DataFrame({"value": values, "place": np.arange(len(starts), dtype=np.int64)})
    earlier = pl.col("place").shift(1).over("value")
    found = frame.select(pl.when(pl.col("value").is_not_null()).then(earlier).fill_null(-1)).to_series()
    return np.asarray(found.to_numpy())
