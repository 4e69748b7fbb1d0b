"""The attributes of events: what a quick look lets pass breaks no rule; the clock of a batch is that of its rows one by one."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.contracts import EventContract
from schemas.envelope import AHEAD_EVENTS_US, BEGUN_US, DAY_US, FEW, EventChecks, ahead_of_events
from schemas.expression.types import STRING, Type
from schemas.frames import frame_schema

CONTRACT = EventContract(event="job.made", topic="job.events", data=Type("record", fields=(("id", STRING),)))
CHECKS = EventChecks(CONTRACT, presence=False)
GOOD = {"id": "e1", "source": "/jobs", "type": "job.made", "time": DAY_US, "tenant": "acme", "hops": 0, "data": {"id": "j"}}
NAMES = (
    st.none()
    | st.text(st.sampled_from("a\u00e9\u0085\u00a0\x7f\x1f/\\*.-\U0001f600"), max_size=3)
    | st.sampled_from(["a" * 256, "\u00e9" * 600])
)
ROWS = st.fixed_dictionaries(dict.fromkeys(("id", "source", "subject", "tenant", "correlationid", "causationid"), NAMES))


def frame_of(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame([{"row": at, **row} for at, row in enumerate(rows)], schema=frame_schema(CONTRACT))


@given(ROWS)
@example({"tenant": "a/b"})
@example({"id": None})
@example({"id": "\u0085"})
@example({"source": "s" * 1025})
def test_the_look_at_a_few_rows_finds_what_the_rules_say(named: dict[str, str | None]) -> None:
    few = frame_of([GOOD, {**GOOD, **named}])
    assert CHECKS.are_fine(few) == (not CHECKS.failing(few).any())


@given(ROWS)
@example({"tenant": "a/b"})
@example({"id": "\u0085"})
@example({"source": "s" * 1025})
def test_the_look_at_many_rows_lets_nothing_pass_that_breaks_a_rule(named: dict[str, str | None]) -> None:
    many = frame_of([*[GOOD] * FEW, {**GOOD, **named}])
    assert not (CHECKS.are_fine(many) and CHECKS.failing(many).any())


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
