"""What versions in shadow did → columns, in tables of their own: no row of a shadow stands among those of executions.

Reads: records of the topic `shadows`. Emits: a frame a table. State: none. Cost: 2-4 µs a record.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from schemas.ports import Chunk
from sinks.projection.columns import NO_RAW, TIME, Frames, Told, Unreadable, frame_of, read_records, text_of
from sinks.projection.shadow_views import SHADOW_ACTIONS, SHADOW_RUNS, SHADOW_STEPS


class _Muted(msgspec.Struct, frozen=True):
    action: str
    step: str
    type: str
    params: msgspec.Raw = NO_RAW


class _Shadowed(msgspec.Struct, frozen=True):
    beside: str
    history: Told
    muted: list[_Muted] = []
    absent: bool = False


_shadows = msgspec.json.Decoder(list[_Shadowed])


def _last(history: Told) -> int:
    return history.transitions[-1].at if history.transitions else history.started


def shadow_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of what ran in shadow, its steps and the commands that it did not send."""
    records = read_records(_shadows, chunks, bad)
    if not records:
        return {}
    steps = [(one, moment) for one in records for moment in one.history.transitions if moment.step]
    muted = [(one, command) for one in records for command in one.muted]
    return {
        SHADOW_RUNS: frame_of(
            {
                "ord": (pl.Int64, range(first, first + len(records))),
                "tenant": (pl.String, [one.history.tenant for one in records]),
                "execution": (pl.String, [one.beside for one in records]),
                "flow": (pl.String, [one.history.flow for one in records]),
                "version": (pl.String, [one.history.version for one in records]),
                "status": (pl.String, [one.history.status for one in records]),
                "trigger_event": (pl.String, [one.history.event for one in records]),
                "started_at": (TIME, [one.history.started for one in records]),
                "happened_at": (TIME, [_last(one.history) for one in records]),
                "absent": (pl.Boolean, [one.absent for one in records]),
            }
        ),
        SHADOW_STEPS: frame_of(
            {
                "ord": (pl.Int64, range(first, first + len(steps))),
                "tenant": (pl.String, [one.history.tenant for one, _ in steps]),
                "execution": (pl.String, [one.beside for one, _ in steps]),
                "step": (pl.String, [moment.step for _, moment in steps]),
                "kind": (pl.String, [moment.kind for _, moment in steps]),
            }
        ),
        SHADOW_ACTIONS: frame_of(
            {
                "tenant": (pl.String, [one.history.tenant for one, _ in muted]),
                "execution": (pl.String, [one.beside for one, _ in muted]),
                "action": (pl.String, [command.action for _, command in muted]),
                "step": (pl.String, [command.step for _, command in muted]),
                "type": (pl.String, [command.type for _, command in muted]),
                "params": (pl.String, [text_of(command.params) for _, command in muted]),
            }
        ),
    }
