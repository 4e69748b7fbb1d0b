"""Ends of flows as windows count them: a frame of `flow.ended` becomes a frame for each way in which some window looks at ends.

Reads: frames, which ends are counted. Emits: frames whose data are `after.<flow>.<part>`, outputs by their types; one that has
another type by now is missing. State: none. Cost: a few µs an end and way; nothing where no window counts ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from operators.triggers.after import TOLD, end_env, fits, output_type
from schemas.contracts import EventContract
from schemas.decode import EventFrame, key_rows
from schemas.expression.scope import ERROR
from schemas.expression.types import STRING, Type
from schemas.frames import dtype_of
from schemas.internal import FLOW_ENDED
from schemas.program import After
from schemas.topics import FLOW_EVENTS

DATA: Final = ("flow", *TOLD)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def with_ends(frames: Iterable[EventFrame], counted: Mapping[str, After]) -> Iterator[EventFrame]:
    """Give frames, and behind those that tell of ends what windows make of them."""
    for one in frames:
        yield one
        if one.type == FLOW_ENDED and counted:
            ends = key_rows(one.frame, DATA, one.contract.data)
            for name, trigger in counted.items():
                yield from _counted(one, ends, name, trigger)


def _counted(events: EventFrame, ends: list[dict[str, Any]], name: str, trigger: After) -> Iterator[EventFrame]:
    places = [place for place, ended in enumerate(ends) if fits(trigger, ended)]
    if not places:
        return
    data = data_of(trigger)
    rows = [_nested(trigger, end_env(trigger, ends[place]), data) for place in places]
    told = pl.Series("data", rows, dtype=dtype_of(data))
    frame = events.frame[np.array(places)].with_columns(told)
    yield EventFrame(name, frame, EventContract(event=name, topic=FLOW_EVENTS, data=data))


def data_of(trigger: After) -> Type:
    """Give the type of what windows see of an end: `after.<flow>`, of which one is there."""
    ends = []
    for at, flow in enumerate(trigger.flows):
        of = {"output": output_type(trigger, at), "error": ERROR}
        parts = tuple((part, _maybe(of.get(part, STRING))) for part in TOLD)
        ends.append((flow, Type("record", optional=True, fields=parts)))
    return Type("record", fields=(("after", Type("record", fields=tuple(ends))),))


def _maybe(kind: Type) -> Type:
    return msgspec.structs.replace(kind, optional=True)


def _nested(trigger: After, env: Mapping[str, Any], data: Type) -> dict[str, Any]:
    (_, after), *_ = data.fields
    flows = {flow: {part: env[f"after.{flow}.{part}"] for part in TOLD} for flow in trigger.flows}
    return {"after": _frozen({flow: end if end["status"] else None for flow, end in flows.items()}, after)}


def _frozen(value: Any, kind: Type) -> Any:
    """Give a value as columns hold it: what is of any type as its JSON."""
    if value is None:
        return None
    if kind.name == "any":
        return _encoder.encode(value)
    if kind.item is not None:
        return [_frozen(item, kind.item) for item in value]
    if kind.name == "record":
        return {name: _frozen(value.get(name), part) for name, part in kind.fields}
    return value
