"""What versions in shadow did → columns, in tables of their own: no row of a shadow stands among those of executions.

Reads: records of the topic `shadows`. Emits: a frame a table. State: none. Cost: 2-4 µs a record.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl

from schemas.ports import Chunk
from sinks.projection.columns import NO_RAW, TIME, Frames, Told, Unreadable, frame_of, read_records, text_of
from sinks.projection.shadow_views import SHADOW_ACTIONS, SHADOW_RUNS, SHADOW_SAID, SHADOW_STEPS


class _Muted(msgspec.Struct, frozen=True):
    action: str
    step: str
    type: str
    params: msgspec.Raw = NO_RAW


class _Said(msgspec.Struct, frozen=True):
    id: str
    kind: str
    step: str
    type: str
    about: str | None = None
    params: msgspec.Raw = NO_RAW


class _Shadowed(msgspec.Struct, frozen=True):
    beside: str
    tenant: str = ""
    history: Told | None = None
    muted: list[_Muted] = []
    said: list[_Said] = []
    absent: bool = False


_shadows = msgspec.json.Decoder(list[_Shadowed])


def _last(history: Told) -> int:
    return history.transitions[-1].at if history.transitions else history.started


def shadow_frames(chunks: Sequence[Chunk], first: int, bad: list[Unreadable]) -> Frames:
    """Give the rows of what ran in shadow, its steps and the commands that it did not send."""
    told = read_records(_shadows, chunks, bad)
    if not told:
        return {}
    records = [(one, one.history) for one in told if one.history is not None]
    steps = [(one, history, moment) for one, history in records for moment in history.transitions if moment.step]
    muted = [(one, history, command) for one, history in records for command in one.muted]
    return {
        SHADOW_SAID: _said_frame(told),
        SHADOW_RUNS: frame_of(
            {
                "ord": (pl.Int64, range(first, first + len(records))),
                "tenant": (pl.String, [history.tenant for _, history in records]),
                "execution": (pl.String, [one.beside for one, _ in records]),
                "flow": (pl.String, [history.flow for _, history in records]),
                "version": (pl.String, [history.version for _, history in records]),
                "status": (pl.String, [history.status for _, history in records]),
                "trigger_event": (pl.String, [history.event for _, history in records]),
                "started_at": (TIME, [history.started for _, history in records]),
                "happened_at": (TIME, [_last(history) for _, history in records]),
                "absent": (pl.Boolean, [one.absent for one, _ in records]),
            }
        ),
        SHADOW_STEPS: frame_of(
            {
                "ord": (pl.Int64, range(first, first + len(steps))),
                "tenant": (pl.String, [history.tenant for _, history, _ in steps]),
                "execution": (pl.String, [one.beside for one, _, _ in steps]),
                "step": (pl.String, [moment.step for _, _, moment in steps]),
                "kind": (pl.String, [moment.kind for _, _, moment in steps]),
            }
        ),
        SHADOW_ACTIONS: frame_of(
            {
                "tenant": (pl.String, [history.tenant for _, history, _ in muted]),
                "execution": (pl.String, [one.beside for one, _, _ in muted]),
                "action": (pl.String, [command.action for _, _, command in muted]),
                "step": (pl.String, [command.step for _, _, command in muted]),
                "type": (pl.String, [command.type for _, _, command in muted]),
                "params": (pl.String, [text_of(command.params) for _, _, command in muted]),
            }
        ),
    }


def _said_frame(told: Sequence[_Shadowed]) -> pl.DataFrame:
    """Give what was emitted and called on either side."""
    said = [(one, one.tenant if one.history is None else one.history.tenant, word) for one in told for word in one.said]
    return frame_of(
        {
            "tenant": (pl.String, [tenant for _, tenant, _ in said]),
            "execution": (pl.String, [one.beside for one, _, _ in said]),
            "in_shadow": (pl.Boolean, [one.history is not None for one, _, _ in said]),
            "id": (pl.String, [word.id for _, _, word in said]),
            "kind": (pl.String, [word.kind for _, _, word in said]),
            "step": (pl.String, [word.step for _, _, word in said]),
            "type": (pl.String, [word.type for _, _, word in said]),
            "about": (pl.String, [word.about for _, _, word in said]),
            "params": (pl.String, [text_of(word.params) for _, _, word in said]),
        }
    )
