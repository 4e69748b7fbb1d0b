"""Names that somebody has to look at: at once, or when their time comes. In memory; a look too many does no harm."""

from __future__ import annotations

import heapq


class Wakes:
    """What was noted since it was last taken.

    >>> wakes = Wakes()
    >>> wakes.add("b"), wakes.add_at(7, "a"), wakes.next_us()
    (None, None, 0)
    >>> wakes.take(6), wakes.next_us(), wakes.take(7), wakes.next_us()
    (['b'], 7, ['a'], None)
    """

    def __init__(self) -> None:
        """Nothing is noted yet."""
        self._now: set[str] = set()
        self._later: list[tuple[int, str]] = []

    def add(self, name: str | None) -> None:
        """Note a name to look at; None is nobody."""
        if name is not None:
            self._now.add(name)

    def add_at(self, due_us: int, name: str) -> None:
        """Note a name to look at when it is time."""
        heapq.heappush(self._later, (due_us, name))

    def take(self, now_us: int) -> list[str]:
        """Give the names to look at now, sorted, and forget that they were noted."""
        while self._later and self._later[0][0] <= now_us:
            self._now.add(heapq.heappop(self._later)[1])
        names, self._now = sorted(self._now), set()
        return names

    def next_us(self) -> int | None:
        """Tell when there is something to look at; 0: at once."""
        if self._now:
            return 0
        return self._later[0][0] if self._later else None
