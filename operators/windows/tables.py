"""Who watches windows: flows whose windows differ only in their conditions and their `when` are rows of parameter tables.

Reads: triggers with a window. Emits: for events, the contents (feeds) that they belong to; for windows, the triggers that they
start; for late events, the flows that missed them. State: none; tables are rebuilt when a flow of the event type is deployed.
Cost: that of matching.
A feed is one condition on events: flows with the same one share what their windows hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from operators.triggers.lanes import ORDERS, SHADOW
from operators.triggers.match import TypeTable, make_table, match_events
from operators.triggers.match_rows import ALL, Trigger
from schemas.expression.tree import And, Compare, Constant, Field, Tree
from schemas.expression.types import INT
from schemas.expression.walk import rebuild
from schemas.frames import select_keys
from schemas.program import Window

FEED: Final = "#feed"
Ints = npt.NDArray[np.int64]
_encoder = msgspec.msgpack.Encoder()


class Watcher(NamedTuple):
    """One trigger with a window, of one active flow. Policies are bound in `condition` and `when`, not in `feed`."""

    entry: int
    tenant: str
    flow: str
    order: int
    feed: int  # feed_of(the condition as written)
    condition: Tree | None
    window: Window
    when: Tree | None


@dataclass(frozen=True, slots=True)
class WatchTables:
    """The watchers of one shape. `starts` ask each event, by how they fire; `ends` ask windows that close."""

    tenants: frozenset[str] | None  # None: all
    feeds: TypeTable
    feed_ids: Ints  # by entry of `feeds`
    starts: TypeTable | None
    crossing: Ints  # entries of `starts` that fire only where it was not so before
    ends: TypeTable | None
    flows: pl.DataFrame  # tenant, #feed, flow
    overridden: pl.DataFrame  # tenant, flow: who has a flow of that name for itself
    names: Mapping[int, str]  # flows by entry


def feed_of(condition: Tree | None) -> int:
    """Name a condition by what it says."""
    return _hash64(b"" if condition is None else _encoder.encode(_unplaced(condition)))


def shape_of(event: str, window: Window) -> str:
    """Name what windows have in common that hold the same numbers of the same events."""
    measures = tuple((one.name, one.kind, one.value and _unplaced(one.value), one.type) for one in window.measures)
    closes = window.fire == "close"
    said = (event, _unplaced(window.key), window.kind, window.size_us, window.lateness_us, window.retract_us, measures, closes)
    return blake2b(_encoder.encode(said), digest_size=16).hexdigest()


def make_tables(watchers: Sequence[Watcher], owners: Collection[tuple[str, str]]) -> WatchTables:
    """Group the watchers of one shape; `owners` are (tenant, flow) that win over a flow for all of the same name."""
    feeds = sorted({(one.tenant, one.feed): one for one in watchers}.items(), key=lambda item: item[0])
    asked = [Trigger(place, tenant, f"{place}", 0, one.condition) for place, ((tenant, _), one) in enumerate(feeds)]
    flows = {one.flow for one in watchers}
    own = [(tenant, flow) for tenant, flow in owners if flow in flows]
    starts = [one for one in watchers if one.window.fire != "close"]
    watching = [one for one in watchers if one.order < ORDERS[SHADOW]]  # a shadow misses nothing
    everybody = any(one.tenant == ALL for one in watchers)
    return WatchTables(
        None if everybody else frozenset(one.tenant for one in watchers),
        make_table(asked),
        np.array([feed for (_, feed), _ in feeds], np.int64),
        _table(starts, own),
        np.array(sorted(one.entry for one in starts if one.window.fire == "crossing"), np.int64),
        _table([one for one in watchers if one.window.fire == "close"], own),
        _frame(sorted({(one.tenant, one.feed, one.flow) for one in watching}), ("tenant", FEED, "flow")),
        _frame(sorted({*own, *((one.tenant, one.flow) for one in watchers if one.tenant != ALL)}), ("tenant", "flow")),
        {one.entry: one.flow for one in watchers},
    )


def feeds_of(tables: WatchTables, frame: pl.DataFrame) -> pl.DataFrame:
    """Give (row, #feed) for the rows of an event frame that belong to some content; `row` is the place in the frame."""
    placed = frame.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
    (found,) = match_events([(placed, tables.feeds)], select_keys)
    feeds = pl.Series(FEED, tables.feed_ids[found["entry"].to_numpy()])
    pairs = found.select(pl.col("row").cast(pl.Int64), feeds)
    return pairs if len(tables.feed_ids) == 1 else pairs.unique(maintain_order=True)


def event_keys(tables: WatchTables) -> tuple[str, ...]:
    """Name what the `when` of some watcher reads of the event itself."""
    read = {key for table in (tables.starts, tables.ends) if table is not None for key in table.keys}
    return tuple(sorted(key for key in read if key != FEED and not key.startswith("window.")))


def pairs_of(table: TypeTable, frame: pl.DataFrame) -> pl.DataFrame:
    """Give (row, tenant, entry) of the triggers whose `when` holds; the frame's columns are named by environment key."""
    (found,) = match_events([(frame, table)], _pick)
    return found


def missed_by(tables: WatchTables, late: pl.DataFrame) -> pl.DataFrame:
    """Give for late rows (tenant, #feed, ...) the flows that watch their contents, one row a flow."""
    own = late.join(tables.flows, on=["tenant", FEED], how="inner")
    shared = late.join(tables.flows.filter(pl.col("tenant") == ALL).drop("tenant"), on=FEED, how="inner")
    missed = pl.concat([own, shared.join(tables.overridden, on=["tenant", "flow"], how="anti")])
    return missed.drop(FEED).unique(maintain_order=True)  # a flow may watch in several ways


def _table(watchers: Sequence[Watcher], owners: Iterable[tuple[str, str]]) -> TypeTable | None:
    """Make the table of `when` conditions. Each trigger stands for itself: the first that holds need not be the first to fire."""
    if not watchers:
        return None
    asked = [Trigger(one.entry, one.tenant, _name(one.flow, one.order), 0, _asked(one)) for one in watchers]
    names: dict[str, set[str]] = {}
    for one in watchers:
        names.setdefault(one.flow, set()).add(_name(one.flow, one.order))
    own = {*owners, *((one.tenant, one.flow) for one in watchers if one.tenant != ALL)}
    return make_table(asked, [(tenant, name) for tenant, flow in own for name in names.get(flow, ())])


def _name(flow: str, order: int) -> str:
    return f"{flow}\0{order:04d}"


def _asked(one: Watcher) -> Tree:
    """Ask for the feed too: it is an equality, so it becomes part of the join."""
    feed = Compare("==", Field(FEED, (), INT), Constant(one.feed, INT))
    return feed if one.when is None else And((feed, one.when))


def _pick(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    return frame.select([key if key in frame.columns else pl.lit(None).alias(key) for key in keys])


def _frame(rows: Sequence[tuple[Any, ...]], names: Sequence[str]) -> pl.DataFrame:
    types = {"tenant": pl.String(), FEED: pl.Int64(), "flow": pl.String()}
    return pl.DataFrame(list(rows), schema={name: types[name] for name in names}, orient="row")


def _unplaced(tree: Tree) -> Tree:
    """Copy a tree without where it stood in its text."""
    return msgspec.structs.replace(rebuild(tree, _unplaced), at=0) if hasattr(tree, "at") else rebuild(tree, _unplaced)


def _hash64(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)
