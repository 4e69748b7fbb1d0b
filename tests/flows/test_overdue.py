"""The reaper of `doctor`: what is past its time, and what nothing will wake."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.overdue import MARGIN_US, overdue_finding
from infra.state_store import SqliteStateStore
from operators.execution.execution import Cause, Closing, Parked, Rest, State, pack
from schemas.ports import NewExecution, Timer, TurnCommit

NOW = 1_767_225_600_000_000
CAUSE = Cause("e1", "/crm", NOW, "c1", 0)


def state(*parked: Parked, rest: Rest | None = None) -> bytes:
    return pack(State(CAUSE, NOW, {}, parked, {}, 1, rest))


def home(path: Path, packed: bytes, *, due_us: int | None) -> Path:
    store = SqliteStateStore(path / "engine-0.db")
    start = NewExecution(1, 0, bytes(16), "acme", "dunning", "v1", "waiting", NOW, packed)
    times = [] if due_us is None else [Timer(due_us, 1, 0)]
    store.commit(TurnCommit(1, NOW, {}, starts=[start], deadlines_set=times))
    store.close()
    return path


def test_what_has_its_time_ahead_is_fine(tmp_path: Path) -> None:
    parked = Parked(0, 0, NOW + 1, "deadline")
    assert overdue_finding(home(tmp_path, state(parked), due_us=NOW + 1)).level == "ok"


def test_a_busy_engine_may_be_a_little_behind(tmp_path: Path) -> None:
    parked = Parked(0, 0, NOW - 1, "deadline")
    assert overdue_finding(home(tmp_path, state(parked), due_us=NOW - 1)).level == "ok"


def test_what_is_past_its_time_is_told(tmp_path: Path) -> None:
    late_us = NOW - MARGIN_US - 1
    found = overdue_finding(home(tmp_path, state(Parked(0, 0, late_us, "deadline")), due_us=late_us))
    assert found.level == "wrong"
    assert "1 timers and deadlines are past their time" in found.detail


def test_what_nothing_will_wake_is_told_by_name(tmp_path: Path) -> None:
    found = overdue_finding(home(tmp_path, state(Parked(0, 0, NOW + 1)), due_us=None))
    assert found.level == "wrong"
    assert f"{bytes(16).hex()} (acme, dunning)" in found.detail


@pytest.mark.parametrize(
    "packed",
    [
        state(Parked(0, 0, NOW + 1, "result")),
        state(rest=Rest(closing=Closing("failed", "rejected", "charge", "no", stuck=True))),
    ],
)
def test_an_outcome_and_an_operator_are_something_to_wait_for(tmp_path: Path, packed: bytes) -> None:
    found = overdue_finding(home(tmp_path, packed, due_us=None))
    assert found.level == "ok"
    assert "1 wait for the outcome" in found.detail


def test_a_home_without_an_engine_has_nothing_to_prove(tmp_path: Path) -> None:
    assert overdue_finding(tmp_path).level == "note"
