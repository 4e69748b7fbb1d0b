"""Keys seen: found while they are known, and honest about what is not known any more."""

from random import Random

import pytest

from operators.triggers import seen as module
from operators.triggers.seen import SeenKeys


def _keys(count: int, seed: int) -> list[bytes]:
    return [Random(f"{seed}:{n}").randbytes(16) for n in range(count)]


def test_what_was_added_is_found_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YOUNG_MAX", 64)
    seen, added, others = SeenKeys(), _keys(1_000, 1), _keys(1_000, 2)
    for at, key in enumerate(added):
        seen.add([key], at)
    assert seen.among({*added, *others}) == set(added)
    assert len(seen) == 1_000


def test_keys_that_share_their_first_half_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YOUNG_MAX", 2)
    seen = SeenKeys()
    twins = [b"same-eig" + n.to_bytes(8, "big") for n in range(9)]
    for key in twins[:6]:
        seen.add([key], 1)
    assert seen.among(set(twins)) == set(twins[:6])


def test_forgetting_says_since_when_it_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YOUNG_MAX", 10)
    seen = SeenKeys(window_us=100)
    old, new = _keys(10, 1), _keys(10, 2)
    seen.add(old, 5)
    assert seen.complete_since_us == 0
    seen.add(new, 200)
    assert seen.among({*old, *new}) == set(new)
    assert seen.complete_since_us == 5


def test_more_than_the_limit_goes_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YOUNG_MAX", 10)
    monkeypatch.setattr(module, "MERGE_MAX", 10)
    seen = SeenKeys(most=25)
    batches = [_keys(10, n) for n in range(4)]
    for at, batch in enumerate(batches, start=1):
        seen.add(batch, at)
    assert seen.among(set(batches[0])) == set()
    assert seen.among(set(batches[3])) == set(batches[3])
    assert seen.complete_since_us >= 1


def test_keys_restored_in_blocks_are_known_and_leave_like_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "YOUNG_MAX", 10)
    seen = SeenKeys(window_us=100)
    first, second, fresh = _keys(50, 1), _keys(7, 2), _keys(30, 3)
    seen.restore(b"".join(first), 40)
    seen.restore(b"".join(second), 120)
    seen.restore(b"", 0)
    seen.add(fresh, 130)
    assert (len(seen), seen.complete_since_us) == (87, 0)
    assert seen.among({*first, *second, *fresh, *_keys(50, 4)}) == {*first, *second, *fresh}
    seen.add(_keys(1, 5), 200)
    assert (seen.among({*first, *second, *fresh}), seen.complete_since_us) == ({*second, *fresh}, 40)
