"""Windows: counts and sums over stretches of event time, by key, that start flows.

Reads: event frames in their total order, what is deployed, the clock. Emits: verdicts and late events.
State: one WindowShape for each (event, key, kind, length, measures); watchers only add rows to its tables. What a turn changes is
given out as blocks to store; memory is rebuilt from them. Cost: columnar; some µs an event and shape.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.triggers.match_rows import ALL
from operators.windows.blocks import (
    EVENTS,
    FIRED,
    ROWS,
    pack_events,
    pack_fired,
    pack_frontier,
    pack_rows,
    unpack_events,
    unpack_fired,
    unpack_frontier,
    unpack_rows,
)
from operators.windows.payloads import BLOCK, Part, Payloads
from operators.windows.rows import Run
from operators.windows.shape import Batch, Outcome, WindowShape
from operators.windows.tables import Watcher, make_tables, shape_of
from schemas.expression.types import Type
from schemas.ports import StoredWindows, WindowBlock, WindowChanges

Ints = npt.NDArray[np.int64]
BLOCKS_MOST: Final = 96  # of one kind and shape; then neighbours are written together
BLOCKS_JOINED: Final = 64
LOOK_US: Final = 3_600_000_000

__all__ = ["Events", "Found", "Watcher", "Windows"]


class Events(NamedTuple):
    """Rows of one event type, in their total order, with the clock at each and the time up to which deadlines passed before."""

    type: str
    frame: pl.DataFrame
    data: Type
    clock: Ints
    until: Ints


class Found(NamedTuple):
    """What one shape had to say."""

    event: str
    outcome: Outcome


class Windows:
    """All windows of one engine."""

    def __init__(self, stored: StoredWindows | None = None) -> None:
        """Take in what was stored; each shape finds its own when it is deployed."""
        self._stored = stored or StoredWindows()
        self._tenants: dict[str, int] = {name: number for number, name in self._stored.tenants}
        self._new_tenants: list[tuple[int, str]] = []
        self._shapes: dict[str, dict[str, WindowShape]] = {}  # event -> shape -> its state
        self._blocks: dict[tuple[str, int], dict[int, int]] = {}  # (shape, kind) -> block -> its size
        self._changed: dict[str, None] = {}
        self._dropped: list[str] = []
        self._looked: dict[str, int] = {}  # when a shape without anything to say was last looked through

    def deploy(self, event: str, watchers: Sequence[Watcher], owners: Collection[tuple[str, str]]) -> None:
        """Let these watch an event type instead of those before; `owners` are (tenant, flow) that win over a flow for all."""
        old = self._shapes.pop(event, {})
        groups: dict[str, list[Watcher]] = {}
        for one in watchers:
            groups.setdefault(shape_of(event, one.window), []).append(one)
        shapes = {name: old.pop(name) if name in old else self._restored(name, group[0]) for name, group in groups.items()}
        own = {*owners, *((one.tenant, one.flow) for one in watchers if one.tenant != ALL)}
        for name, group in groups.items():
            shapes[name].tables = make_tables(group, own)
        if shapes:
            self._shapes[event] = shapes
        for name in old:
            self._dropped.append(name)
            self._changed.pop(name, None)
            for kind in (ROWS, EVENTS, FIRED):
                self._blocks.pop((name, kind), None)

    def forget_rest(self) -> None:
        """Let go of what was stored for shapes that nobody watches any more."""
        self._dropped += {**self._stored.marks, **self._stored.blocks}
        self._stored = StoredWindows()

    def events(self) -> Collection[str]:
        """Name the event types that some window takes in."""
        return self._shapes.keys()

    def take(self, events: Events) -> list[Found]:
        """Take in rows of one event type; give what they complete, shape by shape."""
        numbers = self._numbers(events.frame["tenant"])
        found = []
        for name, shape in self._shapes.get(events.type, {}).items():
            batch, places = self._watched(events, numbers, shape)
            if batch.frame.height:
                self._changed[name] = None
                shape.frontier.grow(len(self._tenants))
                outcome = shape.take(batch)
                found.append(Found(events.type, outcome if places is None else _placed(outcome, places)))
        return found

    def advance(self, until_us: int) -> list[Found]:
        """Let deadlines up to and with a time pass; give what that completes."""
        found = []
        for event, shapes in self._shapes.items():
            for name, shape in shapes.items():
                due_us, height = shape.next_due_us(), shape.height
                if due_us is not None and due_us <= until_us:
                    found.append(Found(event, shape.advance(until_us)))
                    self._changed[name] = None
                elif height and until_us - self._looked.get(name, 0) > LOOK_US:  # tenants may have fallen silent
                    self._looked[name] = until_us
                    shape.advance(until_us)
                    if shape.height < height:
                        self._changed[name] = None
        return found

    def next_due_us(self) -> int | None:
        """Tell at what clock the next verdict is given if nothing comes any more."""
        dues = [shape.next_due_us() for shapes in self._shapes.values() for shape in shapes.values()]
        return min((due for due in dues if due is not None), default=None)

    def take_changes(self) -> WindowChanges:
        """Give what to store since the last call."""
        tenants, self._new_tenants = self._new_tenants, []
        dropped, self._dropped = self._dropped, []
        changed, self._changed = self._changed, {}
        changes = WindowChanges(tenants=tenants, dropped=dropped)
        live = {name: shape for shapes in self._shapes.values() for name, shape in shapes.items()}
        for name in changed:
            self._store(name, live[name], changes)
        return changes

    def height(self) -> tuple[int, int]:
        """Give how many rows and how many events are held."""
        shapes = [shape for shapes in self._shapes.values() for shape in shapes.values()]
        return sum(shape.height for shape in shapes), sum(shape.payloads.height for shape in shapes)

    # --- in parts

    def _numbers(self, tenants: pl.Series) -> Ints:
        names = tenants.unique(maintain_order=True).to_list()
        for name in names:
            if name not in self._tenants:
                self._tenants[name] = len(self._tenants)
                self._new_tenants.append((self._tenants[name], name))
        numbers = [self._tenants[name] for name in names]
        return np.asarray(tenants.replace_strict(names, numbers, return_dtype=pl.Int64).to_numpy())

    def _watched(self, events: Events, numbers: Ints, shape: WindowShape) -> tuple[Batch, Ints | None]:
        """Give the rows of tenants that somebody watches for, and their places if those are not all."""
        assert shape.tables is not None
        whole = Batch(events.frame, events.data, numbers, events.clock, events.until)
        if shape.tables.tenants is None:
            return whole, None
        known = [self._tenants[name] for name in shape.tables.tenants if name in self._tenants]
        places = np.flatnonzero(np.isin(numbers, known))
        if len(places) == len(numbers):
            return whole, None
        part = (events.clock[places], events.until[places])
        return Batch(events.frame[places], events.data, numbers[places], *part), places

    def _restored(self, name: str, one: Watcher) -> WindowShape:
        shape = WindowShape(one.window)
        marks = self._stored.marks.pop(name, None)
        if marks is None:
            return shape
        shape.frontier = unpack_frontier(marks, shape.frontier.patience)
        shape.frontier.grow(len(self._tenants))
        parts: list[Part] = []
        for block in sorted(self._stored.blocks.pop(name, ()), key=lambda one: (one.kind, one.block)):
            self._blocks.setdefault((name, block.kind), {})[block.block] = len(block.data)
            shape.block = max(shape.block, block.block + 1)
            if block.kind == ROWS:
                shape.retained.add(*unpack_rows(block.data, block.block, shape.retained.schema))
            elif block.kind == EVENTS:
                parts += unpack_events(block.data, block.block)
            else:
                unpack_fired(block.data, block.block, shape.fired)
        shape.payloads = Payloads(parts)
        shape.restore()
        return shape

    def _store(self, name: str, shape: WindowShape, changes: WindowChanges) -> None:
        changes.marks.append((name, pack_frontier(shape.frontier)))
        fresh, shape.fresh = [run for run in shape.fresh if len(run.keys)], []
        held = [Part(part.frame.filter(pl.col(BLOCK) == shape.block), part.data) for part in shape.payloads.parts]
        held = [part for part in held if part.frame.height]
        rows = shape.retained.blocks()
        if fresh and shape.block in rows:
            self._put(changes, WindowBlock(name, ROWS, shape.block, pack_rows(fresh)))
        if held:
            self._put(changes, WindowBlock(name, EVENTS, shape.block, pack_events(held)))
        fired = shape.fired.blocks()
        for block in sorted(fired & {shape.block, *shape.fired.take_thinned()}):
            self._put(changes, WindowBlock(name, FIRED, block, pack_fired(shape.fired, block)))
        self._forget(changes, name, FIRED, fired)
        shape.block += 1
        self._forget(changes, name, ROWS, rows)
        self._forget(changes, name, EVENTS, shape.payloads.blocks())
        self._join(changes, name, shape)

    def _put(self, changes: WindowChanges, block: WindowBlock) -> None:
        changes.blocks.append(block)
        self._blocks.setdefault((block.shape, block.kind), {})[block.block] = len(block.data)

    def _forget(self, changes: WindowChanges, name: str, kind: int, needed: set[int]) -> None:
        blocks = self._blocks.get((name, kind), {})
        for block in [block for block in blocks if block not in needed]:
            del blocks[block]
            changes.gone.append((name, kind, block))

    def _join(self, changes: WindowChanges, name: str, shape: WindowShape) -> None:
        """Write many small blocks as one: neighbours, so that rows of a key keep their order."""
        rows, events = self._blocks.get((name, ROWS), {}), self._blocks.get((name, EVENTS), {})
        if len(rows) > BLOCKS_MOST:
            joined = _smallest(rows)
            everything = shape.retained.all()
            inside = everything.rows["block"].is_in(joined).to_numpy()
            run = Run(everything.keys[inside], everything.rows.filter(inside))
            shape.retained.move(set(joined), joined[-1])
            self._put(changes, WindowBlock(name, ROWS, joined[-1], pack_rows([run])))
            self._forget(changes, name, ROWS, shape.retained.blocks())
        if len(events) > BLOCKS_MOST:
            last = max(events)
            shape.payloads.move(last)
            self._put(changes, WindowBlock(name, EVENTS, last, pack_events(shape.payloads.parts)))
            self._forget(changes, name, EVENTS, {last})
        fired = self._blocks.get((name, FIRED), {})
        if len(fired) > BLOCKS_MOST:
            last = max(fired)
            shape.fired.move(last)
            self._put(changes, WindowBlock(name, FIRED, last, pack_fired(shape.fired, last)))
            self._forget(changes, name, FIRED, {last})


def _placed(outcome: Outcome, places: Ints) -> Outcome:
    """Name rows by their places in the whole frame."""
    verdicts = [replace(one, row=np.where(one.row >= 0, places[one.row], -1)) for one in outcome.verdicts]
    late = outcome.late
    late = late if late is None else late.with_columns(row=pl.Series(places[late["row"].to_numpy()]))
    return Outcome(verdicts, late, [one._replace(row=int(places[one.row])) for one in outcome.taken_back])


def _smallest(blocks: dict[int, int]) -> list[int]:
    """Choose the neighbours that are smallest together."""
    order = sorted(blocks)
    starts: Iterable[int] = range(len(order) - BLOCKS_JOINED + 1)
    first = min(starts, key=lambda at: sum(blocks[block] for block in order[at : at + BLOCKS_JOINED]))
    return order[first : first + BLOCKS_JOINED]
