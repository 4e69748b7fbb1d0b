"""What starts flows beside single events: windows over events, and schedules.

Reads: decoded segments, the catalogue, the clock. Emits: verdicts of windows with their rows, slots that are due, late events.
State: that of windows and schedules, rebuilt from the store. Cost: columnar; some µs a slot.
Both follow the turn's total order: what is deployed changes between segments, deadlines pass and slots come due between rows.
Under the event clock slots come due by events from outside alone. Were they to come due when an idle clock runs on, or by what
flows emit, a daily flow that waits two days for somebody would keep the clock running for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from flows.engine.ends import with_ends
from flows.engine.progress import bounds
from flows.engine.sightings import NEVER, Disproof, Sightings, Verdict
from flows.engine.work import DecodedWork
from operators.schedules.schedule_book import ScheduleBook, ScheduleKey
from operators.turn.deployed import Deployed
from operators.turn.times import END_OF_TIME
from operators.windows.fired import TakenBack
from operators.windows.verdicts import Verdicts
from operators.windows.windows import Events, Found, Windows
from schemas.decode import EventFrame
from schemas.effects import MetEvent
from schemas.ids import event_key
from schemas.ports import SchedulePlace, StateStore, WindowChanges
from schemas.records import Late
from schemas.topics import is_events

Ints = npt.NDArray[np.int64]
OWN: Final = "engine-"  # files of engines: what flows emit
SLOTS_MOST: Final = 20_000  # taken at once


class TriggerChanges(NamedTuple):
    """What a turn changed in windows and schedules."""

    windows: WindowChanges | None
    schedules: Sequence[SchedulePlace]
    schedules_gone: Sequence[ScheduleKey]


UNCHANGED: Final = TriggerChanges(None, (), ())


class Triggers:
    """The windows and schedules of one engine."""

    def __init__(self, store: StateStore, deployed: Deployed, clock: Literal["wall", "events"], now_us: int) -> None:
        """Rebuild both as of the last commit; `deployed` is the catalogue as of then."""
        self._deployed = deployed
        self._clock = clock
        self._windows = Windows(store.windows())
        self._book = ScheduleBook(clock, store.schedules())
        self._follow(now_us)
        self._windows.forget_rest()

    def next_slot_us(self) -> int | None:
        """Tell when the next slot falls due."""
        return self._book.next_due_us()

    def next_deadline_us(self) -> int | None:
        """Tell when windows have something to say though no event comes."""
        return self._windows.next_due_us()

    def take_changes(self) -> TriggerChanges:
        """Give what to store since the last call."""
        return TriggerChanges(self._windows.take_changes(), *self._book.take_changes())

    def sweep(self, work: DecodedWork) -> _Sweep:
        """Begin a turn: what is deployed changes before each of its segments."""
        return _Sweep(self, work)

    # --- for a sweep

    def _follow(self, now_us: int) -> None:
        deployed = self._deployed
        for event in deployed.watching.changed(now_us):
            watchers = deployed.watching.watchers(event, deployed.policies, now_us)
            self._windows.deploy(event, watchers, deployed.owners(deployed.watching.flows(event)))
        for one in deployed.scheduled.take_changes():
            self._book.follow(*one, now_us)


class _Sweep:
    """One turn's way over its segments."""

    def __init__(self, triggers: Triggers, work: DecodedWork) -> None:
        self._of = triggers
        self._work = work
        self._events = triggers._clock == "events"
        self._untils = _untils(work, events=self._events)
        self._outside = _outside(work)
        self._now_us = work.taken.now_us
        self.found = Sightings(start_us=max(self._now_us, work.taken.reached_us))
        if not self._events:
            self._take_slots(self._now_us)

    def before(self, first_row: int) -> None:
        """Hear that the catalogue has taken in what comes before a segment."""
        clock = self._work.trigger_clock
        self._of._follow(self._now_us)
        if self._events and first_row < len(clock):
            self._of._book.begin(int(clock[first_row]))

    def segment(self, frames: Sequence[EventFrame], first_row: int, rows: int) -> None:
        """Take in the events of a segment."""
        windows = self._of._windows
        counted = {name: one for name, one in self._of._deployed.counted.items() if name in windows.events()}
        for one in with_ends(frames, counted):
            if one.type in windows.events():
                places = one.frame["row"].to_numpy().astype(np.int64) + first_row
                clock, until = self._work.trigger_clock[places], self._untils[places]
                self._note(windows.take(Events(one.type, one.frame, one.contract.data, clock, until)), one, first_row)
        if rows:
            last = first_row + rows - 1
            self._now_us = int(self._work.trigger_clock[last])
            self._note(windows.advance(int(self._untils[last])), None, first_row)
            reached = self._outside[np.searchsorted(self._outside, first_row) : np.searchsorted(self._outside, last, "right")]
            if self._events and len(reached):
                self._take_slots(int(self._work.trigger_clock[reached[-1]]))

    def end(self) -> Sightings:
        """Let the clock go on to the turn's end, and deadlines pass as far as inputs were read."""
        taken, now_us = self._work.taken, self._work.now_us
        past_us = (now_us if taken.past_us == END_OF_TIME else now_us - 1) if self._events else min(taken.past_us, now_us)
        self._note(self._of._windows.advance(past_us), None, 0)
        self.found.now_us = None if self._events else now_us
        return self.found

    def _take_slots(self, now_us: int) -> None:
        while some := self._of._book.due(now_us, SLOTS_MOST):
            self.found.slots.extend((self._row_of_slot(one.due_us), one) for one in some)

    def _row_of_slot(self, due_us: int) -> int:
        """Give the row before the first one from outside that has reached a time."""
        if not self._events:
            return -1
        at = int(np.searchsorted(self._work.trigger_clock[self._outside], due_us, "left"))
        return int(self._outside[at]) - 1

    def _row_of_deadline(self, due_us: int) -> int:
        """Give the row before the first one that is beyond a time."""
        if not self._events:
            return int(np.searchsorted(self._untils, due_us, "left")) - 1
        return int(np.searchsorted(self._work.trigger_clock, due_us, "right")) - 1

    def _note(self, found: Sequence[Found], events: EventFrame | None, first_row: int) -> None:
        for one in found:
            for said in one.outcome.verdicts:
                if said.pairs.height:
                    self.found.verdicts.append(self._placed(one.event, said, events, first_row))
            if one.outcome.late is not None and events is not None:
                self.found.late.extend(self._late(one.outcome.late, events, first_row))
                self.found.disproofs.extend(self._disproof(back, events, first_row) for back in one.outcome.taken_back)

    def _placed(self, event: str, said: Verdicts, events: EventFrame | None, first_row: int) -> Verdict:
        by_clock = said.row < 0
        rows = np.array([self._row_of_deadline(due_us) for due_us in said.clock_us.tolist()], np.int64)
        if events is not None:
            frame_rows = events.frame["row"].to_numpy().astype(np.int64) + first_row
            rows = np.where(by_clock, rows, frame_rows[said.row])
        return Verdict(event, first_row, rows, np.where(by_clock, said.clock_us, NEVER), said)

    def _disproof(self, back: TakenBack, events: EventFrame, first_row: int) -> Disproof:
        event = events.frame.row(back.row, named=True)
        row = event["row"] + first_row
        key = event_key(event["tenant"], event["source"], event["id"])
        correlation, hops = event["correlationid"] or event["id"], event["hops"] or 0
        met = MetEvent(event["id"], event["source"], event["time"], correlation, {}, key, hops)
        return Disproof(row, int(self._work.clock[row]), back, met)

    def _late(self, late: pl.DataFrame, events: EventFrame, first_row: int) -> Iterator[Late]:
        places = late["row"].to_numpy()
        frame = events.frame[places]
        clock = self._work.trigger_clock[frame["row"].to_numpy().astype(np.int64) + first_row].tolist()
        listed = zip(late["tenant"], late["flow"], frame["id"], frame["time"], clock, late["key"], strict=True)
        for tenant, flow, event, time, at, key in listed:
            yield Late(tenant=tenant, flow=flow, event=event, time=time, appended_at=at, key=key)


def _outside(work: DecodedWork) -> Ints:
    """Give the rows that come from outside: not what flows emitted."""
    rows, first = [np.empty(0, np.int64)], 0
    for chunk in work.taken.chunks:
        if is_events(chunk.topic):
            if not chunk.source.startswith(OWN):
                rows.append(np.arange(first, first + len(chunk.records)))
            first += len(chunk.records)
    return np.concatenate(rows)


def _untils(work: DecodedWork, *, events: bool) -> Ints:
    """Give the time up to which deadlines have passed before each row (operators/turn/times.py)."""
    if events:
        return work.trigger_clock - 1
    listed = bounds(work.taken.chunks, work.taken.past_us, work.taken.from_us)
    if not listed:
        return np.full(len(work.clock), -1, np.int64)
    rows, times = (np.array(column, np.int64) for column in zip(*listed, strict=True))
    at = np.searchsorted(rows, np.arange(len(work.clock)), "right") - 1
    return np.asarray(np.where(at >= 0, times[np.maximum(at, 0)], -1))
