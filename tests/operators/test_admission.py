"""Limits at their admission point, worked by hand and against a plain count of everything that ever started."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from operators.triggers import admission
from operators.triggers.admission import Admission, Admitted, Refused, Scope, Waits
from schemas.limits import LimitChanges, Spent, limit_key
from schemas.program import Limit

MINUTE_US = 60_000_000
KEY = limit_key("acme", "refund", "concurrency", 0, "C7")


@dataclass
class Stored:
    """A store in memory: what turns have made durable."""

    holds: list[tuple[int, int]] = field(default_factory=list)
    queue: list[tuple[int, int, int]] = field(default_factory=list)
    spends: dict[int, Spent] = field(default_factory=dict)

    def holders(self, key: int) -> list[int]:
        return sorted(row for held, row in self.holds if held == key)

    def held(self, execution: int) -> list[int]:
        return [key for key, row in self.holds if row == execution]

    def queued(self, key: int, behind: tuple[int, int], most: int) -> list[tuple[int, int]]:
        return sorted((rank, row) for of, rank, row in self.queue if of == key and (rank, row) > behind)[:most]

    def queue_length(self, key: int) -> int:
        return sum(of == key for of, _, _ in self.queue)

    def spent(self, key: int) -> Spent | None:
        return self.spends.get(key)

    def commit(self, changes: LimitChanges) -> None:
        for gone in changes.holds_gone:
            self.holds.remove((gone.key, gone.execution))
        self.holds += [(one.key, one.execution) for one in changes.holds_set]
        for left in changes.queued_gone:
            self.queue.remove((left.key, left.rank, left.execution))
        self.queue += [(one.key, one.rank, one.execution) for one in changes.queued_set]
        self.spends |= changes.spent


def concurrency(most: int, over: Literal["queue", "drop", "cancel_running"] = "queue") -> list[Scope]:
    return [Scope(KEY, Limit("concurrency", most, over=over))]


def rate(most: int, over: Literal["queue", "drop"] = "queue") -> list[Scope]:
    return [Scope(limit_key("acme", "refund", "rate", MINUTE_US, None), Limit("rate", most, per_us=MINUTE_US, over=over))]


def test_a_free_key_admits_and_a_taken_one_queues() -> None:
    point = Admission(Stored())
    assert point.ask(concurrency(1), 0, 1) == Admitted()
    point.enter(1, concurrency(1), 0)
    assert point.ask(concurrency(1), 0, 1) == Waits(KEY, None)
    point.enqueue(2, KEY, 1)
    assert point.length(KEY) == 1
    assert point.leave(1) == [KEY]
    assert point.first(KEY) == (1, 2)
    assert point.ask(concurrency(1), 0, 1) == Waits(KEY, None), "who comes now stands behind the queue"
    assert point.ask(concurrency(1), 0, 1, queued=True) == Admitted()


def test_a_person_who_waits_overtakes_scheduled_work() -> None:
    point = Admission(Stored(queue=[(KEY, 2, 7), (KEY, 1, 9)]))
    assert point.first(KEY) == (1, 9)
    assert point.ask(concurrency(1), 0, 0) == Admitted()
    assert point.ask(concurrency(1), 0, 1) == Waits(KEY, None)


def test_the_oldest_give_way() -> None:
    point = Admission(Stored(holds=[(KEY, 3), (KEY, 5)]))
    assert point.ask(concurrency(2, "cancel_running"), 0, 1) == Admitted((3,))
    assert point.ask(concurrency(1, "cancel_running"), 0, 1) == Admitted((3, 5))


def test_what_is_over_is_dropped_by_the_name_of_its_limit() -> None:
    wanted = concurrency(1, "drop")
    assert Admission(Stored(holds=[(KEY, 3)])).ask(wanted, 0, 1) == Refused(wanted[0].limit)


def test_versions_share_a_key_and_values_of_two_types_do_not() -> None:
    assert limit_key("acme", "refund", "rate", 1, 5) != limit_key("acme", "refund", "rate", 1, "5")
    assert limit_key("acme", "refund", "rate", 1, None) != limit_key("acm", "erefund", "rate", 1, None)


starts = st.lists(st.tuples(st.integers(0, 3 * MINUTE_US), st.booleans()), max_size=60)


@given(starts, st.integers(1, 5), st.booleans())
def test_in_no_stretch_of_its_time_do_more_start_than_a_rate_allows(
    drawn: list[tuple[int, bool]], most: int, daily: bool
) -> None:
    kind: Literal["rate", "quota"] = "quota" if daily else "rate"
    wanted = [Scope(1, Limit(kind, most, per_us=MINUTE_US, over="drop"))]
    stored, point = Stored(), None
    admitted: list[int] = []
    for row, (at_us, new_turn) in enumerate(sorted(drawn)):
        if point is None or new_turn:
            stored.commit(point.changes()) if point else None
            point = Admission(stored)
        if point.ask(wanted, at_us, 1) == Admitted():
            point.enter(row, wanted, at_us)
            admitted.append(at_us)
        else:
            left = [one for one in admitted if one > at_us - MINUTE_US - MINUTE_US // admission.SLOTS]
            same_day = [one for one in admitted if one // MINUTE_US == at_us // MINUTE_US]
            assert len(same_day if daily else left) >= most, "refused although there was room"
    for at_us in admitted:
        ahead = [one for one in admitted if at_us <= one < at_us + MINUTE_US]
        same_day = [one for one in admitted if one // MINUTE_US == at_us // MINUTE_US]
        assert len(same_day if daily else ahead) <= most


@given(st.lists(st.tuples(st.sampled_from(["come", "go", "commit"]), st.integers(0, 2), st.integers(0, 2)), max_size=80))
def test_never_do_more_live_than_may_and_nobody_is_forgotten(drawn: list[tuple[str, int, int]]) -> None:
    stored = Stored()
    point = Admission(stored)
    live: dict[int, set[int]] = defaultdict(set)
    waiting: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, (what, key, rank) in enumerate(drawn):
        wanted = [Scope(key, Limit("concurrency", 2))]
        if what == "commit":
            stored.commit(point.changes())
            point = Admission(stored)
        elif what == "come":
            if isinstance(point.ask(wanted, 0, rank), Admitted):
                point.enter(row, wanted, 0)
                live[key].add(row)
            else:
                point.enqueue(row, key, rank)
                waiting[key].append((rank, row))
        elif live[key]:
            gone = min(live[key])
            live[key].remove(gone)
            assert point.leave(gone) == [key]
            first = point.first(key)
            assert first == min(waiting[key], default=None)
            if first is not None:
                assert point.ask(wanted, 0, first[0], queued=True) == Admitted()
                point.dequeue(first[1], key, first[0])
                point.enter(first[1], wanted, 0)
                waiting[key].remove(first)
                live[key].add(first[1])
        assert all(len(rows) <= 2 for rows in live.values())
        assert all(not waiting[key] or len(live[key]) == 2 for key in range(3))
