"""Which parts of an event a wait reads: what it binds must not depend on who else waits for such events.

Reads: the state of the execution that waits, an event with all that some wait reads. Emits: the event with this wait's parts.
State: none. Cost: a microsecond a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from operators.execution.execution import State
from operators.execution.run import Runnable
from operators.execution.wait_shapes import Way, watched_ways
from schemas.effects import MetEvent


def reads_of(runnable: Runnable, state: State | None, token: int) -> Sequence[Way]:
    """Give the parts that a token reads of the event it waits for; () if it does not wait for an event."""
    if state is None:
        return ()
    rest = state.rest
    if rest is not None and rest.watch is not None:
        return watched_ways(runnable.program, rest.watch.trigger, rest.watch.reached)
    if rest is not None and rest.hidden is not None and rest.hidden.token == token:
        return watched_ways(runnable.program, rest.hidden.trigger, 0)
    for parked in state.parked:
        if parked.token == token:
            code = runnable.codes.get(parked.step)
            return () if code is None else code.ways
    return ()


def part_of(event: MetEvent, ways: Iterable[Way]) -> MetEvent:
    """Give an event with these parts of its data."""
    data: dict[str, Any] = {}
    for way in ways:
        here: Any = event.data
        for name in way:
            here = here.get(name) if isinstance(here, dict) else None
        put(data, way, here)
    return msgspec.structs.replace(event, data=data)


def put(data: dict[str, Any], way: Way, value: Any) -> None:
    """Put a value where a way leads; the part of another that is there already stays."""
    for name in way[:-1]:
        inner = data.get(name)
        if not isinstance(inner, dict):
            inner = data[name] = {}
        data = inner
    data[way[-1]] = value
