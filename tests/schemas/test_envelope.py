"""Which events are too far ahead of the event clock: the clock of a batch is that of its rows one by one, and never runs back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import AHEAD_EVENTS_US, BEGUN_US, DAY_US, ahead_of_events


def one_by_one(times: list[int], now_us: int) -> list[int]:
    clock_us = now_us
    refused = []
    for row, time_us in enumerate(times):
        if clock_us >= BEGUN_US and time_us > clock_us + AHEAD_EVENTS_US:
            refused.append(row)
        else:
            clock_us = max(clock_us, time_us)
    return refused


@given(st.lists(st.integers(1, 3_000).map(lambda day: day * DAY_US), min_size=1, max_size=30), st.integers(0, 2_500))
def test_a_batch_refuses_what_its_rows_one_by_one_would(times: list[int], now: int) -> None:
    found = ahead_of_events(np.arange(len(times)), np.array(times), now * DAY_US)
    assert found.tolist() == one_by_one(times, now * DAY_US)


def test_an_event_is_not_ahead_of_a_clock_that_only_a_start_by_hand_has_moved() -> None:
    now_us = 20_000 * DAY_US
    assert ahead_of_events(np.arange(2), np.array([now_us, 2 * now_us]), 6 * DAY_US).tolist() == [1]


def test_a_late_event_in_a_batch_of_years_does_not_turn_the_clock_back() -> None:
    days = [0, 300, 600, 900, 1_200, 500, 1_201]
    assert ahead_of_events(np.arange(7), (np.array(days) + 3_000) * DAY_US, 3_000 * DAY_US).tolist() == []
