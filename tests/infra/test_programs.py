"""Programs stay while an execution runs them, and leave when none is left."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import programs as module
from infra.state_store import SqliteStateStore
from schemas.ports import ChangedExecution, NewExecution, TurnCommit
from tests.simulation.run import MEMORY

DAY_US = 86_400_000_000
FIRST_US = 1_767_225_600_000_000
VERSIONS = ("v0", "v1", "v2", "v3")


def new(row: int, version: str) -> NewExecution:
    return NewExecution(row, 0, row.to_bytes(16, "big"), "acme", "flow", version, "waiting", FIRST_US, b"state")


@dataclass(slots=True)
class World:
    """A store as an engine uses it: what the engine thinks is stored it does not give again."""

    path: Path
    store: SqliteStateStore = field(init=False)
    pinned: set[str] = field(default_factory=set)
    live: dict[int, str] = field(default_factory=dict)
    turn: int = 0
    next_row: int = 1
    at_us: int = FIRST_US

    def __post_init__(self) -> None:
        """Open the file."""
        self.store = SqliteStateStore(self.path)

    def restart(self) -> None:
        """Begin again, knowing nothing."""
        self.store.close()
        self.store = SqliteStateStore(self.path)
        self.pinned.clear()

    def commit(self, starts: list[str], ends: list[int], moves: dict[int, str]) -> None:
        """Start, end and move executions."""
        self.turn += 1
        rows = [new(row, version) for row, version in enumerate(starts, self.next_row)]
        changes = [ChangedExecution(row, "completed", None) for row in ends]
        changes += [ChangedExecution(row, "waiting", b"state", version) for row, version in moves.items()]
        fresh = sorted({*starts, *moves.values()} - self.pinned)
        given = [(version, version.encode()) for version in fresh]
        turn = TurnCommit(
            turn=self.turn, now_us=0, wall_us=self.at_us, positions={}, starts=rows, changes=changes, programs=given
        )
        self.store.commit(turn)
        self.pinned.update(fresh)
        self.pinned.difference_update(self.store.unpinned())
        self.next_row += len(starts)
        self.live.update({one.row: one.version for one in rows} | moves)
        for row in ends:
            del self.live[row]


@given(data=st.data())
def test_what_is_run_is_stored_whatever_sweeps_have_passed(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        patch.setattr(module, "SLICE", 3)
        world = World(Path(folder) / "engine-0.db")
        for _ in range(data.draw(st.integers(1, 30), label="turns")):
            world.at_us += data.draw(st.sampled_from([0, DAY_US // 3, DAY_US]), label="goes by")
            _live_on(world, data)
            assert set(world.live.values()) <= set(world.store.versions())
            assert all(world.store.program(version) == version.encode() for version in world.store.versions())
        for _ in range(2 * (world.next_row // 3 + 2)):  # a sweep that goes on, and a whole one
            world.at_us += DAY_US
            world.commit([], [], {})
        assert set(world.store.versions()) == set(world.live.values())
        world.store.close()


def _live_on(world: World, data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.sampled_from(VERSIONS), max_size=3), label="starts")
    rows = sorted(world.live)
    ends = sorted(data.draw(st.sets(st.sampled_from(rows), max_size=4), label="ends")) if rows else []
    rest = sorted(set(rows) - set(ends))
    moves = (
        data.draw(st.dictionaries(st.sampled_from(rest), st.sampled_from(VERSIONS), max_size=1), label="moves") if rest else {}
    )
    world.commit(starts, ends, moves)
    if data.draw(st.booleans(), label="restart"):
        world.restart()


def test_a_sweep_comes_to_its_end_while_more_begin_in_a_turn_than_it_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 3)
    world = World(tmp_path / "engine-0.db")
    world.commit(["v0"] * 20, [], {})
    world.commit(["v1"] * 10, list(range(1, 21)), {})
    world.at_us += 2 * DAY_US
    for _ in range(20):
        world.commit(["v1"] * 10, [], {})
    assert world.store.versions() == ["v1"]
    world.store.close()
