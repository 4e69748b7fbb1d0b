"""All windows of one shape: the same events, key, length and measures, whoever watches them.

Reads: event frames in their total order, the clock. Emits: verdicts (which trigger starts, by which event, when) and late events.
State: rows of the windows, events held for their turn, the ends of windows. Cost: columnar; some µs an event.
Verdicts are given in order of event time, each when its moment is complete; what was taken twice counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.windows.contents import contents_of
from operators.windows.fired import Asked, Fired, TakenBack
from operators.windows.frontier import Arrivals, Completed, Frontier, Patience
from operators.windows.payloads import CLOCK, NUMBER, TENANT, Part, Payloads
from operators.windows.rows import Retained, Run
from operators.windows.tables import FEED, WatchTables, missed_by
from operators.windows.verdicts import Given, Verdicts, ended, started
from operators.windows.work import Closing, Work, columns_of, make_work, windows_of
from schemas.expression.column_types import dtype_of
from schemas.expression.fit import type_of
from schemas.expression.types import Type
from schemas.program import Window

Ints = npt.NDArray[np.int64]
PRUNE_SMALL: Final = 4_096  # rows; so few are looked through each time
GROWN: Final = 1.25
_HELD: Final = {"tenant": pl.Int64(), "time": pl.Int64(), "number": pl.Int64(), "row": pl.Int64(), "clock": pl.Int64()}
_OPEN: Final = {"key": pl.UInt64(), "tenant": pl.Int64(), "end": pl.Int64(), "start": pl.Int64(), "number": pl.Int64()}
Complete = Callable[[Ints, Ints, Ints], Completed]


class Batch(NamedTuple):
    """Rows of one event type in their total order. `tenants` are their numbers, `clock` and `until` as in Arrivals."""

    frame: pl.DataFrame
    data: Type
    tenants: Ints
    clock: Ints
    until: Ints


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch or the clock brought. `late` has row (of the frame), tenant, flow, key (its text) and time."""

    verdicts: list[Verdicts]
    late: pl.DataFrame | None = None
    taken_back: list[TakenBack] = field(default_factory=list)


class WindowShape:
    """The state of one shape."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.tables: WatchTables | None = None
        self.closes = window.fire == "close"
        self.frontier = Frontier(Patience(window.lateness_us, window.size_us, self.closes))
        self.retained = Retained(_row_schema(window))
        self.payloads = Payloads()
        self.pending = pl.DataFrame(schema=_HELD)
        self.open = pl.DataFrame(schema=_OPEN)
        self.block = 1  # that what is new goes into
        self.fresh: list[Run] = []  # rows that are in no block yet
        self.fired = Fired(window, {"time": pl.Int64(), "id": pl.UInt64(), **_values(window)})
        self._tracks = self.closes or window.kind == "session"
        self._kept = 0  # rows, after the last look through all
        self._due_us: int | None = None
        self._due_known = False

    @property
    def height(self) -> int:
        """Give how many rows are held."""
        return self.retained.height + self.fired.rows.height

    def take(self, batch: Batch) -> Outcome:
        """Take in rows of watched tenants; give the verdicts that they complete."""
        self._due_known = False
        time = batch.frame["time"].to_numpy()
        before = self.frontier.passed.copy()
        late, passage = self.frontier.follow(Arrivals(batch.tenants, time, batch.clock, batch.until))
        numbered = self.payloads.number(batch.frame, batch.tenants, batch.clock)
        columns = (batch.tenants, time, numbered[NUMBER], np.arange(len(time)), batch.clock)
        arrived = pl.DataFrame(dict(zip(_HELD, columns, strict=True)), schema=_HELD).filter(~late)
        lateness_us = self.window.lateness_us

        def complete(tenant: Ints, moment: Ints, row: Ints) -> Completed:
            return passage.complete(tenant, moment, row, lateness_us)

        waiting = pl.concat([self.pending, arrived]) if self.pending.height else arrived
        part = Part(numbered, batch.data)
        outcome = Outcome(self._release(waiting, complete, before, part))
        if late.any():
            outcome = self._with_late(outcome.verdicts, part, np.flatnonzero(late), passage.ahead)
        self._tidy(part)
        return outcome

    def advance(self, until_us: int) -> Outcome:
        """Let the clock go on: what it completes is judged."""
        self._due_known = False
        frontier = self.frontier
        before = frontier.passed.copy()
        frontier.advance(until_us)

        def complete(tenant: Ints, moment: Ints, _row: Ints) -> Completed:
            known = moment <= frontier.passed[tenant]
            return Completed(known, np.full(len(moment), -1), np.minimum(frontier.due(tenant, moment), until_us))

        if not self.pending.height and not (self.closes and self.open.height):
            self._tidy(None)
            return Outcome([])
        found = self._release(self.pending, complete, before, None)
        self._tidy(None)
        return Outcome(found)

    def next_due_us(self) -> int | None:
        """Tell at what clock the next verdict is given if nothing comes any more."""
        if not self._due_known:
            self._due_us, self._due_known = self._next_due_us(), True
        return self._due_us

    def _next_due_us(self) -> int | None:
        awaited = [(self.pending, "time"), *([(self.open, "end")] if self.closes else [])]
        moments = [(one["tenant"].to_numpy(), one[name].to_numpy()) for one, name in awaited if one.height]
        return min((int(np.min(self.frontier.due(*one))) for one in moments), default=None)

    def prune(self) -> None:
        """Let go of rows that no window to come can hold."""
        if self._tracks and not self.closes:
            self.open = self.open.filter(self.open["end"].to_numpy() > self.frontier.passed[self.open["tenant"].to_numpy()])
        self.retained.keep([self._needed(run) for run in self.retained.runs])
        self.fired.expire(self.frontier.passed)

    def restore(self) -> None:
        """Find what is held and which windows are open, once rows, events and frontier are there."""
        names = {"tenant": TENANT, "time": "time", "number": NUMBER, "clock": CLOCK}
        for part in self.payloads.parts:
            held = part.frame.select(row=pl.lit(-1, dtype=pl.Int64), **{name: pl.col(of) for name, of in names.items()})
            ahead = held["time"].to_numpy() > self.frontier.passed[held["tenant"].to_numpy()]
            self.pending = pl.concat([self.pending, held.filter(ahead).select(list(_HELD))])
        if self._tracks:
            everything = self.retained.all()
            nothing = Run(np.empty(0, np.uint64), everything.rows.clear())
            work = make_work(everything, nothing, self.window)
            closing = windows_of(work, self.window)
            tenants = work.rows["tenant"].to_numpy()[closing.last]
            self.open = self._windows(work, closing, closing.end > self.frontier.passed[tenants])
        self.payloads.settle(self._needed_events(), None, 0)

    # --- in parts

    def _release(self, waiting: pl.DataFrame, complete: Complete, before: Ints, part: Part | None) -> list[Verdicts]:
        """Judge what is complete, in order of event time."""
        assert self.tables is not None
        done = complete(*(waiting[name].to_numpy() for name in ("tenant", "time", "row")))
        clock = np.where(done.row >= 0, -1, np.maximum(done.clock, waiting["clock"].to_numpy()))
        moved = waiting.with_columns(row=pl.Series(done.row), clock=pl.Series(clock))
        released = moved.filter(done.known).sort("time", maintain_order=True)
        self.pending = waiting.filter(~done.known).with_columns(row=pl.lit(-1, dtype=pl.Int64))
        verdicts: list[Verdicts] = []
        new = contents_of(self.tables, self.window, self.payloads.find(released["number"].to_numpy(), part))
        ending = self._ending(complete)
        if new.height or len(ending):
            columns = columns_of(self.window)
            run = Run(new["key"].to_numpy(), new.select(columns))
            work = make_work(self.retained.of(np.unique(np.concatenate([run.keys, ending])), columns), run, self.window)
            given = Given(self.tables, self.window, work, self.payloads, part)
            verdicts = self._verdicts(given, new, released, (complete, before))
        return verdicts

    def _verdicts(self, given: Given, new: pl.DataFrame, released: pl.DataFrame, moving: tuple[Complete, Ints]) -> list[Verdicts]:
        complete, before = moving
        work = given.work
        asked = np.flatnonzero(work.fresh >= 0)
        asked = asked[np.argsort(work.fresh[asked], kind="stable")]
        kept = new[work.fresh[asked]]
        verdicts = started(given, asked, kept, released[kept["src"].to_numpy()])
        if self._tracks:
            closing = windows_of(work, self.window)
            tenants = work.rows["tenant"].to_numpy()[closing.last]
            done = complete(tenants, closing.end, np.full(len(closing.last), -1))
            begun = closing.end > before[tenants]
            if self.closes:
                at_end, fired = ended(given, closing, done, done.known & begun)
                verdicts += at_end
                if self.window.retract_us and fired.height:
                    self.fired.add(work, closing, fired, self.block)
            self._follow_open(work, closing, ~done.known & begun)
        rows = kept.with_columns(block=pl.lit(self.block, dtype=pl.Int64)).select(list(self.retained.schema))
        self.retained.add(work.keys[asked], rows)
        self.fresh.append(Run(work.keys[asked], rows))
        return verdicts

    def _ending(self, complete: Complete) -> npt.NDArray[np.uint64]:
        if not self.closes or not self.open.height:
            return np.empty(0, np.uint64)
        done = complete(self.open["tenant"].to_numpy(), self.open["end"].to_numpy(), np.full(self.open.height, -1))
        return np.asarray(self.open["key"].to_numpy()[done.known])

    def _follow_open(self, work: Work, closing: Closing, open_: npt.NDArray[np.bool_]) -> None:
        touched = np.unique(work.keys)
        have = self.open["key"].to_numpy()
        at = np.minimum(np.searchsorted(touched, have), max(0, len(touched) - 1))
        other = self.open.filter(touched[at] != have) if len(touched) else self.open
        self.open = pl.concat([other, self._windows(work, closing, open_)])

    def _windows(self, work: Work, closing: Closing, chosen: npt.NDArray[np.bool_]) -> pl.DataFrame:
        last = closing.last[chosen]
        rows = work.rows[last]
        numbers = rows["number"] if self.closes else np.zeros(len(last), np.int64)
        columns = (work.keys[last], rows["tenant"], closing.end[chosen], closing.start_us[chosen], numbers)
        return pl.DataFrame(dict(zip(_OPEN, columns, strict=True)), schema=_OPEN)

    def _needed_events(self) -> Ints:
        numbers = [self.pending["number"].to_numpy(), *([self.open["number"].to_numpy()] if self.closes else [])]
        return np.unique(np.concatenate([*numbers, self.fired.numbers()]))

    def _needed(self, run: Run) -> npt.NDArray[np.bool_]:
        """Mark rows that a window may hold whose moment is not complete."""
        time, passed = run.rows["time"].to_numpy(), self.frontier.passed[run.rows["tenant"].to_numpy()]
        match self.window.kind:
            case "sliding":
                return np.asarray(time > passed - self.window.size_us)
            case "tumbling":
                return np.asarray((time // self.window.size_us + 1) * self.window.size_us > passed)
            case "session":
                open_ = self.open.sort("key")
                keys = open_["key"].to_numpy()
                if not len(keys):
                    return np.zeros(len(time), np.bool_)
                at = np.minimum(np.searchsorted(keys, run.keys), len(keys) - 1)
                return np.asarray((keys[at] == run.keys) & (time >= open_["start"].to_numpy()[at]))

    def _tidy(self, part: Part | None) -> None:
        """Prune when there may be much to let go of: looking through all rows costs what a batch does."""
        if self.retained.height <= PRUNE_SMALL or self.retained.height >= GROWN * self._kept:
            self.prune()
            self._kept = self.retained.height
        self.payloads.settle(self._needed_events(), part, self.block)

    def _with_late(self, found: list[Verdicts], part: Part, late: Ints, ahead: Ints) -> Outcome:
        """Say who missed which late rows, and which verdicts they disprove."""
        assert self.tables is not None
        missed = contents_of(self.tables, self.window, [(Part(part.frame[late], part.data), np.arange(len(late)))], texts=True)
        rows = late[missed["src"].to_numpy()]
        listed = missed.with_columns(pl.Series("row", rows))
        asked = Asked(self.tables, self.payloads, part, self.block)
        taken_back = list(self.fired.disproved(listed, ahead[rows], asked)) if self.fired.verdicts.height else []
        told = missed_by(self.tables, listed.select("row", pl.col("name").alias("tenant"), FEED, "text", "time"))
        return Outcome(found, told.select("row", "tenant", "flow", key="text", time="time"), taken_back)


def _values(window: Window) -> dict[str, pl.DataType]:
    return {f"x{place}": dtype_of(type_of(one.value)) for place, one in enumerate(window.measures) if one.value is not None}


def _row_schema(window: Window) -> dict[str, pl.DataType]:
    schema = _values(window)
    return {**schema, "number": pl.Int64(), FEED: pl.Int64()} if window.fire == "close" else schema
