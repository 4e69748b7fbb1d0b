"""Match decoded events to flows, and join to each match the values that its program reads.

Reads: decoded segments, the catalogue. Emits: candidates sorted by (row, flow). State: the catalogue takes in the control
records it passes. Cost: columnar up to the pairs; one dict a started execution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl

from flows.engine.arrivals import arrived_in
from flows.engine.followers import followers
from flows.engine.mistyped import MistypedCount
from flows.engine.shadows import with_shadow, without_present
from flows.engine.sighted import refused_slots, retractions, sighted
from flows.engine.triggers import Triggers
from flows.engine.work import DecodedWork, JoinedWork, Matched, MatchedWork
from flows.engine.world import EngineWorld
from operators.execution.execution import Cause
from operators.triggers.lanes import SHADOW, WHOLE
from operators.triggers.match import TypeTable, match_events
from operators.turn.deployed import Deployed
from operators.turn.incoming import Arrived, Candidate, Input
from schemas.decode import EventFrame, key_rows, select_keys
from schemas.errors import BadRecord
from schemas.ids import event_key
from schemas.records import Control

ENVELOPE = ("id", "source", "time", "correlationid", "hops")
Refuse = Callable[[Control, BadRecord], None]


def match_turn(work: DecodedWork, deployed: Deployed, refuse: Refuse, triggers: Triggers) -> MatchedWork:
    """Give the pairs (row, entry) of every event type of every segment, and the events that waits may be found for."""
    matched: list[Matched] = []
    arrived: list[Arrived] = []
    mistyped = MistypedCount(deployed, work.clock)
    first_row = 0
    sweep = triggers.sweep(work)
    for segment in work.segments:
        for control in segment.controls:
            try:
                deployed.apply(control)
            except BadRecord as error:
                refuse(control, error)
        sweep.before(first_row)
        started = [part for one in segment.decoded.frames for part in _tables(one, first_row, work, deployed)]
        found = match_events([(one.frame, table) for one, table in started], select_keys)
        pairs = zip(started, found, strict=True)
        matched.extend(Matched(first_row, one, some) for (one, _), some in pairs if some.height)
        mistyped.add(segment.decoded.frames, first_row)
        for one in segment.decoded.frames:
            some_arrived = arrived_in(one, first_row, work.clock, deployed.shapes)
            if some_arrived is not None:
                arrived.append(some_arrived)
        sweep.segment(segment.decoded.frames, first_row, segment.decoded.rows)
        first_row += segment.decoded.rows
    return MatchedWork(work, matched, arrived, sweep.end(), mistyped.records())


def _tables(events: EventFrame, first_row: int, work: DecodedWork, deployed: Deployed) -> Iterator[tuple[EventFrame, TypeTable]]:
    """Give the table of an event type; a frame within whose time a policy changes is cut there."""
    if events.type not in deployed.events() or not events.frame.height:
        return
    clock = work.clock[events.frame["row"].to_numpy() + first_row]
    at = 0
    while at < len(clock):
        table = deployed.table(events.type, int(clock[at]))
        if table is None:
            return
        end = int(np.searchsorted(clock, deployed.table_until_us(events.type), "left"))
        part = events if at == 0 and end == len(clock) else replace(events, frame=events.frame[at:end])
        yield part, table
        at = max(end, at + 1)


def join_turn(work: MatchedWork, deployed: Deployed, world: EngineWorld, namespace: str) -> JoinedWork:
    """Give the candidates of a turn, in total order."""
    clock = work.decoded.clock
    candidates: list[Candidate] = []
    for one in work.matched:
        candidates.extend(_candidates(one, deployed, world, clock))
    found = work.sightings
    seen = sighted(found, deployed, world.runnable, clock)
    candidates.extend(seen)
    behind = list(followers(work.decoded.segments, deployed, world, clock)) if deployed.any_followed else []
    candidates.extend(behind)
    if deployed.shadowed:
        candidates = without_present(candidates)
    if len(work.matched) > 1 or seen or behind or deployed.shadowed:
        candidates.sort(key=_place)
    decoded = _with_retractions(work.decoded, retractions(found, namespace))
    refused = refused_slots(found, world.runnable, decoded.now_us)
    return JoinedWork(decoded, candidates, work.arrived, found.late, refused, work.mistyped)


def _with_retractions(work: DecodedWork, taken_back: list[Input]) -> DecodedWork:
    """Put what takes verdicts back among the records for executions, behind those of its row."""
    return replace(work, inputs=sorted([*work.inputs, *taken_back], key=attrgetter("row"))) if taken_back else work


def _place(candidate: Candidate) -> tuple[int, int, str, str]:
    """Sort by row and flow; a shadow behind the execution that it runs beside."""
    return candidate.row, candidate.behind, candidate.runnable.program.flow, candidate.shadow


def _candidates(one: Matched, deployed: Deployed, world: EngineWorld, clock: Any) -> Iterable[Candidate]:
    entries = one.pairs["entry"].to_list()
    starts = {entry: (world.start(*deployed.entry(entry)), deployed.lane(entry)) for entry in set(entries)}
    shadows = {entry: beside for entry in starts if (beside := deployed.beside(entry)) is not None}
    frame = _rows_of(one)
    read = [start.keys for start, _ in starts.values()] + [lane.keys for _, lane in starts.values()]
    wanted = tuple(sorted({key for keys in (*read, *(lane.keys for lane in shadows.values())) for key in keys}))
    values = key_rows(frame, wanted, one.events.contract.data)
    rows = [row + one.first_row for row in frame["row"].to_list()]
    nows = clock[rows].tolist()
    envelope = zip(frame["tenant"].to_list(), *(frame[name].to_list() for name in ENVELOPE), strict=True)
    for index, (tenant, event, source, time_us, correlation, hops) in enumerate(envelope):
        start, lane = starts[entries[index]]
        key = event_key(tenant, source, event)
        if lane.side != WHOLE and not lane.takes(tenant, values[index], key.hex()):
            continue
        found = Candidate(
            rows[index],
            nows[index],
            key,
            tenant,
            Cause(event, source, time_us, correlation or event, hops or 0),
            start.runnable,
            start.name,
            values[index] if len(start.keys) == len(wanted) else {key: values[index][key] for key in start.keys},
            start.watch,
            shadow="runs" if lane.side == SHADOW else "",
        )
        beside = shadows.get(entries[index])
        if beside is None or not beside.takes(tenant, values[index], key.hex()):
            yield found
        else:
            yield from with_shadow(found, world.runnable(beside.version))


def _rows_of(one: Matched) -> pl.DataFrame:
    """Give the matched rows of the frame, one a pair, in the pairs' order."""
    frame, rows = one.events.frame, one.pairs["row"]
    if len(rows) == frame.height and rows.equals(frame["row"]):
        return frame
    return frame[frame["row"].search_sorted(rows)]
