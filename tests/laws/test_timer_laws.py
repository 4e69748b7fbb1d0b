"""The law of the timer index: it behaves as a sorted list does, whatever is set, taken away, fired, or opened again."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import timers
from infra.state_store import SqliteStateStore
from schemas.ports import Timer, TurnCommit
from tests.examples import examples

NOW_US = 1_700_000_000_000_000
SPANS_US = st.sampled_from(
    [1, 1_000_000, 60_000_000, 1_800_000_000, 3_600_000_000, 40_000_000_000, 90_000_000_000, 400 * 86_400_000_000]
)
delays = st.builds(lambda span, times: span * times, SPANS_US, st.integers(-1, 5))
turns = st.tuples(
    st.lists(delays, max_size=6),  # timers to set
    st.lists(st.integers(0, 50), max_size=3),  # places of pending timers to take away
    delays,  # how far time goes on
    st.integers(1, 4),  # how many to ask for
    st.booleans(),  # whether to open the store again
)


@pytest.mark.slow
@settings(max_examples=examples(80), deadline=None)
@given(st.lists(turns, max_size=12), st.booleans())
def test_timers_come_in_order_each_once_however_they_were_set(
    steps: list[tuple[list[int], list[int], int, int, bool]], at_once: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(timers, "MANY", 0 if at_once else 64)
        patch.setattr(timers, "LOOK", 1_000 if at_once else 1)
        store = SqliteStateStore(Path(folder) / "engine-0.db")
        pending: list[Timer] = []
        now_us = NOW_US
        token = 0
        for number, (wanted, places, on_us, limit, again) in enumerate(steps, 1):
            now_us += max(0, on_us)
            due = store.due(now_us, limit)
            assert due == [timer for timer in sorted(pending) if timer.due_us <= now_us][:limit]
            assert store.next_due_us() == (min(pending).due_us if pending else None)
            rest = [timer for timer in pending if timer not in due]
            taken = {rest[place % len(rest)] for place in places} if rest else set()
            made = [Timer(now_us + delay, token + at, 0) for at, delay in enumerate(wanted)]
            made += [timer for timer in taken if timer.token == 0 and len(wanted) > 3]  # taken away and set again
            token += len(wanted)
            gone = [*due, *taken]
            store.commit(TurnCommit(number, now_us, {}, timers_set=made, timers_gone=gone))
            pending = [timer for timer in pending if timer not in gone] + made
            if again:
                store.close()
                store = SqliteStateStore(Path(folder) / "engine-0.db")
        assert store.due(1 << 61, 1000) == sorted(pending)
        store.close()
