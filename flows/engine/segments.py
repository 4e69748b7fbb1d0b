"""Cut a turn's chunks where what is deployed changes, and decode each piece under the contracts that hold for it.

Reads: chunks in total order. Emits: segments, dead letters of bad records, the clock at each row. State: the registry takes
in the control records it passes. Cost: one columnar decode a segment and event type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from flows.engine import letters
from flows.engine.inputs import UNREADABLE, outcomes_aside, read_inputs
from flows.engine.progress import pasts
from flows.engine.sharing import Sharing
from flows.engine.work import DecodedWork, Segment, Taken
from operators.turn.times import END_OF_TIME
from schemas.decode import Decoded, DecodeRules, decode
from schemas.errors import BadRecord, InvalidInput
from schemas.ports import Chunk
from schemas.records import Control, DeadLetter
from schemas.registry import Registry
from schemas.topics import CONTROL, is_events


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """How the engine reads events."""

    clock: Literal["wall", "events"]
    default_tenant: str | None = None


_control_decoder: Final = msgspec.json.Decoder(Control)


def decode_turn(taken: Taken, registry: Registry, settings: DecodeSettings, sharing: Sharing | None = None) -> DecodedWork:
    """Turn bytes into columns, segment by segment; what waits for its share is as if it had not been read yet."""
    dead = list(taken.poison)
    going: list[Chunk] = []
    segments: list[Segment] = []
    clocks: list[npt.NDArray[np.int64]] = []
    now_us = taken.now_us
    for controls, chunks in _cut(taken.chunks):
        applied = _read_controls(controls, registry, dead, now_us)
        kept = chunks if sharing is None else sharing.divide(chunks, registry, 0 if going else taken.held)
        going += [*controls, *kept]
        events = [chunk for chunk in kept if is_events(chunk.topic)]
        rules = DecodeRules(now_us, settings.clock, settings.default_tenant, few=settings.clock == "wall")
        decoded = decode(events, registry, rules)
        segments.append(Segment(applied, decoded))
        clock = _clock(decoded, now_us, settings.clock)
        dead.extend(letters.bad_event(bad, int(clock[bad.row])) for bad in decoded.bad)
        clocks.append(clock)
        now_us = int(clock[-1]) if len(clock) else now_us
    clock = np.concatenate(clocks) if clocks else np.empty(0, np.int64)
    past_us = max(taken.from_us, taken.past_us if sharing is None else sharing.past_us(taken.past_us))
    taken = replace(taken, chunks=going, past_us=past_us)
    wall = settings.clock == "wall"
    before = pasts(going, past_us, taken.from_us) if wall else [END_OF_TIME] * len(going)
    reached = np.maximum(clock, taken.reached_us)
    read = read_inputs(going, lambda row: int(reached[row - 1]) if row else max(taken.now_us, taken.reached_us), before)
    outcomes = read.outcomes + outcomes_aside(taken.poison)
    return DecodedWork(taken, segments, reached, [*dead, *read.dead], outcomes, now_us, clock, read.inputs)


def _cut(chunks: Sequence[Chunk]) -> Iterable[tuple[list[Chunk], list[Chunk]]]:
    """Give (control chunks, other chunks behind them) in order."""
    controls: list[Chunk] = []
    others: list[Chunk] = []
    for chunk in chunks:
        if chunk.topic == CONTROL:
            if others:
                yield controls, others
                controls, others = [], []
            controls.append(chunk)
        else:
            others.append(chunk)
    if controls or others:
        yield controls, others


def _read_controls(chunks: Sequence[Chunk], registry: Registry, dead: list[DeadLetter], now_us: int) -> list[Control]:
    applied: list[Control] = []
    for chunk in chunks:
        for index, data in enumerate(chunk.records):
            try:
                control = read_control(data)
                register(registry, control)
            except BadRecord as error:
                dead.append(letters.bad_control(chunk, index, error, now_us))
            else:
                applied.append(control)
    return applied


def read_control(data: bytes) -> Control:
    """Read a control record; raises BadRecord."""
    try:
        return _control_decoder.decode(data)
    except UNREADABLE as error:
        raise BadRecord("malformed-control", str(error)) from error


def register(registry: Registry, control: Control) -> None:
    """Let the registry take in a control record; raises BadRecord for one it cannot read."""
    try:
        registry.apply(control.key, control.value)
    except (InvalidInput, ValueError) as error:
        raise BadRecord("bad-contract", f"{control.key}: {error}") from error


def _clock(decoded: Decoded, start_us: int, clock: Literal["wall", "events"]) -> npt.NDArray[np.int64]:
    """Give the clock at each row: under the event clock the highest accepted event time so far."""
    times = np.full(decoded.rows, start_us, dtype=np.int64)
    if clock == "events":
        for frame in decoded.frames:
            times[frame.frame["row"].to_numpy()] = frame.frame["time"].to_numpy()
        if decoded.rows:
            times[0] = max(int(times[0]), start_us)
            np.maximum.accumulate(times, out=times)
    return times
