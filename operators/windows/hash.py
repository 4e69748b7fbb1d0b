"""A hash of columns that never changes: 64 bits a row, so that what is on the disk finds its key after any upgrade.

Reads: columns. Emits: one number a row. State: none. Cost: some ns a byte. polars' own hash is only stable within one version.
Tabulation hashing (Zobrist 1970): each byte at each place has a random number, a text is their sum, mixed. Two keys of 10 million
are one with a chance of 1 in 400,000.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]
_PLACES: Final = 64  # bytes with numbers of their own; farther ones take those of 64 before, times an odd number
_STEP: Final = 0x9E3779B97F4A7C15
_LENGTH_SALT: Final = np.uint64(0xD1B54A32D192ED03)


def hash_rows(columns: list[pl.Series]) -> Hashes:
    """Hash the rows of some columns of equal length; null differs from every value."""
    found = np.zeros(len(columns[0]), np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            found = mixed(found * np.uint64(_STEP) + _hash_column(column))
    return found


def mixed(values: Hashes) -> Hashes:
    """Spread every bit over all (the finish of splitmix64)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(values ^ (values >> np.uint64(31)))


def _hash_column(column: pl.Series) -> Hashes:
    null = column.is_null().to_numpy()
    if column.dtype.is_integer():
        found = mixed(column.fill_null(0).cast(pl.Int64).to_numpy().view(np.uint64))
    else:
        found = _hash_texts(column.cast(pl.String).fill_null(""))
    return np.where(null, np.uint64(1), found)


def _hash_texts(column: pl.Series) -> Hashes:
    array = column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    ends = np.frombuffer(array.buffers()[1], "<i8")[array.offset : array.offset + len(array) + 1]
    if not len(array) or ends[0] == ends[-1]:
        return np.zeros(len(array), np.uint64)
    every = np.frombuffer(array.buffers()[2], np.uint8)[ends[0] : ends[-1]]
    ends = ends - ends[0]
    lengths = np.diff(ends)
    places = np.arange(len(every)) - np.repeat(ends[:-1], lengths)
    with np.errstate(over="ignore"):
        numbers = _table()[((places & (_PLACES - 1)) << 8) + every]
        if int(np.max(lengths)) > _PLACES:
            numbers = numbers * (2 * (places // _PLACES).astype(np.uint64) + np.uint64(1))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(numbers, dtype=np.uint64)])
        return mixed(sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64) * _LENGTH_SALT)


@lru_cache(maxsize=1)
def _table() -> Hashes:
    with np.errstate(over="ignore"):
        return mixed(np.arange(1, _PLACES * 256 + 1, dtype=np.uint64) * np.uint64(_STEP))
