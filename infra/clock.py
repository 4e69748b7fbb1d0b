"""The wall clock, made monotone: an NTP step back stops it until the world has caught up."""

from __future__ import annotations

import time


class SystemClock:
    """Tells wall time; never before an earlier answer of the same clock."""

    def __init__(self, least_us: int = 0) -> None:
        """Start no earlier than `least_us` (the last committed now)."""
        self._last_us = least_us

    def now_us(self) -> int:
        """Give microseconds since 1970, UTC."""
        self._last_us = max(self._last_us, time.time_ns() // 1000)
        return self._last_us

    def sleep_us(self, us: int) -> None:
        """Wait; not at all for a wait that has passed."""
        if us > 0:
            time.sleep(us / 1_000_000)
