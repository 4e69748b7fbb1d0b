"""Verdicts of absences: found by the key of what did not come, over restarts, and forgotten after three years."""

from __future__ import annotations

from pathlib import Path

from infra.state_store import SqliteStateStore
from infra.verdicts import KEPT_US
from schemas.ports import AbsenceVerdict, TurnCommit

FIRST = AbsenceVerdict(7, b"a" * 16, 1_000, "acme", "watch")
SECOND = AbsenceVerdict(7, b"b" * 16, 2_000, "acme", "watch")
OTHER = AbsenceVerdict(-8, b"c" * 16, 3_000, "globex", "watch")


def commit(store: SqliteStateStore, turn: int, now_us: int, *verdicts: AbsenceVerdict) -> None:
    store.commit(TurnCommit(turn=turn, now_us=now_us, positions={}, verdicts=verdicts))


def test_verdicts_are_found_by_their_keys_after_a_restart_too(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert list(store.verdicts([7, -8])) == []
    commit(store, 1, 10, SECOND, FIRST)
    commit(store, 2, 20, OTHER)
    assert list(store.verdicts([7])) == [FIRST, SECOND]
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert list(store.verdicts([7, 9, -8])) == [OTHER, FIRST, SECOND]
    store.close()


def test_very_old_verdicts_are_forgotten(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    commit(store, 1, 10, FIRST, SECOND)
    commit(store, 2, KEPT_US + 2_000, OTHER)
    assert list(store.verdicts([7, -8])) == [OTHER, SECOND]
    store.close()
