"""The slots of a schedule: when a cron expression runs in a zone, whatever the zone does to its clocks.

Reads: an expression, an IANA zone, a moment. Emits: slots in order of time. State: none. Cost: a microsecond a slot, and
some ten to find the first.
A slot is named by its local time and fold, so a new time-zone table moves it and does not make another. Fixed hours are times
on the clock's face: one that does not exist runs at the end of the gap (several: once), one that exists twice runs the first
time. Hours with `*` or `/` run as real hours pass, in neither way more nor less.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from operators.schedules.cron import Cron, days_of, parse_cron
from schemas.errors import InvalidInput
from schemas.expression.zones import local_of, moment_of, zone_of

DAY_US: Final = 86_400_000_000
LAST_YEAR: Final = 2199
PREVIEW_MAX: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  local times are counted as if they were UTC
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)


class Slot(NamedTuple):
    """One moment of a schedule. `local_us` is the clock's face, counted since 1970 as if it were UTC."""

    at_us: int
    local_us: int
    fold: int

    @property
    def local(self) -> str:
        """Write the local time, as 2026-11-30T18:00."""
        return (_EPOCH + self.local_us * _MICROSECOND).isoformat(timespec="minutes")


def slots(cron: str, zone: str, after_us: int) -> Iterator[Slot]:
    """Give the slots behind a moment, in order of time, up to the year 2199. Raises InvalidInput."""
    return chain.from_iterable(_by_day(parse_cron(cron), named_zone(zone), after_us))


@lru_cache(maxsize=262_144)
def next_slot(cron: str, zone: str, after_us: int) -> Slot | None:
    """Give the first slot behind a moment; None if there is none before the year 2200."""
    return next(slots(cron, zone, after_us), None)


def is_slot(cron: str, zone: str, slot: Slot) -> bool:
    """Tell whether a timetable has a slot."""
    return next_slot(cron, zone, slot.at_us - 1) == slot


def slots_between(cron: str, zone: str, after_us: int, until_us: int, most: int = PREVIEW_MAX) -> list[Slot]:
    """Give the slots after one moment up to and with another, the first `most` of them."""
    found: list[Slot] = []
    for some in _by_day(parse_cron(cron), named_zone(zone), after_us):
        found += some
        if found[-1].at_us > until_us or len(found) >= most:
            break
    return found[: min(most, bisect_right(found, until_us, key=attrgetter("at_us")))]


def moment_of_slot(local_us: int, fold: int, zone: str) -> int:
    """Give the moment of a local time as the zone's table of today says."""
    local = (_EPOCH + local_us * _MICROSECOND).replace(fold=fold)
    return moment_of(local, named_zone(zone))


def local_us_of(us: int, zone: str) -> tuple[int, int]:
    """Give the local time and fold of a moment."""
    local = local_of(us, named_zone(zone))
    return (local.replace(tzinfo=None, fold=0) - _EPOCH) // _MICROSECOND, local.fold


def slot_key(zone: str, trigger: str, slot: Slot) -> bytes:
    """Name a slot, as the cause that an execution's id is made of."""
    return f"slot:{len(zone)}:{zone}{len(trigger)}:{trigger}{slot.local}:{slot.fold}".encode()


def jitter_us(key: tuple[str, ...], most_us: int) -> int:
    """Give how long after its slots a schedule runs: the same each time, spread evenly over schedules."""
    if not most_us:
        return 0
    text = "".join(f"{len(part)}:{part}" for part in key)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % most_us


def named_zone(name: str) -> ZoneInfo:
    """Find a zone. Raises InvalidInput."""
    zone = zone_of(name)
    if zone is None:
        raise InvalidInput(f"'{name}' is not an IANA zone; write one like Europe/Berlin or UTC")
    return zone


def _by_day(cron: Cron, zone: ZoneInfo, after_us: int) -> Iterator[list[Slot]]:
    """Give the slots behind a moment, those of each local day together; no list is empty."""
    times_us = cron.times_us
    for day in _days_from(cron, local_of(after_us, zone).date()):
        midnight_us = (day.toordinal() - _EPOCH_DAY) * DAY_US
        offset_us = _steady_offset(zone, midnight_us)
        if offset_us is None:
            found = [slot for slot in _unsteady(cron, zone, midnight_us) if slot.at_us > after_us]
        else:
            zero_us = midnight_us - offset_us
            left = times_us if zero_us > after_us else times_us[bisect_right(times_us, after_us - zero_us) :]
            found = [Slot(zero_us + time_us, midnight_us + time_us, 0) for time_us in left]
        if found:
            after_us = found[-1].at_us
            yield found


def _days_from(cron: Cron, first: date) -> Iterator[date]:
    year, month, from_day = first.year, first.month, first.day
    while year <= LAST_YEAR:
        for day in days_of(cron, year, month):
            if day >= from_day:
                yield date(year, month, day)
        year, month, from_day = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)


@lru_cache(maxsize=65_536)
def _steady_offset(zone: ZoneInfo, midnight_us: int) -> int | None:
    """Give the zone's offset if it is one from an hour before this local day to an hour behind it, looked at hourly."""
    local = _EPOCH + midnight_us * _MICROSECOND
    found = {_offset(local + timedelta(hours=hours), zone) for hours in range(-1, 26)}
    return found.pop() if len(found) == 1 else None


def _unsteady(cron: Cron, zone: ZoneInfo, midnight_us: int) -> Iterable[Slot]:
    """Give the slots of a local day on which the zone changes its clocks."""
    faces = [midnight_us + time_us for time_us in cron.times_us]
    return sorted(slot for face_us in faces for slot in _real(face_us, zone)) if cron.real_hours else _called(faces, zone)


def _offset(local: datetime, zone: ZoneInfo) -> int:
    found = local.replace(tzinfo=zone).utcoffset()
    assert found is not None
    return found // _MICROSECOND


def _real(face_us: int, zone: ZoneInfo) -> Iterator[Slot]:
    """Give a local time as often as it exists."""
    naive = _EPOCH + face_us * _MICROSECOND
    for fold in (0, 1):
        at_us = ((naive - timedelta(microseconds=_offset(naive.replace(fold=fold), zone))) - _EPOCH) // _MICROSECOND
        there = local_of(at_us, zone)
        if there.replace(tzinfo=None, fold=0) == naive and there.fold == fold:
            yield Slot(at_us, face_us, fold)


def _called(faces: list[int], zone: ZoneInfo) -> Iterator[Slot]:
    """Give each time on the clock's face once; those of one gap are one slot, named by the first."""
    last_us = None
    for face_us in faces:
        at_us = moment_of(_EPOCH + face_us * _MICROSECOND, zone)
        if at_us != last_us:
            yield Slot(at_us, face_us, 0)
        last_us = at_us
