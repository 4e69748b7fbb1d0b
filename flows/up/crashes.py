"""When a role that crashed is started again, and when it is given up.

Reads the times of crashes, emits the time of the next start. State: the crashes of the last minute.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 60.0
FIRST_S: Final = 0.1
MOST_S: Final = 10.0


@dataclass(slots=True)
class Crashes:
    """The crashes of one role. `limit` crashes within a minute give it up; the wait before a restart doubles with each."""

    limit: int
    times_s: deque[float] = field(default_factory=deque)

    def count(self, now_s: float, *, went_on: bool = False) -> None:
        """Note a crash. `went_on`: the process had set a record aside before, so those ahead of it were another matter."""
        if went_on:
            self.times_s.clear()
        self.times_s.append(now_s)
        while self.times_s and self.times_s[0] <= now_s - WINDOW_S:
            self.times_s.popleft()

    @property
    def given_up(self) -> bool:
        """Tell whether the role crashed too often to be started again."""
        return len(self.times_s) >= self.limit

    @property
    def wait_s(self) -> float:
        """Give the wait before the next start."""
        return min(MOST_S, FIRST_S * 2.0 ** (len(self.times_s) - 1)) if self.times_s else 0.0
