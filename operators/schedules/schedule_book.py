"""The schedules in force and the next slot of each.

Reads: what is deployed, the clock, the places stored at the last commit. Emits: slots that are due, in order of time; places to
store. State: one place a (tenant, flow, trigger, zone): the local time up to which its slots are accounted for; a heap of the
next ones. Cost: some 10 µs a slot; the same expression in the same zone is worked out once.
A redeployed flow keeps its place, so a slot runs once whatever is deployed; a new one begins now. A flow for all tenants runs
once a slot, for the tenant `*`: a schedule belongs to nobody's event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Literal, NamedTuple

from operators.schedules.schedule import Slot, jitter_us, local_us_of, moment_of_slot, next_slot, slots_between
from schemas.envelope import BEGUN_US
from schemas.ports import SchedulePlace
from schemas.program import Schedule

MISSED_US: Final = 60_000_000  # what is seen later than this was missed: cron looks once a minute
_LOOKS_BACK_US: Final = (3_600_000_000, 86_400_000_000, 32 * 86_400_000_000)
NEVER_US: Final = 1 << 62


class ScheduleKey(NamedTuple):
    """One trigger in one zone; `trigger` is its name, empty where the flow has one."""

    tenant: str
    flow: str
    trigger: str
    zone: str


class DueSlot(NamedTuple):
    """A slot whose time has come. Sorted by (due_us, key)."""

    due_us: int  # with its jitter
    key: ScheduleKey
    version: str
    place: int  # the trigger's among those of the version
    slot: Slot


@dataclass(slots=True)
class _Entry:
    key: ScheduleKey
    version: str
    place: int
    schedule: Schedule
    jitter_us: int
    after_us: int | None  # None: the clock has not begun
    due_us: int = NEVER_US


class ScheduleBook:
    """The schedules of one engine. What is due is given out once."""

    def __init__(self, clock: Literal["wall", "events"], places: Iterable[SchedulePlace] = ()) -> None:
        """Take in the places stored so far; they serve schedules that are put in force with `follow`."""
        self._missing = clock == "wall"  # the event clock never stands still while something runs
        self._stored = {ScheduleKey(*one[:4]): (one.local_us, one.fold) for one in places}
        self._entries: dict[ScheduleKey, _Entry] = {}
        self._heap: list[tuple[int, ScheduleKey]] = []
        self._by_flow: dict[tuple[str, str], list[ScheduleKey]] = {}
        self._changed: dict[ScheduleKey, None] = {}
        self._unbegun: set[ScheduleKey] = set()

    def follow(self, tenant: str, flow: str, version: str, schedules: Sequence[tuple[int, Schedule]], now_us: int) -> None:
        """Put the schedules of a flow's version in force instead of those before; none takes the flow out.

        Below BEGUN_US the clock has not begun.
        """
        old = {key: self._entries.pop(key) for key in self._by_flow.pop((tenant, flow), ())}
        listed = []
        for place, schedule in schedules:
            for zone in schedule.zones:
                key = ScheduleKey(tenant, flow, schedule.name, zone)
                entry = _Entry(key, version, place, schedule, jitter_us(key, schedule.jitter_us), self._since(key, old, now_us))
                self._entries[key] = entry
                listed.append(key)
                self._plan(entry)
        if listed:
            self._by_flow[tenant, flow] = listed
        self._changed.update(dict.fromkeys([*(key for key in old if key not in self._entries), *listed]))

    def begin(self, now_us: int) -> None:
        """Hear the first time of a clock: schedules in force before it begin there. What timers alone moved has not begun."""
        if now_us < BEGUN_US:
            return
        for key in self._unbegun:
            entry = self._entries.get(key)
            if entry is not None and entry.after_us is None:
                entry.after_us = now_us
                self._plan(entry)
                self._changed[key] = None
        self._unbegun.clear()

    def next_due_us(self) -> int | None:
        """Tell when the next slot falls due."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def due(self, until_us: int, most: int) -> list[DueSlot]:
        """Take the first slots that are due at a time, in order: at most `most`, then ask again."""
        found: list[DueSlot] = []
        while len(found) < most and (due_us := self.next_due_us()) is not None and due_us <= until_us:
            _, key = heappop(self._heap)
            found.extend(self._take(self._entries[key], until_us))
        return found

    def take_changes(self) -> tuple[list[SchedulePlace], list[ScheduleKey]]:
        """Give the places to store, and those to forget, since the last call."""
        changed, self._changed = self._changed, {}
        places = [_stored(entry) for key in changed if (entry := self._entries.get(key)) and entry.after_us is not None]
        return places, [key for key in changed if key not in self._entries]

    def _since(self, key: ScheduleKey, old: dict[ScheduleKey, _Entry], now_us: int) -> int | None:
        if key in old:
            since_us = old[key].after_us
        elif key in self._stored:
            since_us = moment_of_slot(*self._stored.pop(key), key.zone)
        else:
            since_us = now_us if now_us >= BEGUN_US else None
        if since_us is None:
            self._unbegun.add(key)
        return since_us

    def _plan(self, entry: _Entry) -> None:
        if entry.after_us is None:
            return
        slot = next_slot(entry.schedule.cron, entry.key.zone, entry.after_us)
        entry.due_us = NEVER_US if slot is None else slot.at_us + entry.jitter_us
        if slot is not None:
            heappush(self._heap, (entry.due_us, entry.key))

    def _drop_stale(self) -> None:
        while self._heap:
            due_us, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is not None and entry.due_us == due_us:
                return
            heappop(self._heap)

    def _take(self, entry: _Entry, until_us: int) -> list[DueSlot]:
        """Give what an entry runs now, and go on behind it."""
        cron, zone, after_us = entry.schedule.cron, entry.key.zone, entry.after_us
        assert after_us is not None
        slot = next_slot(cron, zone, after_us)
        assert slot is not None
        runs = True
        if self._missing and entry.schedule.missed != "all":
            slot = last_slot(cron, zone, after_us, until_us - entry.jitter_us) or slot
            runs = entry.schedule.missed == "last" or until_us - slot.at_us - entry.jitter_us <= MISSED_US
        entry.after_us = slot.at_us
        self._changed[entry.key] = None
        self._plan(entry)
        return [DueSlot(slot.at_us + entry.jitter_us, entry.key, entry.version, entry.place, slot)] if runs else []


def last_slot(cron: str, zone: str, after_us: int, until_us: int) -> Slot | None:
    """Give the last slot of a stretch; most often it is near its end."""
    for span_us in _LOOKS_BACK_US:
        if until_us - span_us > after_us and (found := slots_between(cron, zone, until_us - span_us, until_us)):
            return found[-1]
    found = slots_between(cron, zone, after_us, until_us)
    return found[-1] if found else None


def _stored(entry: _Entry) -> SchedulePlace:
    assert entry.after_us is not None
    return SchedulePlace(*entry.key, *local_us_of(entry.after_us, entry.key.zone))
