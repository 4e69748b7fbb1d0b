"""Timers leave the file from whatever bucket they lie in, however near they have come since they were set."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import timers
from infra.sqlite import open_writer, transaction, value
from infra.timers import TimerIndex
from schemas.ports import Timer

MINUTE_US = 60_000_000
DAY_US = 1440 * MINUTE_US
NOW_US = 20_000 * DAY_US + 17 * MINUTE_US


@pytest.mark.parametrize("off_us", [50_000, 3 * 60 * MINUTE_US, 7 * DAY_US])
@pytest.mark.parametrize("left_us", [0, 30 * MINUTE_US, 2 * 60 * MINUTE_US, 3 * DAY_US])
def test_a_timer_is_taken_away_from_the_bucket_it_was_set_in(tmp_path: Path, off_us: int, left_us: int) -> None:
    connection = open_writer(tmp_path / "timers.db")
    due_us = NOW_US + off_us
    far, near = Timer(due_us, 1, 0), Timer(due_us - left_us + MINUTE_US // 2, 2, 0)
    then_us = max(NOW_US, due_us - left_us)
    with transaction(connection):
        timers.create(connection)
        index = TimerIndex(connection)
        index.write([], [far], NOW_US)
        index.write([], [near], then_us)
        index.write([near, far], [], then_us)
    assert value(connection, "select count(*) from timers") == 0
    connection.close()
