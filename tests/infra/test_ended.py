"""Executions that have ended leave the engine's file when they began long enough ago; nothing else ever does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.ended import DAY_US, SLICE
from infra.sqlite import close, open_reader, rows, value
from infra.state_store import SqliteStateStore
from schemas.errors import BrokenInvariant
from schemas.ports import ChangedExecution, NewExecution, TurnCommit

DAYS = 5
FIRST_US = 1_767_225_600_000_000  # 2026-01-01 00:00
SECOND_US = 1_000_000


def new(row: int, *, live: bool = True, named: bool = False) -> NewExecution:
    """Make an execution; one that was named by hand has the time 0 in front of its id."""
    identity = (0 if named else 1 + row).to_bytes(6, "big") + row.to_bytes(10, "big")
    return NewExecution(row, 0, identity, "acme", "flow", "v1", "waiting", FIRST_US, b"state" if live else None)


@dataclass(slots=True)
class World:
    """A store, and what of it must be there."""

    path: Path
    store: SqliteStateStore = field(init=False)
    turn: int = 0
    next_row: int = 1
    at_us: int = FIRST_US
    day: int = 0
    began: dict[int, int] = field(default_factory=dict)  # row -> day
    live: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Open the file."""
        self.store = SqliteStateStore(self.path, ended_days=DAYS)

    def reopen(self) -> None:
        """Begin again with what is in the file."""
        self.store.close()
        self.store = SqliteStateStore(self.path, ended_days=DAYS)

    def go(self, by_us: int) -> None:
        """Let the wall clock go on, or step back; a day that was is not undone by that."""
        self.at_us = max(FIRST_US, self.at_us + by_us)
        self.day = max(self.day, (self.at_us - FIRST_US) // DAY_US)

    def commit(self, starts: list[NewExecution], ends: list[int], discarded: list[int], *, fails: bool = False) -> None:
        """Commit a turn, or one that breaks and leaves nothing."""
        turn = TurnCommit(
            turn=self.turn + 1,
            now_us=0,  # of an event clock that stands still: the wall's time counts
            wall_us=self.at_us,
            positions={},
            starts=starts,
            changes=[ChangedExecution(row, "completed", None) for row in ends],
            discarded=discarded,
        )
        if fails:
            with pytest.raises(BrokenInvariant):
                self.store.commit(replace(turn, starts=[*starts, new(self.next_row + 1_000), new(self.next_row + 1_000)]))
            self.reopen()
            return
        self.store.commit(turn)
        self.turn += 1
        for start in starts:
            self.next_row = start.row + 1
            self.began[start.row] = self.day
            self.live |= {start.row} if start.state is not None else set()
            self.named |= {start.row} if start.id[:6] == bytes(6) else set()
        self.live.difference_update(ends, discarded)

    def stored(self) -> set[int]:
        """Give the rows that are in the file."""
        connection = open_reader(self.path)
        try:
            return {row for (row,) in rows(connection, "select row from executions")}
        finally:
            close(connection)

    def check(self) -> None:
        """Hold that whatever may be asked for is there, and that all that live are counted."""
        stored = self.stored()
        assert stored <= self.began.keys()
        kept = {row for row, day in self.began.items() if row in self.live | self.named or day > self.day - DAYS}
        assert kept <= stored
        assert self.store.meta().live == len(self.live)


@pytest.mark.slow
@given(data=st.data())
def test_only_what_ended_and_is_old_goes_and_all_of_it_does(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "engine-0.db")
        for _ in range(data.draw(st.integers(1, 25), label="turns")):
            world.go(data.draw(st.sampled_from([0, SECOND_US, DAY_US // 2, DAY_US, 4 * DAY_US, -DAY_US]), label="goes by"))
            first = world.next_row + data.draw(st.integers(0, 2), label="rows of starts that left no trace")
            kinds = data.draw(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6), label="starts (live, named)")
            starts = [new(row, live=live, named=named) for row, (live, named) in enumerate(kinds, first)]
            over = data.draw(st.sets(st.sampled_from(sorted(world.live)))) if world.live else set()
            watches = {row for row in over if row not in world.named and row % 3 == 0}
            world.commit(starts, sorted(over - watches), sorted(watches), fails=data.draw(st.integers(0, 9)) == 0)
            if data.draw(st.booleans(), label="reopen"):
                world.reopen()
            world.check()
        world.commit([], sorted(world.live), [])
        world.go(500 * DAY_US)
        world.commit([new(world.next_row, live=False)], [], [])
        world.check()
        assert world.stored() == world.live | world.named | {world.next_row - 1}
        world.store.close()


def test_a_sweep_takes_a_slice_a_turn_and_goes_on_where_it_was(tmp_path: Path) -> None:
    world = World(tmp_path / "engine-0.db")
    count = 3 * SLICE
    world.commit([new(row, live=row % 2 == 0) for row in range(1, count + 1)], [], [])
    world.go((DAYS - 1) * DAY_US)
    world.commit([new(count + 1)], [], [])
    assert len(world.stored()) == count + 1  # they began less than five days ago, if it was late in the day
    world.go(2 * DAY_US)
    left = []
    for _ in range(4):
        world.commit([], [], [])
        left.append(len(world.stored()))
        world.reopen()
    assert left == [count + 1 - done * SLICE // 2 for done in (1, 2, 3, 3)]  # one of two has ended
    world.commit([], [2, 4], [])  # they lived on when the sweep passed them
    assert {2, 4, 6} & world.stored() == {6}
    assert world.store.existing([new(2).id, new(6).id]) == {new(6).id}
    world.check()
    world.store.close()


def test_a_store_that_keeps_all_still_marks_its_days(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    for turn, at_us in enumerate((FIRST_US, FIRST_US + 900 * DAY_US), 1):
        store.commit(TurnCommit(turn=turn, now_us=0, wall_us=at_us, positions={}, starts=[new(turn, live=False)]))
    store.commit(TurnCommit(turn=3, now_us=0, wall_us=FIRST_US + 1800 * DAY_US, positions={}))
    store.close()
    connection = open_reader(tmp_path / "engine-0.db")
    assert value(connection, "select count(*) from executions") == 2
    close(connection)
    world = World(tmp_path / "engine-0.db")  # the setting may come later
    world.turn, world.next_row = 3, 3
    world.go(1900 * DAY_US)
    world.commit([], [], [])
    assert world.stored() == set()
    world.store.close()
