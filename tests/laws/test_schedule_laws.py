"""The laws of schedules: they run when cron(8) of Debian would, once a slot, and where one begins to look does not show."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from operators.schedules.cron import parse_cron
from operators.schedules.schedule import Slot, jitter_us, local_us_of, moment_of_slot, next_slot, slot_key, slots_between
from schemas.errors import InvalidInput
from tests.examples import examples

MINUTE_US = 60_000_000
DAY_US = 1_440 * MINUTE_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]
CHANGES = [  # the days around which the zones above change their clocks, and one on which none does
    datetime(2026, 3, 28, tzinfo=UTC),
    datetime(2026, 10, 24, tzinfo=UTC),
    datetime(2026, 3, 7, tzinfo=UTC),
    datetime(2026, 10, 31, tzinfo=UTC),
    datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2026, 10, 3, tzinfo=UTC),
    datetime(2017, 10, 14, tzinfo=UTC),  # Sao Paulo, at midnight
    datetime(2018, 2, 17, tzinfo=UTC),
    datetime(2026, 1, 30, tzinfo=UTC),
]


def field(low: int, high: int, *, star: bool = True) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ends = st.tuples(number, number).filter(lambda ends: ends[0] != ends[1])  # cronsim takes 5-5/2 for 5/2
    span = ends.map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.tuples(span, st.integers(1, 9)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    listed = st.lists(number.map(str) | span, min_size=1, max_size=3).map(",".join)
    starred = st.just("*") | st.integers(1, 12).map(lambda step: f"*/{step}")
    return listed | stepped | starred if star else listed


def comes(cron: str) -> bool:
    try:
        parse_cron(cron)
    except InvalidInput as error:
        assert "never comes" in str(error)
        return False
    return True


days = st.sampled_from(["*", "*", "*", "L", "15,L", "1-7", "28-31", "*/3"])
weekdays = st.sampled_from(["*", "*", "*", "MON", "sat,sun", "1-5", "0", "7", "5-7", "MON#1", "3#5"])
months = st.sampled_from(["*", "*", "*", "1,3-4,10", "FEB-nov"])
called = st.tuples(field(0, 59, star=False), field(0, 5, star=False), days, months, weekdays)
real = st.tuples(field(0, 59), st.just("*") | st.sampled_from(["*/2", "*/5"]), days, months, weekdays)
crons = (called | real | st.tuples(field(0, 59), field(0, 23), days, months, weekdays)).map(" ".join).filter(comes)
moments = st.tuples(st.sampled_from(CHANGES), st.integers(-600, 2_900)).map(lambda one: one[0] + timedelta(minutes=one[1]))


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@given((called | real).map(" ".join).filter(comes), st.sampled_from(ZONES), moments)
@settings(max_examples=examples(120), deadline=None)
def test_slots_are_when_debians_cron_would_run(cron: str, zone: str, start: datetime) -> None:
    # cronsim lets hours that only *hold* a star or slash run by the clock's face, and goes astray at half-hour changes
    assume(zone != "Australia/Lord_Howe")
    theirs = CronSim(cron, start.astimezone(ZoneInfo(zone)))
    until = start + timedelta(days=40)
    wanted: list[int] = []
    for moment in theirs:
        if moment > until or len(wanted) == 12:
            break
        wanted.append(us(moment))
    assert [slot.at_us for slot in slots_between(cron, zone, us(start), us(until), 12)] == wanted


@given(crons, st.sampled_from(ZONES), moments)
@settings(max_examples=examples(40), deadline=None)
def test_slots_are_those_of_a_walk_through_every_minute(cron: str, zone: str, start: datetime) -> None:
    after_us, until_us = us(start), us(start) + DAY_US
    assert slots_between(cron, zone, after_us, until_us) == walk(cron, zone, after_us, until_us)


def walk(cron: str, zone: str, after_us: int, until_us: int) -> list[Slot]:
    """Look at every minute: of the clock's face if the hours are called, of the world if they are real."""
    parsed, found = parse_cron(cron), {}
    if parsed.real_hours:
        for at_us in range((after_us // MINUTE_US + 1) * MINUTE_US, until_us + 1, MINUTE_US):
            local_us, fold = local_us_of(at_us, zone)
            if fits(cron, local_us):
                found[at_us] = Slot(at_us, local_us, fold)
    else:
        first_us = local_us_of(after_us, zone)[0] // MINUTE_US * MINUTE_US - DAY_US
        for local_us in range(first_us, first_us + 4 * DAY_US, MINUTE_US):
            at_us = moment_of_slot(local_us, 0, zone)
            if after_us < at_us <= until_us and fits(cron, local_us):
                found.setdefault(at_us, Slot(at_us, local_us, 0))
    return [found[at_us] for at_us in sorted(found)]


def fits(cron: str, local_us: int) -> bool:
    local = EPOCH + timedelta(microseconds=local_us)
    parsed = parse_cron(cron)
    by_day = local.day in parsed.days or (parsed.last_day and (local + timedelta(days=1)).day == 1)
    weekday, place = local.isoweekday() % 7, (local.day + 6) // 7
    by_weekday = weekday in parsed.weekdays or (weekday, place) in parsed.nth
    if (weekday, 0) in parsed.nth and (local + timedelta(days=7)).month != local.month:
        by_weekday = True
    on_day = (by_day and by_weekday) if parsed.both else (by_day or by_weekday)
    return on_day and local.month in parsed.months and local.hour in parsed.hours and local.minute in parsed.minutes


@pytest.mark.slow
@given(crons, st.sampled_from(ZONES), moments, st.integers(0, 2 * DAY_US))
@settings(max_examples=examples(60), deadline=None)
def test_where_one_begins_to_look_does_not_show(cron: str, zone: str, start: datetime, on_us: int) -> None:
    after_us, until_us = us(start), us(start) + 3 * DAY_US
    all_of_them = slots_between(cron, zone, after_us, until_us)
    assert slots_between(cron, zone, after_us + on_us, until_us) == [
        slot for slot in all_of_them if slot.at_us > after_us + on_us
    ]
    one_by_one, last = [], next_slot(cron, zone, after_us)
    while last is not None and last.at_us <= until_us:
        one_by_one.append(last)
        last = next_slot(cron, zone, last.at_us)
    assert one_by_one == all_of_them


@given(crons, st.sampled_from(ZONES), moments)
@settings(max_examples=examples(60), deadline=None)
def test_a_slot_has_one_name_from_which_its_moment_is_found(cron: str, zone: str, start: datetime) -> None:
    found = slots_between(cron, zone, us(start), us(start) + 3 * DAY_US)
    assert len({slot_key(zone, "", slot) for slot in found}) == len(found)
    assert all(moment_of_slot(slot.local_us, slot.fold, zone) == slot.at_us for slot in found)


@given(st.tuples(st.text(max_size=5), st.text(max_size=5)), st.integers(0, DAY_US))
def test_jitter_is_bounded_and_the_same_each_time(key: tuple[str, ...], most_us: int) -> None:
    assert 0 <= jitter_us(key, most_us) < max(1, most_us)
    assert jitter_us(key, most_us) == jitter_us(key, most_us)
