"""Candidates of flows that start after others: the end of a flow is an event of ours, read like any other.

Reads: frames of `flow.ended`, the catalogue. Emits: candidates. State: none. Cost: a look-up an end, a dict a start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from flows.engine.shadows import with_shadow
from flows.engine.work import Segment
from flows.engine.world import EngineWorld
from operators.execution.execution import Cause
from operators.triggers.after import PARTS, after_env, gather_text, gathers
from operators.triggers.lanes import SHADOW, WHOLE, Lane
from operators.turn.deployed import Deployed
from operators.turn.incoming import STARTS, Beside, Candidate
from schemas.decode import EventFrame, key_rows
from schemas.ids import event_key
from schemas.internal import FLOW_ENDED
from schemas.program import After

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
        started: Lane | None = None
        gathering: dict[str, str] = {}  # by flow the version in force that gathers this end
        for lane, place, trigger in deployed.followers(tenant, ended["flow"]):
            ready = world.runnable(lane.version)
            env = None if lane == started else after_env(trigger, ready.program, ended)
            key, at = event_key(tenant, source, event), row + first_row
            if env is not None and _takes(lane, tenant, trigger, {**ended, **env}, key):
                started = lane
                watch = place if gathers(trigger) else STARTS
                cause = Cause(event, source, time_us, correlation or event, hops or 0)
                now_us = int(clock[at])
                shadow: Beside = "runs" if lane.side == SHADOW else ""
                found = Candidate(at, now_us, key, tenant, cause, ready, trigger.name, env, watch, shadow=shadow)
                yield from _compared(found, (lane, trigger), {**ended, **env}, known, gathering)


def _compared(
    found: Candidate,
    of: tuple[Lane, After],
    env: Mapping[str, Any],
    known: tuple[Deployed, EngineWorld],
    gathering: dict[str, str],
) -> Iterator[Candidate]:
    """Give a start and what is to be compared with it. `gathering` notes what the version in force gathers."""
    (deployed, world), (lane, trigger) = known, of
    beside = deployed.lanes(found.tenant, lane.flow)[-1]
    if lane.side == SHADOW:
        yield replace(found, beside=gathering.get(lane.flow, ""))
        return
    if found.watch != STARTS and gather_text(trigger, env) is not None:
        gathering[lane.flow] = lane.version
    if beside.side == SHADOW and _takes(beside, found.tenant, trigger, env, found.key):
        yield from with_shadow(found, world.runnable(beside.version))
    else:
        yield found


def _takes(lane: Lane, tenant: str, trigger: After, env: Mapping[str, Any], key: bytes) -> bool:
    """Tell whether a lane takes an end; what belongs together by a key of the trigger goes one way together."""
    if lane.side == WHOLE:
        return True
    if not gathers(trigger):
        return lane.takes(tenant, env, key.hex())
    return lane._replace(entity=None).takes(tenant, env, gather_text(trigger, env))
