"""Limits and held-back rows in the engine's file: they follow the turn, survive a start, and hold retention back."""

from __future__ import annotations

from pathlib import Path

from infra.positions import read_file
from infra.state_store import SqliteStateStore
from operators.triggers.admission import Admission, Admitted, Scope, Waits
from schemas.limits import LimitChanges
from schemas.ports import HeldBack, Slot, TurnCommit
from schemas.program import Limit

SLOT = Slot("ingress.db", "orders.events", 3)
ONE = [Scope(7, Limit("concurrency", 1))]
RATE = [Scope(8, Limit("rate", 2, per_us=60_000_000))]


def turn(number: int, changes: LimitChanges, held_back: dict[HeldBack, int] | None = None) -> TurnCommit:
    return TurnCommit(number, number, {SLOT: 100}, limits=changes, held_back=held_back)


def test_limits_are_as_the_last_turn_left_them(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    point = Admission(store.limits)
    point.enter(1, [*ONE, *RATE], 0)
    point.enter(2, RATE, 5)
    point.enqueue(3, 7, 1)
    point.enqueue(4, 7, 0)
    store.commit(turn(1, point.changes()))
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    point = Admission(store.limits)
    assert point.ask(ONE, 0, 1) == Waits(7, None)
    assert point.ask(RATE, 10, 1) == Waits(8, 63_000_000)
    assert point.first(7) == (0, 4)
    assert point.leave(1) == [7]
    point.dequeue(4, 7, 0)
    point.enter(4, ONE, 10)
    store.commit(turn(2, point.changes()))
    point = Admission(store.limits)
    assert list(store.limits.holders(7)) == [4]
    assert store.limits.queue_length(7) == 1
    assert point.first(7) == (1, 3)
    assert point.leave(4) == [7]
    assert point.ask(ONE, 0, 1, queued=True) == Admitted()
    store.close()


def test_what_is_held_back_is_not_behind_the_positions(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    store.commit(turn(1, LimitChanges(), {HeldBack("acme", SLOT): 40, HeldBack("globex", SLOT): 60}))
    assert store.held_back() == {HeldBack("acme", SLOT): 40, HeldBack("globex", SLOT): 60}
    assert store.meta().positions == {SLOT: 100}
    store.commit(TurnCommit(2, 2, {SLOT: 120}))
    assert read_file(store.path) == {SLOT: 40}, "retention must not pass what waits for its share"
    store.commit(turn(3, LimitChanges(), {}))
    assert read_file(store.path) == {SLOT: 100}
    store.close()


def test_what_was_spent_goes_when_it_counts_no_more(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    point = Admission(store.limits)
    quota = [Scope(9, Limit("quota", 1, per_us=60_000_000))]
    point.enter(1, [*RATE, *quota], 5)
    store.commit(turn(1, point.changes()))
    for number, now_us, left in ((2, 59_999_999, [8, 9]), (3, 60_000_000, [8]), (4, 62_999_999, [8]), (5, 63_000_000, [])):
        point = Admission(store.limits)
        point.enter(number, [Scope(number, Limit("rate", 1, per_us=1_000_000_000))], now_us)
        store.commit(TurnCommit(number, now_us, {}, limits=point.changes()))
        assert [key for key in (8, 9) if store.limits.spent(key) is not None] == left
        assert (Admission(store.limits).ask(quota, now_us, 1) == Admitted()) == (9 not in left)
    assert [key for key in range(2, 6) if store.limits.spent(key) is not None] == [2, 3, 4, 5]
    store.close()
