"""After a restart the engine knows from when on it knows every key, also where the store let keys go by number."""

from pathlib import Path

from flows.engine.restore import restore_seen
from infra.seen import SeenWindow
from infra.state_store import SqliteStateStore
from operators.triggers.seen import SeenKeys
from schemas.ports import TurnCommit

NOW_US = 1_780_000_000_000_000
MOST = 10


def _restored(path: Path, turns: int) -> SeenKeys:
    store = SqliteStateStore(path, window=SeenWindow(keys_most=MOST))
    for number in range(1, turns + 1):
        store.commit(TurnCommit(number, NOW_US + number, {}, seen={7: bytes([number]) * 16}))
    seen = SeenKeys()
    restore_seen(store, seen, MOST)
    store.close()
    return seen


def test_where_keys_went_by_number_only_what_is_left_counts_as_known(tmp_path: Path) -> None:
    seen = _restored(tmp_path / "engine-0.db", turns=25)
    assert len(seen) == MOST
    assert seen.complete_since_us == NOW_US + 25 - MOST + 1


def test_a_young_store_has_lost_nothing(tmp_path: Path) -> None:
    seen = _restored(tmp_path / "engine-0.db", turns=4)
    assert len(seen) == 4
    assert seen.complete_since_us < NOW_US - 86_400_000_000
