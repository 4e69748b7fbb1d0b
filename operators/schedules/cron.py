"""Five-field cron expressions: what they say, as sets of numbers, and the days and minutes that they name.

Reads: text. Emits: records of numbers. State: none. Cost: microseconds; the days of a month are computed once.
Names, ranges, lists and steps are Debian cron's (crontab(5)), and its rule of days too: where one of the two day fields begins
with a star both must hold, else either. `L` is the last day of the month, `MON#1` its first Monday, `FRI#L` its last Friday.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from schemas.errors import InvalidInput

MINUTE_US: Final = 60_000_000
_LAST: Final = "L"
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_YEARS_TRIED: Final = range(2000, 2028)  # every month with every first weekday, leap years too


class _Part(NamedTuple):
    word: str
    low: int
    high: int
    names: dict[str, int]


_MINUTE: Final = _Part("minute", 0, 59, {})
_HOUR: Final = _Part("hour", 0, 23, {})
_DAY: Final = _Part("day of month", 1, 31, {})
_MONTH: Final = _Part("month", 1, 12, {name: place for place, name in enumerate(_MONTHS, 1)})
_WEEKDAY: Final = _Part("weekday", 0, 7, {name: place for place, name in enumerate(_DAYS)})


@dataclass(frozen=True, slots=True)
class Cron:
    """One expression. Weekdays are 0 (Sunday) to 6; `nth` are (weekday, which of the month), 0 for the last."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    both: bool  # day and weekday must hold, else either
    real_hours: bool  # the hours run as they pass, else as they are called

    @property
    def times_us(self) -> tuple[int, ...]:
        """Give the times of day, as microseconds after midnight on the clock's face."""
        return _times(self.hours, self.minutes)


@lru_cache(maxsize=16_384)
def parse_cron(text: str) -> Cron:
    """Read an expression. Raises InvalidInput, which says what is and what was wanted."""
    fields = text.upper().split()
    if len(fields) != 5:
        raise InvalidInput(f"'{text}' has {len(fields)} fields; wanted five: minute hour day-of-month month weekday")
    minute, hour, day, month, weekday = fields
    days, last_day = _read_days(text, day)
    weekdays, nth = _read_weekdays(text, weekday)
    cron = Cron(
        tuple(sorted(_read(text, minute, _MINUTE))),
        tuple(sorted(_read(text, hour, _HOUR))),
        days,
        last_day,
        frozenset(_read(text, month, _MONTH)),
        weekdays,
        nth,
        day.startswith("*") or weekday.startswith("*"),
        "*" in hour or "/" in hour,
    )
    if not any(days_of(cron, year, one) for year in _YEARS_TRIED for one in range(1, 13)):
        raise InvalidInput(f"'{text}' names a day that never comes; correct its day of month, month or weekday")
    return cron


def _read_days(text: str, field: str) -> tuple[frozenset[int], bool]:
    terms = field.split(",")
    plain = [term for term in terms if term != _LAST]
    return frozenset(number for term in plain for number in _read(text, term, _DAY)), len(plain) < len(terms)


def _read_weekdays(text: str, field: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    plain: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for term in field.split(","):
        name, hash_, which = term.partition("#")
        if not hash_:
            plain.update(number % 7 for number in _read(text, term, _WEEKDAY))
            continue
        if which not in ("1", "2", "3", "4", "5", _LAST):
            raise InvalidInput(f"'{text}' has weekday '{term}'; behind # stands 1 to 5, or L for the last of the month")
        nth.add((_number(text, name, _WEEKDAY) % 7, 0 if which == _LAST else int(which)))
    return frozenset(plain), frozenset(nth)


def _read(text: str, field: str, part: _Part) -> set[int]:
    return {number for term in field.split(",") for number in _read_term(text, term, part)}


def _read_term(text: str, term: str, part: _Part) -> range:
    span, slash, step = term.partition("/")
    first, dash, last = span.partition("-")
    if span == "*":
        low, high = part.low, part.high - (part is _WEEKDAY)  # 7 is Sunday's other name
    elif dash:
        low, high = _number(text, first, part), _number(text, last, part)
    else:
        low = _number(text, span, part)
        high = part.high if slash else low
    if high < low:
        raise InvalidInput(f"'{text}' has {part.word} '{term}', which falls; write the lower end first, or two ranges")
    return range(low, high + 1, _step(text, term, step) if slash else 1)


def _step(text: str, term: str, step: str) -> int:
    if not (step.isascii() and step.isdigit() and len(step) < 4 and int(step)):
        raise InvalidInput(f"'{text}' has the step '{term}'; behind / stands a whole number from 1 on")
    return int(step)


def _number(text: str, word: str, part: _Part) -> int:
    if word in part.names:
        return part.names[word]
    if not (word.isascii() and word.isdigit() and len(word) < 4):
        names = f" or {next(iter(part.names))} to {list(part.names)[-1]}" if part.names else ""
        raise InvalidInput(f"'{text}' has {part.word} '{word}'; wanted {part.low}-{part.high}{names}")
    if not part.low <= int(word) <= part.high:
        raise InvalidInput(f"'{text}' has {part.word} {int(word)} ({part.low}-{part.high})")
    return int(word)


@lru_cache(maxsize=65_536)
def days_of(cron: Cron, year: int, month: int) -> tuple[int, ...]:
    """Give the days of a month that an expression names."""
    if month not in cron.months:
        return ()
    first, length = monthrange(year, month)  # 0 is Monday here
    return tuple(_fitting(cron, (first + 1) % 7, length))


def _fitting(cron: Cron, first: int, length: int) -> Iterator[int]:
    for day in range(1, length + 1):
        weekday = (first + day - 1) % 7
        by_day = day in cron.days or (cron.last_day and day == length)
        by_weekday = (
            weekday in cron.weekdays or (weekday, (day + 6) // 7) in cron.nth or ((weekday, 0) in cron.nth and day + 7 > length)
        )
        if (by_day and by_weekday) if cron.both else (by_day or by_weekday):
            yield day


@lru_cache(maxsize=4_096)
def _times(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((hour * 60 + minute) * MINUTE_US for hour in hours for minute in minutes)
