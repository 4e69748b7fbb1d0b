"""Damaged views mend themselves: the file is set aside, and the views are made again from their last snapshot, or the logs.

Promise: no row twice or lost, for a snapshot knows its positions, and what comes behind them is in the logs. Where retention
has dropped the beginning, it is said from when on the views are whole. The third damage within an hour, or before the views
were whole again, stops the projector: then it is the disk or the memory.
State: one small file beside the views, written before each step, so a death in between goes on with it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from flows.roles.retention import TOLD
from infra.log_ends import log_ends, whole_from_us
from schemas.errors import StorageFailed
from schemas.ports import Clock, Slot
from schemas.topics import INGRESS_FILE, dispatcher_file, engine_file
from sinks.projection.query_socket import FILE
from sinks.projection.set_aside import aside_name, set_aside, take_snapshot
from sinks.projection.snapshot import NAME
from sinks.projection.topics_read import reads

NOTE: Final = "views.mended"
HOUR_US: Final = 3_600_000_000
MOST: Final = 2  # so many times in a row; then somebody must look
READ: Final = (INGRESS_FILE, engine_file(0), dispatcher_file(0))  # the files that views are made of
_log = logging.getLogger(__name__)


class Mended(msgspec.Struct, frozen=True):
    """What became of damaged views. `wanted`: found, and not set aside yet."""

    wanted: bool = False
    why: str = ""
    mark: str = ""  # of the file set aside last
    times_us: list[int] = []  # when files were set aside
    from_snapshot: bool = False
    whole: bool = True  # all that is in the logs was shown since
    whole_from_us: int | None = None  # None: from the beginning


class Mending:
    """The projector's memory of damage."""

    def __init__(self, home: Path, clock: Clock) -> None:
        """Read what is noted in `home`."""
        self._home = home
        self._path = home / FILE
        self._clock = clock
        self._note = mended(home) or Mended()

    @property
    def wanted(self) -> bool:
        """Tell whether the views are to be set aside before they are opened."""
        return self._note.wanted

    def want(self, why: str) -> None:
        """Note damage, durably; raises StorageFailed where it comes too often."""
        recent = self._recent()
        if len(recent) >= MOST:
            raise StorageFailed(
                f"{why}: damaged again after it was set aside and made anew {MOST} times; look at the disk and the memory of "
                "this machine, then move the file away and start the projector again: it is made anew from the logs"
            )
        now_us = self._clock.now_us()
        mark = datetime.fromtimestamp(now_us / 1_000_000, UTC).strftime("%Y%m%dT%H%M%S%fZ")
        self._write(msgspec.structs.replace(self._note, wanted=True, why=why, mark=mark, times_us=[*recent, now_us], whole=False))

    def mend(self) -> None:
        """Set the damaged file aside, and take the snapshot where all of it can be read. Raises HomeLocked, StorageFailed."""
        (self._home / TOLD).unlink(missing_ok=True)  # nothing may be dropped that is about to be read again
        set_aside(self._path, self._note.mark)
        from_snapshot = take_snapshot(self._path, self._note.mark, self.follows)
        self._write(msgspec.structs.replace(self._note, wanted=False, from_snapshot=from_snapshot))
        _log.warning("%s", said(self._home))

    def opened(self, *, anew: bool) -> None:
        """Hear that the views are open; of those made anew it is noted and said from when on they are whole."""
        if not anew:
            return
        now_us = self._clock.now_us()
        found = [since for file in READ if (since := whole_from_us(self._home / file, reads, now_us)) is not None]
        since_us = max(found, default=None)
        if since_us != self._note.whole_from_us:
            self._write(msgspec.structs.replace(self._note, whole_from_us=since_us))
        if since_us is not None:
            _log.warning("%s", said_whole(since_us))

    def caught_up(self) -> None:
        """Hear that all that is in the logs is shown."""
        if not self._note.whole:
            self._write(msgspec.structs.replace(self._note, whole=True))

    def _recent(self) -> list[int]:
        """Give when files were set aside, as far back as it counts."""
        if not self._note.whole:
            return self._note.times_us
        now_us = self._clock.now_us()
        return [at_us for at_us in self._note.times_us if now_us - at_us < HOUR_US]

    def follows(self, positions: Mapping[Slot, int]) -> bool:
        """Tell whether the logs still have what comes behind the positions of a snapshot."""
        ends = ((Slot(file, end.topic, end.partition), end.first) for file in READ for end in log_ends(self._home / file))
        return all(first <= positions.get(slot, 0) for slot, first in ends if reads(slot.topic))

    def _write(self, note: Mended) -> None:
        path = self._home / NOTE
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise StorageFailed(f"{path}: {error.strerror}; the home must be writable and its disk have room") from error
        self._note = note


def mended(home: Path) -> Mended | None:
    """Read what is noted of damaged views; None where nothing is, or it cannot be read."""
    try:
        return msgspec.json.decode((home / NOTE).read_bytes(), type=Mended)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def said(home: Path) -> str:
    """Say what became of damaged views, "" where there were none."""
    note = mended(home)
    if note is None:
        return ""
    parts = [said_whole(note.whole_from_us)] if note.whole_from_us is not None else []
    if note.wanted:
        parts.insert(0, f"{note.why}; the next start of the projector sets the file aside")
    elif note.times_us and not (note.whole and not aside_name(home / FILE, note.mark).exists()):
        aside = aside_name(home / FILE, note.mark)
        kept = f"set aside as {aside.name} (delete it when nobody wants it)" if aside.exists() else "set aside"
        made = "their snapshot and the logs" if note.from_snapshot else "the logs"
        parts.insert(0, f"{note.why}: {kept}; the views were made again from {made}{_said_of_snapshot(home, note.mark)}")
    return "; ".join(parts)


def _said_of_snapshot(home: Path, mark: str) -> str:
    aside = aside_name(home / NAME, mark)
    return (
        f", for their snapshot was damaged too, or the logs no longer follow it: kept as {aside.name}" if aside.exists() else ""
    )


def said_whole(since_us: int) -> str:
    """Say from when on views are whole."""
    since = datetime.fromtimestamp(since_us / 1_000_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return (
        f"the views are whole from {since} on: retention had dropped what was appended before, so executions that began "
        "earlier show only what came since"
    )
