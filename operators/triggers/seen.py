"""Event keys seen: a set for the newest, sorted arrays for the rest (contracts.md section 1).

Reads: 16-byte keys of events that had an effect. Emits: which of some keys were there. State: 16 bytes a key (some 100
while young), at most `most` keys; those older than the window go in blocks. Cost: a set look-up and one binary search an
array; arrays double in size.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final

import numpy as np
import numpy.typing as npt

KEY_BYTES: Final = 16
WINDOW_US: Final = 24 * 3_600_000_000
MARGIN_US: Final = 24 * 3_600_000_000  # an event may carry a time one day ahead of its append
KEYS_MAX: Final = 20_000_000
YOUNG_MAX: Final = 1 << 17
MERGE_MAX: Final = 1 << 21  # larger arrays stay apart, so that old keys can go in parts

Words = npt.NDArray[np.uint64]


class SeenKeys:
    """The keys of the last window. `complete_since_us` tells from when on every key is still known."""

    def __init__(self, *, most: int = KEYS_MAX, window_us: int = WINDOW_US + MARGIN_US) -> None:
        self._most = most
        self._window_us = window_us
        self._young: set[bytes] = set()
        self._young_at_us = 0
        self._old: list[tuple[int, Words, Words]] = []  # (newest time, high words sorted, low words)
        self._since_us = 0

    @property
    def complete_since_us(self) -> int:
        """Give the time from which on no key was dropped (0: none ever)."""
        return self._since_us

    def __len__(self) -> int:
        return len(self._young) + sum(len(high) for _, high, _ in self._old)

    def among(self, keys: Set[bytes]) -> set[bytes]:
        """Give those keys that were seen."""
        found = self._young & keys
        if self._old and len(found) < len(keys):
            listed = sorted(keys)  # neighbours are looked up in neighbouring places
            asked = _words(b"".join(listed))
            for _, high, low in self._old:
                found.update(listed[index] for index in _find(asked, high, low))
        return found

    def forget_before(self, at_us: int) -> None:
        """Say that keys from before a time are not all known (after a restart)."""
        self._since_us = max(self._since_us, at_us)

    def add(self, keys: Iterable[bytes], at_us: int) -> None:
        """Remember keys as seen at a time; times never go back."""
        self._forget(at_us - self._window_us)
        self._young.update(keys)
        self._young_at_us = at_us
        if len(self._young) >= YOUNG_MAX:
            self._settle()

    def restore(self, packed: bytes, at_us: int) -> None:
        """Remember keys of earlier turns, the newest seen at a time: all at once, one by one they take ten times as long."""
        if packed:
            self._forget(at_us - self._window_us)
            self._keep(_words(packed), at_us)

    def _settle(self) -> None:
        words = _words(b"".join(self._young))
        self._young = set()
        self._keep(words, self._young_at_us)

    def _keep(self, words: Words, newest: int) -> None:
        while self._old and len(self._old[-1][1]) <= len(words) < MERGE_MAX:
            _, high, low = self._old.pop()
            words = np.concatenate([words, np.stack([high, low], axis=1)])
        words = words[np.argsort(words[:, 0], kind="stable")]
        self._old.append((newest, np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])))

    def _forget(self, before_us: int) -> None:
        while self._old and (self._old[0][0] < before_us or len(self) > self._most):
            self._since_us = max(self._since_us, self._old.pop(0)[0])


def _words(packed: bytes) -> Words:
    return np.frombuffer(packed, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _find(asked: Words, high: Words, low: Words) -> Iterable[int]:
    """Give the indices of those asked that are there; keys with one high word lie side by side."""
    places = np.searchsorted(high, asked[:, 0])
    near = np.flatnonzero(places < len(high))
    for index in near[high[places[near]] == asked[near, 0]].tolist():
        place = int(places[index])
        while place < len(high) and high[place] == asked[index, 0]:
            if low[place] == asked[index, 1]:
                yield index
                break
            place += 1
