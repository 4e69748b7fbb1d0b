"""Retention: each role drops the old days of the file that it writes, never past a reader of that file.

Promise: a day goes when it is older than the setting `retention_days` and every role has committed what it read of it; a role
that never ran holds everything back. What is deployed (the control topic) never goes, nor do executions, timers and views.
State: the readers' own positions, in their files; the projector tells its own beside its file, which nobody else may open.
Cost: some ms an hour, and behind a day that went some ms for each 4 MiB of it, never more than a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from infra.log_tables import Registered, day_of
from infra.positions import read_file
from schemas.ports import Clock, Slot
from schemas.topics import (
    ACTIONS_PREFIX,
    CANCELS,
    COMMANDS,
    INGRESS_FILE,
    RESULTS,
    dispatcher_file,
    engine_file,
    is_events,
    is_said_to_engine,
)
from sinks.projection.topics_read import reads

DAY_US: Final = 86_400_000_000
EVERY_US: Final = 3_600_000_000
TOLD_EVERY_US: Final = 60_000_000
TOLD: Final = "views.positions"
REST: Final = 9  # freeing takes at most a tenth of the time
Wanted = Callable[[str], bool]


class Days(Protocol):
    """The log of a role's own file, by days."""

    def drop_before(self, day: int, readers: Sequence[Registered]) -> list[int]:
        """Drop days before `day` that every reader has read; give the days dropped."""
        ...

    def free_dropped(self) -> bool:
        """Free a piece of what was dropped; tell whether there is more."""
        ...


class Retention:
    """Drops old days of one file of a home. Call `tick` often; it works once an hour."""

    def __init__(self, home: Path, file: str, log: Days, days: int, clock: Clock) -> None:
        """`log` is the file's own; the first look is at the first tick."""
        self._home = home
        self._file = file
        self._log = log
        self._days = days
        self._clock = clock
        self._next_us = 0
        self._free_us = 0  # the next piece; what a process before this one left is found at the first tick

    def tick(self) -> list[int]:
        """Drop what is old enough, where it is time to look; give the days dropped. Free a piece of what was dropped."""
        now_us = self._clock.now_us()
        if now_us >= self._free_us:
            more = self._log.free_dropped()
            done_us = self._clock.now_us()
            self._free_us = done_us + (REST * (done_us - now_us) if more else EVERY_US)
        if now_us < self._next_us:
            return []
        self._next_us = now_us + EVERY_US
        dropped = self._log.drop_before(day_of(now_us - self._days * DAY_US), readers_of(self._home, self._file))
        if dropped:
            self._free_us = 0
        return dropped


def readers_of(home: Path, file: str) -> list[Registered]:
    """Give the roles that read a file of a home, each with what it wants of it and how far it has committed."""
    engine, dispatcher = read_file(home / engine_file(0)), read_file(home / dispatcher_file(0))
    wanted: dict[str, tuple[tuple[str, Wanted, Mapping[Slot, int]], ...]] = {
        INGRESS_FILE: (("engine", is_said_to_engine, engine), ("dispatcher", COMMANDS.__eq__, dispatcher)),
        engine_file(0): (("dispatcher", _is_action, dispatcher), ("engine", is_events, engine)),
        dispatcher_file(0): (("engine", RESULTS.__eq__, engine),),
    }
    projector = ("projector", reads, told_positions(home))
    return [Registered(*reader) for reader in (*wanted[file], projector)]


class Telling:
    """How the projector lets the others know how far it is: a small file that is never ahead of its commits."""

    def __init__(self, home: Path, clock: Clock) -> None:
        """Tell in `home`."""
        self._path = home / TOLD
        self._clock = clock
        self._next_us = 0

    def tick(self, positions: Mapping[Slot, int]) -> None:
        """Tell committed positions, at once the first time and then once a minute."""
        now_us = self._clock.now_us()
        if now_us < self._next_us:
            return
        self._next_us = now_us + TOLD_EVERY_US
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode([(*slot, following) for slot, following in positions.items()]))
        fresh.replace(self._path)


def told_positions(home: Path) -> dict[Slot, int]:
    """Give the positions that the projector told; {} where it has not, or a power cut took them."""
    try:
        told = _told.decode((home / TOLD).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {Slot(source, topic, partition): following for source, topic, partition, following in told}


def _is_action(topic: str) -> bool:
    return topic.startswith(ACTIONS_PREFIX) or topic == CANCELS


_told = msgspec.json.Decoder(list[tuple[str, str, int, int]])
