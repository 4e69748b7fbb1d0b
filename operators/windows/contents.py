"""What events put into windows: one row for each content (feed) that an event belongs to, under the hash of its key.

Reads: events of one layout each. Emits: rows in their order. State: none. Cost: columnar.
An event without a key is in no window.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.windows.hash import Hashes, hash_rows
from operators.windows.payloads import NUMBER, TENANT, Part
from operators.windows.tables import FEED, WatchTables, event_keys, feeds_of
from schemas.expression.column_types import dtype_of
from schemas.expression.columns import value
from schemas.expression.fit import type_of
from schemas.expression.tree import Tree
from schemas.expression.walk import keys
from schemas.frames import select_keys
from schemas.program import Window

Ints = npt.NDArray[np.int64]


def contents_of(tables: WatchTables, window: Window, parts: Sequence[tuple[Part, Ints]], *, texts: bool = False) -> pl.DataFrame:
    """Give key, tenant (its number), name (its text), time, id, number, #feed, src, x<place> and what `when` reads of the event.

    `src` are the places given beside each part; the rows are sorted by it. `texts` adds the key as text.
    """
    found = [_of_part(tables, window, part, places, texts=texts) for part, places in parts]
    if not found:
        return _empty(window)
    if len(found) == 1:
        return found[0]
    return pl.concat(found, how="vertical_relaxed").sort("src", maintain_order=True)


def _of_part(tables: WatchTables, window: Window, part: Part, places: Ints, *, texts: bool) -> pl.DataFrame:
    frame = part.frame
    feeds = feeds_of(tables, frame)
    rows = feeds["row"].to_numpy()
    trees = {f"x{place}": one.value for place, one in enumerate(window.measures) if one.value is not None}
    read = tuple(sorted({key for tree in (window.key, *trees.values()) for key in keys(tree)}))
    env = select_keys(frame, read)
    schema = tuple(env.schema.items())
    source = env if read else frame.select("row")
    grouped = source.select(_value(window.key, schema).alias("k")).to_series()
    values = source.select([_value(tree, schema).cast(dtype_of(type_of(tree))).alias(name) for name, tree in trees.items()])
    every = pl.DataFrame(
        {"tenant": frame[TENANT], "name": frame["tenant"], "time": frame["time"], "number": frame[NUMBER], "src": places}
    ).hstack([pl.Series("id", _ids(frame)), grouped.alias("k")])
    wide = pl.concat([every, values, select_keys(frame, event_keys(tables))], how="horizontal")
    wide = wide if len(rows) == len(places) and (rows == np.arange(len(places))).all() else wide[rows]
    wide = wide.with_columns(feeds[FEED]).filter(pl.col("k").is_not_null())
    text = [wide["k"].cast(pl.String).alias("text")] if texts else []
    return wide.with_columns(pl.Series("key", _keys(wide)), *text).drop("k")


def _keys(wide: pl.DataFrame) -> Hashes:
    """Hash (tenant, content, key); of tenants the texts, for their numbers differ from file to file."""
    return hash_rows([_each_once(wide["name"]), wide[FEED], wide["k"]])


def _ids(frame: pl.DataFrame) -> Hashes:
    return hash_rows([_each_once(frame["source"]), frame["id"]])


def _each_once(texts: pl.Series) -> pl.Series:
    """Give the hash of texts of which few differ."""
    different = texts.unique()
    hashes = pl.Series(hash_rows([different]).view(np.int64))
    return texts.replace_strict(different, hashes, return_dtype=pl.Int64)


def _empty(window: Window) -> pl.DataFrame:
    values = {f"x{place}": dtype_of(type_of(one.value)) for place, one in enumerate(window.measures) if one.value is not None}
    numbers = dict.fromkeys(("tenant", "time", "number", "src", FEED), pl.Int64())
    schema = {"key": pl.UInt64(), "name": pl.String(), "id": pl.UInt64(), **numbers, **values}
    return pl.DataFrame(schema=schema)


@lru_cache(maxsize=4_096)
def _value(tree: Tree, schema: tuple[tuple[str, pl.DataType], ...]) -> pl.Expr:
    return value(tree, dict(schema))
