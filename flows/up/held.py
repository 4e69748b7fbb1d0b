"""Whether a home stands still although executions wait: the event clock is held, and nobody is left who would let it go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flows.roles.process import RoleStatus
from flows.up.home import file_ends
from flows.up.idle import all_idle, all_read
from schemas.errors import Fatal

STILL_S: Final = 10.0  # nothing moved for so long


class ClockHeld(Fatal):
    """The event clock stands still for good, and executions wait for it."""


class HeldWatch:
    """Sees whether all roles but the engine are idle, everything is read, and the engine waits for a clock that is held."""

    def __init__(self, home: Path, still_s: float = STILL_S) -> None:
        """Watch the files of `home`."""
        self._home = home
        self._still_s = still_s
        self._ends: dict[str, int] = {}
        self._since_s: float | None = None

    def look(self, statuses: Mapping[str, RoleStatus | None], now_s: float) -> None:
        """Raise ClockHeld once nothing has moved for `still_s`."""
        engine = statuses.get("engine")
        others = {role: status for role, status in statuses.items() if role != "engine"}
        if engine is None or not engine.counts.get("held") or not all_idle(others):
            self._since_s = None
            return
        ends = file_ends(self._home)
        if self._since_s is None or ends != self._ends or not all_read(statuses, ends):
            self._ends, self._since_s = ends, now_s
        elif now_s - self._since_s >= self._still_s:
            raise ClockHeld(_message(engine.counts, self._home))


def _message(counts: Mapping[str, int], home: Path) -> str:
    waiting, missing = counts.get("waiting", 0), counts.get("open_actions", 0)
    why = f"for {missing:,} commands there is no outcome" if missing else "somebody holds it (control record clock/hold/...)"
    return (
        f"{waiting:,} executions wait, and the event clock stands still: {why}, and nothing is on its way that could move it; "
        f"see `millrace doctor --home {home}` and `millrace dlq list --tenant -`"
    )
