"""Verdicts: found by the key of what did not come and its latest time, over restarts, and forgotten in their time."""

from __future__ import annotations

from pathlib import Path

from infra.state_store import SqliteStateStore
from infra.verdicts import FORGET, KEPT_US
from schemas.ports import MissedVerdict, TurnCommit

FIRST = MissedVerdict(7, 1_000, b"a" * 16, "acme", "watch")
SECOND = MissedVerdict(7, 2_000, b"b" * 16, "acme", "watch")
OTHER = MissedVerdict(-8, 3_000, b"c" * 16, "globex", "watch")
IN_VAIN = MissedVerdict(7, 1_500, b"d" * 16, "acme", "chain", 500, "e1")


def commit(store: SqliteStateStore, turn: int, now_us: int, *verdicts: MissedVerdict) -> None:
    store.commit(TurnCommit(turn=turn, now_us=now_us, positions={}, verdicts=verdicts))


def test_verdicts_are_found_by_key_and_latest_time_after_a_restart_too(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert (store.last_verdict_us(), list(store.verdicts({7: 0, -8: 0}))) == (None, [])
    commit(store, 1, 10, SECOND, FIRST, IN_VAIN)
    assert store.last_verdict_us() == 2_000
    assert list(store.verdicts({7: 0})) == [FIRST, IN_VAIN, SECOND]
    assert list(store.verdicts({7: 1_001, -8: 0})) == [IN_VAIN, SECOND]
    commit(store, 2, 20, OTHER)
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.last_verdict_us() == 3_000
    assert list(store.verdicts({7: 2_000, 9: 0, -8: 3_000})) == [OTHER, SECOND]
    assert list(store.verdicts(dict.fromkeys(range(-10, 2000), 0))) == [OTHER, FIRST, IN_VAIN, SECOND]
    store.close()


def test_very_old_verdicts_are_forgotten_those_of_sequences_sooner(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    commit(store, 1, 10, FIRST, SECOND, IN_VAIN)
    commit(store, 2, KEPT_US["sequence"] + 1_500)
    commit(store, 3, KEPT_US["sequence"] + 1_500, OTHER)
    assert list(store.verdicts({7: 0})) == [FIRST, IN_VAIN, SECOND]
    commit(store, 4, KEPT_US["sequence"] + 1_501, OTHER)
    assert list(store.verdicts({7: 0})) == [FIRST, SECOND]
    commit(store, 5, KEPT_US["absence"] + 2_000, OTHER)
    assert list(store.verdicts({7: 0, -8: 0})) == [OTHER, SECOND]
    store.close()


def test_many_old_ones_are_forgotten_little_by_little(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    count = 3 * FORGET
    commit(store, 1, 10, *(IN_VAIN._replace(key=key, time_us=1_000 + key) for key in range(count)))
    left = []
    for turn in range(2, 6):
        commit(store, turn, KEPT_US["sequence"] + 1_000_000, OTHER)
        left.append(len(store.verdicts(dict.fromkeys(range(count), 0))))
    assert left == [2 * FORGET - 2, FORGET - 4, 0, 0]
    store.close()
