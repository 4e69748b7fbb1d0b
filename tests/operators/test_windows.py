"""Windows worked by hand: what they start, what is late, what takes a verdict back."""

from decimal import Decimal
from typing import Literal

import pytest

from operators.windows.windows import Watcher
from schemas.expression.tree import Compare, Constant
from schemas.expression.types import INT
from schemas.program import Window
from tests.laws.test_window_laws import COUNT, CUSTOMER, MEASURES, Kernel, least, watchers_of
from tests.laws.window_twin import Event

POUND = Decimal(1)
Kind = Literal["sliding", "tumbling", "session"]


def order(name: str, time: int, customer: str | None = "a", clock: int | None = None) -> Event:
    at = time if clock is None else clock
    return Event(name, "acme", time, customer, POUND, 1, at, at - 1)


def watcher(window: Window) -> list[Watcher]:
    return watchers_of([("acme", "f", None, window)])


def said(kernel: Kernel) -> list[tuple[str, int, int]]:
    return [(one.event, one.row, one.clock) for one in kernel.verdicts]


def test_a_sliding_window_starts_a_flow_when_it_comes_true_and_again_when_it_was_false_between() -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, "sliding", 10, MEASURES, least(COUNT, 2))))
    kernel.take([order("e1", 100), order("e2", 105), order("e3", 106), order("e4", 130), order("e5", 139), order("e6", 139)])
    assert said(kernel) == [("e2", 1, -1), ("e5", 4, -1)]  # at e4 it was false; at e6 it was true before
    assert dict(kernel.verdicts[0].measures) == {"window.orders": 2, "window.spend": 2, "window.most": 1, "window.kinds": 1}


@pytest.mark.parametrize("kind", ["sliding", "tumbling", "session"])
def test_an_event_at_the_very_edge_is_in_the_next_window_and_one_a_hair_before_it_in_this(kind: Kind) -> None:
    counted = []
    for last in (19, 20, 21):
        kernel = Kernel(watcher(Window(CUSTOMER, kind, 20, MEASURES, None, "every")))
        kernel.take([order("e1", 1_000), order("e2", 1_000 + last)])
        counted.append([dict(one.measures)["window.orders"] for one in kernel.verdicts])
    assert counted == [[1, 2], [1, 1], [1, 1]]


@pytest.mark.parametrize(("kind", "end"), [("tumbling", 1_020), ("session", 1_039)])
def test_what_closes_counts_up_to_its_edge_and_ends_there(kind: Kind, end: int) -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, kind, 20, MEASURES, None, "close")))
    kernel.take([order("e1", 1_000), order("e2", 1_019), order("e3", end), order("e4", end + 19), order("e5", end + 100)])
    assert [(one.event, dict(one.measures)["window.orders"]) for one in kernel.verdicts] == [("e2", 2), ("e4", 2)]


def test_every_event_may_start_a_flow() -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, "sliding", 10, MEASURES, least(COUNT, 2), "every")))
    kernel.take([order("e1", 100), order("e2", 105), order("e3", 106)])
    assert said(kernel) == [("e2", 1, -1), ("e3", 2, -1)]


def test_events_that_come_late_within_the_lateness_are_put_in_order() -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, "sliding", 10, MEASURES, least(COUNT, 2), lateness_us=20)))
    kernel.take([order("e2", 105), order("e1", 100, clock=106), order("e3", 130, clock=110)])
    assert said(kernel) == [("e2", 2, -1)]  # e1 before e2, as they happened; judged when e3 shows that nothing earlier comes
    kernel.advance(149)
    assert len(kernel.verdicts) == 1
    assert kernel.late == []


def test_an_event_behind_the_frontier_is_late_and_in_no_window() -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, "sliding", 10, MEASURES, least(COUNT, 2))))
    kernel.take([order("e1", 100), order("e2", 99, clock=101), order("e3", 98, customer=None, clock=102)])
    assert [(one.event, one.flow, one.key) for one in kernel.late] == [("e2", "f", "a")]
    assert kernel.verdicts == []


def test_what_comes_twice_counts_once() -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, "sliding", 10, MEASURES, least(COUNT, 2))))
    kernel.take([order("e1", 100), order("e1", 100)])
    kernel.take([order("e1", 100)])
    assert kernel.verdicts == []


@pytest.mark.parametrize(("kind", "end"), [("tumbling", 120), ("session", 125)])
def test_a_window_is_judged_once_when_it_closes_and_by_the_clock_if_nothing_comes(kind: str, end: int) -> None:
    kernel = Kernel(watcher(Window(CUSTOMER, kind, 20, MEASURES, least(COUNT, 2), "close")))  # type: ignore[arg-type]
    kernel.take([order("e1", 101), order("e2", 105)])
    assert kernel.windows.next_due_us() == end
    kernel.advance(end - 1)
    assert kernel.verdicts == []
    kernel.advance(end + 5)
    assert said(kernel) == [("e2", -1, end)]
    kernel.take([order("e3", 300)])
    assert len(kernel.verdicts) == 1


@pytest.mark.parametrize("kind", ["tumbling", "session"])
def test_a_late_event_takes_back_what_a_closed_window_said(kind: str) -> None:
    alone = Compare("<=", COUNT, Constant(1, INT))
    kernel = Kernel(watcher(Window(CUSTOMER, kind, 20, MEASURES, alone, "close", retract_us=40)))  # type: ignore[arg-type]
    kernel.take([order("e1", 105), order("e2", 135, customer="b")])
    assert said(kernel)[0][0] == "e1"
    kernel.restart()
    kernel.take([order("e3", 106, clock=137), order("e4", 107, clock=138)])
    assert [(one.late, one.flow, one.event) for one in kernel.back] == [("e3", "f", "e1")]
    assert [one.event for one in kernel.late] == ["e3", "e4"]


def test_a_verdict_that_was_taken_back_stays_so_over_restarts_beside_one_that_stands() -> None:
    alone = Compare("<=", COUNT, Constant(1, INT))
    kernel = Kernel(watcher(Window(CUSTOMER, "tumbling", 20, MEASURES, alone, "close", retract_us=400)))
    kernel.take([order("a1", 105), order("b1", 106, customer="b"), order("c1", 145, customer="c")])
    kernel.restart()
    kernel.take([order("a2", 107, clock=146)])
    kernel.restart()
    kernel.take([order("a3", 108, clock=147), order("b2", 108, customer="b", clock=148)])
    assert [(one.late, one.event) for one in kernel.back] == [("a2", "a1"), ("b2", "b1")]


def test_a_verdict_stands_when_the_time_to_disprove_it_is_over() -> None:
    alone = Compare("<=", COUNT, Constant(1, INT))
    kernel = Kernel(watcher(Window(CUSTOMER, "tumbling", 20, MEASURES, alone, "close", retract_us=40)))
    kernel.take([order("e1", 105), order("e2", 160, customer="b"), order("e3", 106, clock=161)])
    assert kernel.back == []
    assert kernel.late != []
