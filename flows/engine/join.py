"""Match decoded events to flows, and join to each match the values that its program reads.

Reads: decoded segments, the catalogue. Emits: candidates sorted by (row, flow). State: the catalogue takes in the control
records it passes. Cost: columnar up to the pairs; one dict a started execution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from flows.engine.work import DecodedWork, JoinedWork, Matched, MatchedWork
from operators.advance import Runnable
from operators.deployed import Deployed
from operators.execution import Cause
from operators.match import match_events
from operators.turn import Candidate
from schemas.decode import key_rows, select_keys
from schemas.errors import BadRecord
from schemas.ids import event_key
from schemas.records import Control

ENVELOPE = ("id", "source", "time", "correlationid", "hops")
Refuse = Callable[[Control, BadRecord], None]


def match_turn(work: DecodedWork, deployed: Deployed, refuse: Refuse) -> MatchedWork:
    """Give the pairs (row, entry) of every event type of every segment."""
    matched: list[Matched] = []
    first_row = 0
    for segment in work.segments:
        for control in segment.controls:
            try:
                deployed.apply(control)
            except BadRecord as error:
                refuse(control, error)
        started = [(one, table) for one in segment.decoded.frames if (table := deployed.table(one.type)) is not None]
        found = match_events([(one.frame, table) for one, table in started], select_keys)
        pairs = zip(started, found, strict=True)
        matched.extend(Matched(first_row, one, some) for (one, _), some in pairs if some.height)
        first_row += segment.decoded.rows
    return MatchedWork(work, matched)


def join_turn(work: MatchedWork, deployed: Deployed, runnable: Callable[[str], Runnable]) -> JoinedWork:
    """Give the candidates of a turn, in total order."""
    clock = work.decoded.clock
    candidates: list[Candidate] = []
    for one in work.matched:
        candidates.extend(_candidates(one, deployed, runnable, clock))
    if len(work.matched) > 1:
        candidates.sort(key=_place)
    return JoinedWork(work.decoded, candidates)


def _place(candidate: Candidate) -> tuple[int, str]:
    return candidate.row, candidate.runnable.program.flow


def _candidates(one: Matched, deployed: Deployed, runnable: Callable[[str], Runnable], clock: Any) -> Iterable[Candidate]:
    entries = [deployed.entry(entry) for entry in one.pairs["entry"].to_list()]
    runnables = [runnable(version) for version, _ in entries]
    frame = _rows_of(one)
    wanted = tuple(sorted({key for ready in {id(r): r for r in runnables}.values() for key, _ in ready.program.reads}))
    values = key_rows(frame, wanted, one.events.contract.data)
    rows = [row + one.first_row for row in frame["row"].to_list()]
    nows = clock[rows].tolist()
    envelope = zip(frame["tenant"].to_list(), *(frame[name].to_list() for name in ENVELOPE), strict=True)
    for index, (tenant, event, source, time_us, correlation, hops) in enumerate(envelope):
        ready = runnables[index]
        yield Candidate(
            rows[index],
            nows[index],
            event_key(tenant, source, event),
            tenant,
            Cause(event, source, time_us, correlation or event, hops or 0),
            ready,
            ready.program.triggers[entries[index][1]].name,
            values[index] if len(ready.program.reads) == len(wanted) else _part(values[index], ready),
        )


def _part(values: dict[str, Any], ready: Runnable) -> dict[str, Any]:
    return {key: values[key] for key, _ in ready.program.reads}


def _rows_of(one: Matched) -> pl.DataFrame:
    """Give the matched rows of the frame, one a pair, in the pairs' order."""
    frame, rows = one.events.frame, one.pairs["row"]
    if len(rows) == frame.height and rows.equals(frame["row"]):
        return frame
    return frame[frame["row"].search_sorted(rows)]
