"""Cron expressions and their slots, worked by hand."""

from datetime import UTC, datetime

import pytest

from operators.schedules.cron import parse_cron
from operators.schedules.schedule import jitter_us, next_slot, slots_between
from schemas.errors import InvalidInput


def us(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


def local(cron: str, zone: str, after_us: int, most: int) -> list[str]:
    found = slots_between(cron, zone, after_us, after_us + 400 * 86_400_000_000, most)
    return [slot.local + ("'" if slot.fold else "") for slot in found]


def test_the_last_day_of_each_month() -> None:
    assert local("0 18 L * *", "Asia/Tokyo", us(2024, 1, 1), 3) == ["2024-01-31T18:00", "2024-02-29T18:00", "2024-03-31T18:00"]


def test_the_first_monday_and_the_last_friday() -> None:
    assert local("0 9 * * MON#1,FRI#L", "UTC", us(2026, 1, 1), 4) == [
        "2026-01-05T09:00",
        "2026-01-30T09:00",
        "2026-02-02T09:00",
        "2026-02-27T09:00",
    ]


def test_a_time_that_does_not_exist_runs_at_the_end_of_the_gap() -> None:
    found = slots_between("0,30 2 * * *", "Europe/Berlin", us(2026, 3, 28, 12), us(2026, 3, 30, 0, 15))
    assert [(slot.local, slot.at_us) for slot in found] == [
        ("2026-03-29T02:00", us(2026, 3, 29, 1)),  # both half hours are in the gap: once
        ("2026-03-30T02:00", us(2026, 3, 30, 0)),
    ]


def test_a_time_that_exists_twice_runs_the_first_time() -> None:
    found = slots_between("30 2 * * *", "Europe/Berlin", us(2026, 10, 24, 12), us(2026, 10, 26, 12))
    assert [slot.at_us for slot in found] == [us(2026, 10, 25, 0, 30), us(2026, 10, 26, 1, 30)]


@pytest.mark.parametrize("hours", ["*", "*/1", "0-23/1"])
def test_star_and_slash_hours_run_every_real_hour(hours: str) -> None:
    autumn = local(f"0 {hours} * * *", "Europe/Berlin", us(2026, 10, 24, 23, 30), 4)
    assert autumn == ["2026-10-25T02:00", "2026-10-25T02:00'", "2026-10-25T03:00", "2026-10-25T04:00"]
    spring = local(f"0 {hours} * * *", "Europe/Berlin", us(2026, 3, 28, 23, 30), 3)
    assert spring == ["2026-03-29T01:00", "2026-03-29T03:00", "2026-03-29T04:00"]


def test_a_day_that_does_not_exist_runs_when_it_would_be_over() -> None:
    found = slots_between("0 12 * * *", "Pacific/Apia", us(2011, 12, 29, 0), us(2011, 12, 31))
    assert [slot.local for slot in found] == ["2011-12-29T12:00", "2011-12-30T12:00", "2011-12-31T12:00"]
    assert found[1].at_us == us(2011, 12, 30, 10)  # where the 31st begins


def test_days_of_month_and_week_are_either_unless_one_begins_with_a_star() -> None:
    assert parse_cron("0 0 13 * FRI").both is False
    assert local("0 0 */2 * FRI", "UTC", us(2026, 5, 1, 1), 2) == ["2026-05-15T00:00", "2026-05-29T00:00"]


def test_a_slot_far_away_is_found_and_one_beyond_2199_is_none() -> None:
    found = next_slot("0 0 29 2 *", "UTC", us(2096, 3, 1))
    assert found is not None
    assert found.local == "2104-02-29T00:00"
    assert next_slot("0 0 29 2 *", "UTC", us(2196, 3, 1)) is None


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 25 * * *", "has hour 25 (0-23)"),
        ("0 * * *", "has 4 fields; wanted five"),
        ("0 0 30 2 *", "names a day that never comes"),
        ("0 0 * * MON#6", "behind # stands 1 to 5, or L"),
        ("0 0 * * FUN", "has weekday 'FUN'; wanted 0-7 or SUN to SAT"),
        ("9-1 * * * *", "which falls"),
        ("*/0 * * * *", "a whole number from 1 on"),
        ("0 0 L-3 * *", "has day of month 'L'"),
        ("٣ * * * *", "has minute '٣'"),
        (", * * * *", "has minute ''"),
    ],
)
def test_what_is_no_schedule_says_what_was_wanted(cron: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cron(cron)
    assert said in str(caught.value)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'CET\\+1' is not an IANA zone"):
        next_slot("0 0 * * *", "CET+1", 0)


def test_jitter_spreads_schedules_evenly() -> None:
    places = [jitter_us(("acme", f"flow{number}", "", "UTC"), 60_000_000) // 6_000_000 for number in range(2_000)]
    assert all(150 < places.count(tenth) < 250 for tenth in range(10))
