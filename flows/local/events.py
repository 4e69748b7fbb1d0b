"""One event of the reference runner: what it is, under which keys waits find it, and what they may read of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from operators.advance.met_parts import put
from operators.execution.wait_shapes import WaitShapes
from schemas.decode import EventFrame, key_rows
from schemas.effects import MetEvent
from schemas.ids import event_key, key_text, wait_key


class LocalEvent(NamedTuple):
    """An event as waits see it; `at_us` is the clock when it came."""

    at_us: int
    tenant: str
    key: bytes
    keys: frozenset[int]
    met: MetEvent


def local_event(frame: EventFrame, shapes: WaitShapes, at_us: int) -> LocalEvent:
    """Make it of a frame of one row."""
    row = frame.frame.row(0, named=True)
    tenant = row["tenant"]
    key = event_key(tenant, row["source"], row["id"])
    found = (_wait_key(frame, tenant, shape.keys) for shape in shapes.of(frame.type))
    data: dict[str, Any] = {}
    ways = shapes.reads(frame.type)
    names = [".".join(way) for way in ways]
    (values,) = key_rows(frame.frame, names, frame.contract.data)
    for way, name in zip(ways, names, strict=True):
        put(data, way, values[name])
    met = MetEvent(row["id"], row["source"], row["time"], row["correlationid"] or row["id"], data, key, row["hops"] or 0)
    return LocalEvent(at_us, tenant, key, frozenset(one for one in found if one is not None), met)


def _wait_key(frame: EventFrame, tenant: str, names: tuple[str, ...]) -> int | None:
    (values,) = key_rows(frame.frame, names, frame.contract.data)
    pairs = [(name, text) for name in names if (text := key_text(values[name])) is not None]
    return wait_key(tenant, frame.type, pairs) if len(pairs) == len(names) else None
