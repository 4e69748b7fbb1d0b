"""Candidates of flows that start after others: the end of a flow is an event of ours, read like any other.

Reads: frames of `flow.ended`, the catalogue. Emits: candidates. State: none. Cost: a look-up an end, a dict a start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from flows.engine.work import Segment
from flows.engine.world import EngineWorld
from operators.after import PARTS, after_env
from operators.deployed import Deployed
from operators.execution import Cause
from operators.incoming import Candidate
from schemas.decode import EventFrame, key_rows
from schemas.ids import event_key
from schemas.internal import FLOW_ENDED

ENVELOPE = ("tenant", "id", "source", "time", "correlationid", "hops")


def followers(
    segments: Sequence[Segment], deployed: Deployed, world: EngineWorld, clock: npt.NDArray[np.int64]
) -> Iterator[Candidate]:
    """Give what the ends of flows start, by rising row."""
    first_row = 0
    for segment in segments:
        for events in segment.decoded.frames:
            if events.type == FLOW_ENDED:
                yield from _of_frame(events, first_row, (deployed, world), clock)
        first_row += segment.decoded.rows


def _of_frame(
    events: EventFrame, first_row: int, known: tuple[Deployed, EngineWorld], clock: npt.NDArray[np.int64]
) -> Iterator[Candidate]:
    deployed, world = known
    frame = events.frame
    ends = key_rows(frame, PARTS, events.contract.data)
    envelope = frame.select(*ENVELOPE).rows()
    for row, ended, (tenant, event, source, time_us, correlation, hops) in zip(
        frame["row"].to_list(), ends, envelope, strict=True
    ):
        started = ""
        for version, place, trigger in deployed.followers(tenant, ended["flow"]):
            ready = world.runnable(version)
            env = None if ready.program.flow == started else after_env(trigger, ready.program, ended)
            if env is not None:
                started = ready.program.flow
                cause = Cause(event, source, time_us, correlation or event, hops or 0)
                key, at = event_key(tenant, source, event), row + first_row
                now_us = int(clock[at])
                yield Candidate(at, now_us, key, tenant, cause, ready, ready.program.triggers[place].name, env)
