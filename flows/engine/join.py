"""Match decoded events to flows, and join to each match the values that its program reads.

Reads: decoded segments, the catalogue. Emits: candidates sorted by (row, flow). State: the catalogue takes in the control
records it passes. Cost: columnar up to the pairs; one dict a started execution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flows.engine.arrivals import arrived_in
from flows.engine.followers import followers
from flows.engine.mistyped import MistypedCount
from flows.engine.shadows import with_shadow, without_present
from flows.engine.sighted import refused_slots, retractions, sighted
from flows.engine.triggers import Triggers
from flows.engine.work import DecodedWork, JoinedWork, Matched, MatchedWork
from flows.engine.world import EngineWorld, Start
from operators.execution.execution import Cause
from operators.triggers.lanes import SHADOW, WHOLE, Lane
from operators.triggers.match import TypeTable, match_columns
from operators.turn.deployed import Deployed
from operators.turn.incoming import Arrived, Candidate, Input
from schemas.decode import EventFrame, select_keys
from schemas.errors import BadRecord
from schemas.event_frame import Places
from schemas.ids import event_key
from schemas.records import Control

ENVELOPE = ("id", "source", "time", "correlationid", "hops")
Refuse = Callable[[Control, BadRecord], None]


class _Begun(NamedTuple):
    """What starts by one entry, and what runs in shadow beside it; `keys` are all that must be known of its events."""

    start: Start
    lane: Lane
    beside: Lane | None
    keys: tuple[str, ...]


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
        matched.extend(_matched(started, first_row))
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
    if events.type not in deployed.events() or not events.height:
        return
    clock = work.clock[events.rows() + first_row]
    at = 0
    while at < len(clock):
        table = deployed.table(events.type, int(clock[at]))
        if table is None:
            return
        end = int(np.searchsorted(clock, deployed.table_until_us(events.type), "left"))
        part = events if at == 0 and end == len(clock) else events.at(range(at, end))
        yield part, table
        at = max(end, at + 1)


def _matched(started: Sequence[tuple[EventFrame, TypeTable]], first_row: int) -> Iterator[Matched]:
    """Ask few events one by one, and join many, all types at once."""
    many: list[tuple[EventFrame, TypeTable]] = []
    for events, table in started:
        if not table.rows.suits(events.height):
            many.append((events, table))
            continue
        (tenants,) = events.columns(("tenant",))
        places, entries = table.rows.pairs(tenants, events.lists(table.keys))
        if places:
            yield Matched(first_row, events.at(places), entries)
    found = match_columns([(events.frame, table) for events, table in many], select_keys)
    for (events, _), pairs in zip(many, found, strict=True):
        if pairs.height:
            yield Matched(first_row, events.at(_places(events.frame["row"], pairs["row"])), pairs["entry"].to_list())


def _places(rows: pl.Series, paired: pl.Series) -> Places:
    """Give at which of the rising rows each pair is."""
    return range(len(rows)) if len(paired) == len(rows) and paired.equals(rows) else rows.search_sorted(paired).to_numpy()


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
        alone = len({one.row for one in candidates}) == len(candidates)  # then rows say the order, at a fifth of the cost
        candidates.sort(key=attrgetter("row") if alone else _place)
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
    entries = one.entries
    begun = {entry: _begun(entry, deployed, world) for entry in set(entries)}
    names = tuple(sorted({key for keys in {some.keys for some in begun.values()} for key in keys}))
    values = dict(zip(names, one.events.lists(names), strict=True))
    numbers, *envelope = one.events.columns(("row", "tenant", *ENVELOPE))
    rows = [row + one.first_row for row in numbers]
    each = enumerate(zip(entries, rows, clock[rows].tolist(), *envelope, strict=True))
    for index, (entry, row, now_us, tenant, event, source, time_us, correlation, hops) in each:
        start, lane, beside, _ = begun[entry]
        key = event_key(tenant, source, event)
        if lane.side != WHOLE and not lane.takes(tenant, _env(values, lane.keys, index), key.hex()):
            continue
        found = Candidate(
            row,
            now_us,
            key,
            tenant,
            Cause(event, source, time_us, correlation or event, hops or 0),
            start.runnable,
            start.name,
            {name: values[name][index] for name in start.keys},
            start.watch,
            shadow="runs" if lane.side == SHADOW else "",
        )
        if beside is None or not beside.takes(tenant, _env(values, beside.keys, index), key.hex()):
            yield found
        else:
            yield from with_shadow(found, world.runnable(beside.version))


def _begun(entry: int, deployed: Deployed, world: EngineWorld) -> _Begun:
    lane, place, beside = deployed.entry(entry)
    start = world.start(lane.version, place)
    if beside is None and not lane.keys:
        return _Begun(start, lane, None, start.keys)
    return _Begun(start, lane, beside, (*start.keys, *lane.keys, *(() if beside is None else beside.keys)))


def _env(values: Mapping[str, Sequence[Any]], keys: Iterable[str], index: int) -> dict[str, Any]:
    return {key: values[key][index] for key in keys}
