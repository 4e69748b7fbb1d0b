"""Find the events of a turn that waits may be found for: their wait keys, and their values for those that are met.

Reads: decoded segments, the shapes of waits. Emits: lists by event type and segment. State: none. Cost: a microsecond a row and
shape of event types that somebody may wait for; values become lists once, and a record only where an event meets a wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy.typing as npt

from operators.advance.met_parts import put
from operators.execution.wait_shapes import Shape, WaitShapes, Way
from operators.turn.incoming import Arrived
from schemas.decode import EventFrame
from schemas.effects import MetEvent
from schemas.ids import event_key, key_text, wait_key

ENVELOPE = ("id", "source", "time", "correlationid", "hops")


def arrived_in(events: EventFrame, first_row: int, clock: npt.NDArray[Any], shapes: WaitShapes) -> Arrived | None:
    """Give the events of one frame that waits may be found for; None if there are none."""
    known = shapes.of(events.type)
    if not known or not events.height:
        return None
    numbers, tenants, sources, names, times = events.columns(("row", "tenant", "source", "id", "time"))
    keys: list[tuple[int, ...]] = [()] * events.height
    look_back: set[int] = set()
    for shape in known:
        for at, key in _keys_of(events, tenants, shape):
            keys[at] = (*keys[at], key)
            if shape.look_back_us:
                look_back.add(key)
    rows = [row + first_row for row in numbers]
    identities = [event_key(*identity) for identity in zip(tenants, sources, names, strict=True)]
    values = _Values(events, shapes.reads(events.type), identities)
    return Arrived(
        rows,
        clock[rows].tolist(),
        keys,
        times,
        identities,
        tenants,
        frozenset(look_back),
        values.event,
        values.part,
    )


def _keys_of(events: EventFrame, tenants: Sequence[str], shape: Shape) -> Iterator[tuple[int, int]]:
    """Give (place, wait key) of the rows that have all values of a shape."""
    columns = [[key_text(value) for value in column] for column in events.lists(shape.keys)]
    if len(columns) == 1:
        name = shape.keys[0]
        for at, text in enumerate(columns[0]):
            if text is not None:
                yield at, wait_key(tenants[at], events.type, ((name, text),))
        return
    for at, texts in enumerate(zip(*columns, strict=True) if columns else [()] * len(tenants)):
        if None not in texts:
            yield at, wait_key(tenants[at], events.type, list(zip(shape.keys, texts, strict=True)))


class _Values:
    """The values of one frame, as lists by column, made when the first event of it is met."""

    def __init__(self, events: EventFrame, ways: Sequence[Way], keys: Sequence[bytes]) -> None:
        self._events = events
        self._keys = keys  # ids.event_key
        self._ways = ways
        self._found: dict[tuple[Way, ...], list[tuple[Way, list[Any], Way]]] = {}

    def event(self, at: int) -> MetEvent:
        """Give one event, with all that some wait on its type reads."""
        return self.part(at, self._ways)

    def part(self, at: int, ways: Sequence[Way]) -> MetEvent:
        """Give one event with these parts of its data, which some wait on its type reads."""
        ids, sources, times, correlations, hops = self._envelope
        data: dict[str, Any] = {}
        for way, column, inner in self._parts(ways):
            value = column[at]
            for name in inner:
                value = value.get(name) if isinstance(value, dict) else None
            if len(way) == 1:
                data[way[0]] = value
            else:
                put(data, way, value)
        return MetEvent(ids[at], sources[at], times[at], correlations[at] or ids[at], data, self._keys[at], hops[at] or 0)

    def _parts(self, ways: Sequence[Way]) -> list[tuple[Way, list[Any], Way]]:
        """Give for each way the column that it begins in, and what is left of it within."""
        known = tuple(ways)
        found = self._found.get(known)
        if found is None:
            columns = dict(zip(self._ways, self._columns, strict=True))
            begins = [(way, next(end for end in range(1, len(way) + 1) if way[:end] in columns)) for way in known]
            found = self._found[known] = [(way, columns[way[:end]], way[end:]) for way, end in begins]
        return found

    @cached_property
    def _envelope(self) -> list[list[Any]]:
        return self._events.columns(ENVELOPE)

    @cached_property
    def _columns(self) -> list[list[Any]]:
        return self._events.lists([".".join(way) for way in self._ways])
