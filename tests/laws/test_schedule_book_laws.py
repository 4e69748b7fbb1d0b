"""The laws of the schedule book: a slot runs once, whatever steps time takes, restarts and redeploys happen."""

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.schedules.schedule import Slot
from operators.schedules.schedule_book import DueSlot, ScheduleBook, ScheduleKey
from schemas.ports import SchedulePlace
from schemas.program import Schedule
from tests.examples import examples

START_US = 1_774_720_000_000_000  # 2026-03-28 17:46:40 UTC: before Europe's clocks go forward
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
CRONS = ["*/20 * * * *", "0 */2 * * *", "30 2 * * *", "0,15 1-3 * * *", "0 9 * * SUN#L"]
ZONES = ["Europe/Berlin", "UTC", "Asia/Kathmandu"]

schedules = st.builds(
    lambda cron, zones, jitter, name: Schedule(cron, tuple(zones), jitter_us=jitter, name=name),
    st.sampled_from(CRONS),
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True),
    st.sampled_from([0, 5 * MINUTE_US]),
    st.just("nightly"),
)
flows = st.dictionaries(st.sampled_from(["f", "g", "h"]), schedules, min_size=1, max_size=3)
steps = st.lists(
    st.tuples(st.integers(0, 5 * HOUR_US), st.sampled_from(["", "restart", "redeploy"]), st.integers(1, 50)),
    min_size=1,
    max_size=8,
)


class Machine:
    """A book and the file behind it."""

    def __init__(self, clock: Literal["wall", "events"], flows: dict[str, Schedule], now_us: int) -> None:
        self.clock: Literal["wall", "events"] = clock
        self.flows = flows
        self.file: dict[tuple[str, ...], SchedulePlace] = {}
        self.now_us = now_us
        self.version = 0
        self.book = ScheduleBook(clock)
        self.deploy()

    def deploy(self) -> None:
        self.version += 1
        for flow, schedule in self.flows.items():
            self.book.follow("acme", flow, f"{flow}{self.version}", [(0, schedule)], self.now_us)
        self.commit()

    def restart(self) -> None:
        self.book = ScheduleBook(self.clock, self.file.values())
        self.deploy()

    def commit(self) -> None:
        places, gone = self.book.take_changes()
        for key in gone:
            self.file.pop(key, None)
        self.file.update({place[:4]: place for place in places})

    def step(self, until_us: int, most: int = 1_000) -> list[DueSlot]:
        found: list[DueSlot] = []
        while some := self.book.due(until_us, most):
            found += some
            self.commit()
        self.now_us = until_us
        return found


def named(found: list[DueSlot]) -> list[tuple[int, ScheduleKey, Slot]]:
    return [(one.due_us, one.key, one.slot) for one in found]


@given(flows, steps)
@settings(max_examples=examples(80), deadline=None)
def test_steps_restarts_and_redeploys_do_not_show_under_the_event_clock(
    flows: dict[str, Schedule], steps: list[tuple[int, str, int]]
) -> None:
    machine, found, now_us = Machine("events", flows, START_US), [], START_US
    for on_us, then, most in steps:
        now_us += on_us
        found += machine.step(now_us, most)
        if then:
            getattr(machine, "deploy" if then == "redeploy" else then)()
    assert named(found) == named(Machine("events", flows, START_US).step(now_us))
    assert found == sorted(found)


@given(flows, steps)
@settings(max_examples=examples(80), deadline=None)
def test_under_the_wall_clock_missed_slots_run_once_or_not_and_all_if_asked(
    flows: dict[str, Schedule], steps: list[tuple[int, str, int]]
) -> None:
    everything = named(Machine("events", flows, START_US).step(START_US + sum(step[0] for step in steps)))
    for missed in ("all", "last", "none"):
        kept = {
            name: Schedule(one.cron, one.zones, missed, jitter_us=one.jitter_us, name=one.name) for name, one in flows.items()
        }
        machine, now_us = Machine("wall", kept, START_US), START_US
        found = []
        for on_us, then, _ in steps:
            now_us += on_us
            some = named(machine.step(now_us))
            if missed != "all":
                assert len({key for _, key, _ in some}) == len(some)
            if missed == "none":
                assert all(due_us >= now_us - MINUTE_US for due_us, _, _ in some)
            found += some
            if then == "restart":
                machine.restart()
        assert set(found) <= set(everything)
        assert len(set(found)) == len(found)
        if missed == "all":
            assert sorted(found) == sorted(everything)


@given(schedules, st.integers(0, 3 * HOUR_US), st.integers(0, 30 * HOUR_US))
@settings(max_examples=examples(60), deadline=None)
def test_before_the_event_clock_begins_nothing_is_due(schedule: Schedule, first_us: int, on_us: int) -> None:
    early, late = Machine("events", {"f": schedule}, 0), Machine("events", {"f": schedule}, START_US + first_us)
    assert early.book.next_due_us() is None
    early.restart()
    early.book.begin(START_US + first_us)
    until_us = START_US + first_us + on_us
    assert named(early.step(until_us)) == named(late.step(until_us))


@given(flows)
@settings(max_examples=examples(20), deadline=None)
def test_a_flow_taken_out_leaves_nothing_and_begins_anew(flows: dict[str, Schedule]) -> None:
    machine = Machine("wall", flows, START_US)
    for flow in flows:
        machine.book.follow("acme", flow, "", [], START_US)
    assert machine.step(START_US + 40 * HOUR_US) == []
    machine.commit()
    assert machine.file == {}
    machine.deploy()
    assert all(due_us > START_US + 40 * HOUR_US for due_us, _, _ in named(machine.step(START_US + 80 * HOUR_US)))
