"""Local time: what a moment is called in an IANA zone, and which moment a local time is.

A local time that does not exist (a clock put forward) means the end of the gap; one that exists twice means the first,
unless the moment that was started from was a second one.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from schemas.expression.numbers import kept_time

PARTS: Final = ("year", "month", "day", "hour", "weekday")
STARTS: Final = ("year", "month", "week", "day", "hour")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """Find a zone by its IANA name; None if there is no such zone."""
    try:
        return ZoneInfo(name) if name in zone_names() else None
    except (OSError, ValueError):  # a name that the table lists and the disk lacks
        return None


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Give the names of all zones."""
    return frozenset(available_timezones())


def local_of(us: int, zone: ZoneInfo) -> datetime:
    """Give the local time of a moment, its fold set."""
    return (_EPOCH + us * _MICROSECOND).astimezone(zone)


def moment_of(local: datetime, zone: ZoneInfo) -> int:
    """Give the moment (microseconds) of a naive local time and its fold."""
    early = _us(local.replace(tzinfo=zone))
    if local_of(early, zone).replace(tzinfo=None, fold=0) == local.replace(fold=0):
        return early
    return _gap_end(_us(local.replace(tzinfo=zone, fold=1)), _us(local.replace(tzinfo=zone, fold=0)), zone)


def _us(aware: datetime) -> int:
    return (aware.astimezone(UTC) - _EPOCH) // _MICROSECOND


def _gap_end(before_us: int, after_us: int, zone: ZoneInfo) -> int:
    """Bisect for the first second with the offset that holds after the gap; transitions fall on whole seconds."""
    low, high = min(before_us, after_us) // 1_000_000, max(before_us, after_us) // 1_000_000 + 1
    new = local_of(high * 1_000_000, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if local_of(middle * 1_000_000, zone).utcoffset() == new else (middle, high)
    return high * 1_000_000


def _zoned(work: Callable[[datetime, ZoneInfo], int | None], us: int, zone: str) -> int | None:
    found = zone_of(zone)
    if found is None or kept_time(us) is None:
        return None
    moment = work(local_of(us, found), found)
    return None if moment is None else kept_time(moment)


def date_of(us: int, zone: str) -> str | None:
    """Give the local day, as 2026-11-21."""
    found = zone_of(zone)
    return local_of(us, found).date().isoformat() if found and kept_time(us) is not None else None


def part_of(us: int, part: str, zone: str) -> int | None:
    """Give one part of the local time; weekday 1 is Monday."""
    found = zone_of(zone)
    if found is None or kept_time(us) is None:
        return None
    local = local_of(us, found)
    return local.isoweekday() if part == "weekday" else int(getattr(local, part)) if part in PARTS else None


def start_of(us: int, unit: str, zone: str) -> int | None:
    """Give the first moment of the local year, month, week (from Monday), day or hour."""
    return _zoned(lambda local, found: _start(local, unit, found), us, zone)


def _start(local: datetime, unit: str, zone: ZoneInfo) -> int | None:
    if unit == "hour":
        return moment_of(local.replace(tzinfo=None, minute=0, second=0, microsecond=0), zone)
    day = local.replace(tzinfo=None, fold=0, hour=0, minute=0, second=0, microsecond=0)
    if unit == "week":
        return moment_of(day - timedelta(days=day.weekday()), zone)
    starts = {"day": day, "month": day.replace(day=1), "year": day.replace(month=1, day=1)}
    return moment_of(starts[unit], zone) if unit in starts else None


def plus_days(us: int, days: int, zone: str) -> int | None:
    """Move by local days: the same time of day, however long the days are."""
    if abs(days) > 200_000:
        return None
    return _zoned(lambda local, found: _moved(local.replace(tzinfo=None), days, found), us, zone)


def _moved(local: datetime, days: int, zone: ZoneInfo) -> int | None:
    try:
        return moment_of((local + timedelta(days=days)).replace(fold=local.fold), zone)
    except OverflowError:  # beyond the year 9999
        return None


def plus_months(us: int, months: int, zone: str) -> int | None:
    """Move by local months: the same day and time of day, or the last day of a shorter month."""
    return _zoned(lambda local, found: _month_moved(local.replace(tzinfo=None), months, found), us, zone)


def _month_moved(local: datetime, months: int, zone: ZoneInfo) -> int | None:
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    if not 1969 <= year <= 2201:
        return None
    day = min(local.day, monthrange(year, month + 1)[1])
    return moment_of(local.replace(year=year, month=month + 1, day=day), zone)
