"""What a turn works on, row by row: events that start flows, events that waits may be found for, and records for executions.

A row is an event's place in the turn's total order. A record for an execution comes before the event row that it names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from operators.advance.advance import Runnable
from operators.execution.execution import Cause
from operators.execution.wait_shapes import Way
from operators.turn.times import END_OF_TIME
from schemas.effects import MetEvent
from schemas.ids import execution_id, twin_id
from schemas.records import Decision, OperatorCommand, Result

Beside = Literal["", "runs", "absent"]
STARTS: Final = -1  # a candidate that starts its flow; else the place of the trigger that watches first


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One event that fits one flow. Candidates of a batch are sorted by (row, behind, flow).

    `known`: what causes it was taken in before, by a window or a schedule, so the execution's id alone tells whether it is new.
    """

    row: int
    now_us: int  # the clock at this row
    key: bytes  # of the event: ids.event_key
    tenant: str
    cause: Cause
    runnable: Runnable
    trigger: str
    env: Mapping[str, Any]
    watch: int = STARTS
    known: bool = False
    behind: int = 0  # the time of what the clock sets going: it comes behind all starts of its row
    shadow: Beside = ""  # it starts a shadow, or is where one does not start
    beside: str = ""  # of what watches: the version in shadow with which it is compared, of a shadow the one in force

    def identity(self, namespace: str) -> bytes:
        """Give the id of the execution that it starts."""
        found = execution_id(namespace, self.tenant, self.runnable.program.flow, self.key, self.cause.time_us)
        return twin_id(found) if self.shadow else found


class Arrived(msgspec.Struct, frozen=True):
    """Events of one type that waits may be found for, by rising row; each list has one item an event."""

    rows: list[int]
    nows: list[int]
    keys: list[tuple[int, ...]]  # ids.wait_key of each shape of waits, where it has one
    times: list[int]  # of the events themselves
    events: list[bytes]  # ids.event_key
    tenants: list[str]
    look_back: frozenset[int]  # wait keys among `keys` under which the event is remembered
    event: Callable[[int], MetEvent]  # by place in the lists
    part: Callable[[int, Sequence[Way]], MetEvent]  # the same, with some parts of its data only


class Retraction(msgspec.Struct, frozen=True):
    """A late event disproves the verdict of a window that started an execution."""

    tenant: str
    execution: str
    event: MetEvent


class Input(msgspec.Struct, frozen=True):
    """One record for one execution, before the event row `row`."""

    row: int
    now_us: int
    record: Result | Decision | OperatorCommand | Retraction
    position: tuple[str, str, int, int]  # source, topic, partition, position
    past_us: int = END_OF_TIME  # under the wall clock: deadlines pass before it up to here, if its row says no less


class Arrivals:
    """The events of a turn that waits may be found for, by wait key."""

    def __init__(self, arrived: Sequence[Arrived]) -> None:
        self.all = arrived
        self._by_key: dict[int, list[tuple[int, Arrived, int]]] = {}
        for one in arrived:
            for at, keys in enumerate(one.keys):
                for key in keys:
                    self._by_key.setdefault(key, []).append((one.rows[at], one, at))

    def __bool__(self) -> bool:
        return bool(self.all)

    def of(self, key: int) -> Sequence[tuple[int, Arrived, int]]:
        """Give (row, events, place in them) of a wait key, by rising row."""
        return self._by_key.get(key, ())

    def between(self, key: int, start: int, end: int) -> Sequence[tuple[int, Arrived, int]]:
        """Give those of a stretch of rows."""
        listed = self._by_key.get(key, ())
        if not listed or (listed[0][0] >= start and listed[-1][0] < end):
            return listed
        return [one for one in listed if start <= one[0] < end]

    def next(self, key: int, row: int) -> tuple[int, Arrived, int] | None:
        """Give the first of a wait key from a row on."""
        listed = self._by_key.get(key)
        if not listed or listed[0][0] >= row:
            return listed[0] if listed else None
        at = bisect_left(listed, row, key=_row)
        return listed[at] if at < len(listed) else None

    def from_row(self, row: int) -> list[tuple[int, Arrived, int]]:
        """Give all from a row on, by rising row."""
        found = [(at, one, index) for one in self.all for index, at in enumerate(one.rows) if at >= row]
        return sorted(found, key=_row)

    def row_of(self, event: bytes, start: int, end: int) -> int | None:
        """Give the first row of a stretch that holds an event; None if none does."""
        rows = (row for one in self.all for row, key in zip(one.rows, one.events, strict=True) if key == event)
        return min((row for row in rows if start <= row < end), default=None)

    def oldest(self, until_us: int) -> dict[int, int]:
        """Give by wait key the earliest time of its events, where that is not behind a time."""
        found: dict[int, int] = {}
        for one in self.all:
            if min(one.times) > until_us:
                continue
            for keys, time_us in zip(one.keys, one.times, strict=True):
                if time_us <= until_us:
                    found.update((key, min(time_us, found.get(key, time_us))) for key in keys)
        return found

    def keys(self) -> Collection[int]:
        """Give every wait key of the turn."""
        return self._by_key.keys()


def _row(place: tuple[int, Arrived, int]) -> int:
    return place[0]
