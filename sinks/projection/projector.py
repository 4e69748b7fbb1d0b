"""Turns what happened into rows to query.

Promise: every record is shown once, whatever crashes: rows and the positions they came from are one transaction.
Reads: event, control, history, action, result and dead-letter topics. Emits: rows of views.duckdb. State: the positions there,
the registry in memory. Cost: 15-25 µs an event, and 10 ms a commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Literal, Protocol

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.decode import Decoded, DecodeRules, decode
from schemas.errors import InvalidInput
from schemas.ports import Chunk, Clock, PlacedReader, Slot
from schemas.records import Control, DeadLetter
from schemas.registry import Registry
from schemas.topics import ACTIONS_PREFIX, CONTROL, DEAD_LETTERS, HISTORY, LATE, MISTYPED, RESULTS, SHADOWS, is_events
from sinks.projection.columns import (
    Reader,
    Unreadable,
    action_frames,
    dead_letter_frames,
    history_frames,
    late_frames,
    letter_frame,
    mistyped_frames,
    result_frames,
    unreadable_frame,
)
from sinks.projection.event_columns import ahead_of, event_rows
from sinks.projection.shadow_columns import shadow_frames
from sinks.projection.tables import DEAD_LETTERS as LETTERS_TABLE
from sinks.projection.tables import EVENTS
from sinks.projection.topics_read import kind as kind_of
from sinks.projection.topics_read import reads
from sinks.projection.views_file import Progress, ViewsFile

POLL_RECORDS: Final = 8192
_controls: Final = msgspec.json.Decoder(Control)
_READERS: Final[dict[str, Reader]] = {
    HISTORY: history_frames,
    ACTIONS_PREFIX: action_frames,
    RESULTS: result_frames,
    DEAD_LETTERS: dead_letter_frames,
    LATE: late_frames,
    MISTYPED: mistyped_frames,
    SHADOWS: shadow_frames,
}


class Guard(Protocol):
    """Remembers on which records the process died, and takes the one out that kills it."""

    @property
    def rows(self) -> int:
        """Give how many records a step may take; 0: as many as usual."""
        ...

    def note(self, turn: int, positions: Mapping[Slot, int]) -> None:
        """Write down, durably, what is taken next."""
        ...

    def sift(self, chunks: Sequence[Chunk], now_us: int) -> tuple[Sequence[Chunk], Sequence[DeadLetter]]:
        """Take out the record that kills."""
        ...

    def done(self) -> None:
        """Hear of a commit."""
        ...


@dataclass(frozen=True, slots=True)
class ProjectorSettings:
    """What decides over good and bad events; the same as the engine's."""

    clock: Literal["wall", "events"] = "wall"
    default_tenant: str | None = None


class Projector:
    """Works in steps: poll, decode, commit."""

    def __init__(
        self,
        file: ViewsFile,
        readers: Sequence[PlacedReader],
        clock: Clock,
        settings: ProjectorSettings,
        guard: Guard | None = None,
    ) -> None:
        """`readers` start at the positions of the file."""
        self._file = file
        self._readers = readers
        self._clock = clock
        self._settings = settings
        self._guard = guard
        self._progress = file.progress()
        self._registry = Registry()
        self.rows = 0
        self.poison = 0
        self.damaged = 0

    @property
    def idle(self) -> bool:
        """Tell whether everything in the log is shown."""
        return all(reader.at_end() for reader in self._readers)

    @property
    def places(self) -> dict[str, int]:
        """Give, per file, the seq up to which everything was read and committed."""
        return {reader.source: reader.place() for reader in self._readers}

    @property
    def positions(self) -> Mapping[Slot, int]:
        """Give the next position of every slot, as committed."""
        return self._progress.positions

    @property
    def lag_us(self) -> int:
        """Tell how old the views are: wall time since everything appended was shown."""
        return max(0, self._clock.now_us() - self._progress.as_of_us)

    def learn_contracts(self, control: PlacedReader) -> None:
        """Take in again what the control topic said before the position the views have reached."""
        while chunks := control.poll(POLL_RECORDS):
            for chunk in chunks:
                upto = self._progress.positions.get(chunk.slot, 0)
                self._apply(chunk.records[: max(0, upto - chunk.base)])

    def step(self) -> int:
        """Show what has been appended; give the number of records. 0: there was nothing."""
        started_us = self._clock.now_us()
        chunks = self._poll()
        damaged = [damage for reader in self._readers for damage in reader.take_damaged()]
        behind = [chunk.appended_us for chunk in chunks] if not self.idle else []
        if not chunks and not damaged:
            self._progress = _as_of(self._progress, started_us if not behind else self._progress.as_of_us)
            self._file.as_of_us = self._progress.as_of_us
            return 0
        frames, event_time_us = self._frames(*self._guarded(chunks))
        positions = {**self._progress.positions, **{damage.slot: damage.base + damage.count for damage in damaged}}
        for chunk in chunks:
            positions[chunk.slot] = max(chunk.end, positions.get(chunk.slot, 0))
        height = max((frame.height for frame in frames.values()), default=0)
        as_of_us = min(behind, default=started_us)
        sources = {one.source: one.incarnation for one in self._readers if one.incarnation is not None}
        self._progress = Progress(self._progress.ord + height, event_time_us, as_of_us, positions, sources)
        self._file.commit(frames, self._progress)
        if self._guard is not None:
            self._guard.done()
        self.damaged += sum(damage.count for damage in damaged)
        count = sum(len(chunk.records) for chunk in chunks)
        self.rows += count
        return count

    def _poll(self) -> Sequence[Chunk]:
        """Take what has been appended; after deaths a little from one file alone."""
        few = self._guard.rows if self._guard is not None else 0
        if few:
            return next((chunks for reader in self._readers if (chunks := reader.poll(few))), [])
        return [chunk for reader in self._readers for chunk in reader.poll(POLL_RECORDS)]

    def _guarded(self, chunks: Sequence[Chunk]) -> tuple[Sequence[Chunk], Sequence[DeadLetter]]:
        """Note what is taken before it is touched, and leave out what kills."""
        if self._guard is None:
            return chunks, ()
        self._guard.note(self._progress.ord, {chunk.slot: chunk.end for chunk in chunks})
        kept, poison = self._guard.sift(chunks, self._clock.now_us())
        self.poison += len(poison)
        return kept, poison

    def _frames(self, chunks: Sequence[Chunk], poison: Sequence[DeadLetter]) -> tuple[dict[str, pl.DataFrame], int]:
        """Give the rows a table, and the highest event time seen."""
        bad: list[Unreadable] = []
        frames: dict[str, pl.DataFrame] = {}
        for kind, read in _READERS.items():
            ours = [chunk for chunk in chunks if kind_of(chunk.topic) == kind]
            if ours:
                frames |= read(ours, self._progress.ord, bad)
        if bad or poison:
            found = [unreadable_frame(bad, self._clock.now_us()), letter_frame(poison)]
            frames[LETTERS_TABLE] = pl.concat([*(frames[name] for name in (LETTERS_TABLE,) if name in frames), *found])
        events, event_time_us = self._events([chunk for chunk in chunks if chunk.topic == CONTROL or is_events(chunk.topic)])
        if events:
            frames[EVENTS] = pl.concat(events)
        return frames, event_time_us

    def _events(self, chunks: Sequence[Chunk]) -> tuple[list[pl.DataFrame], int]:
        """Decode events, each with the contracts that stood before it in the log."""
        found: list[pl.DataFrame] = []
        event_time_us = self._progress.event_time_us
        for is_control, run in groupby(chunks, lambda chunk: chunk.topic == CONTROL):
            together = list(run)
            if is_control:
                for chunk in together:
                    self._apply(chunk.records)
                continue
            decoded, doubtful, event_time_us = self._judged(together, event_time_us)
            rows = event_rows(decoded, together, doubtful)
            if rows is not None:
                found.append(rows)
        return found, event_time_us

    def _judged(self, chunks: Sequence[Chunk], event_time_us: int) -> tuple[Decoded, NDArray[np.int64], int]:
        """Decode; give the rows that are the engine's to judge, and the highest event time of the others.

        The engine's event clock is never behind the events read here, and a timer may have brought it further: what is far
        ahead of these it may have taken all the same. Its dead letters say.
        """
        keep, wall = DecodeRules(event_time_us, "events", self._settings.default_tenant, "keep"), self._clock.now_us()
        if self._settings.clock == "wall":
            decoded = decode(chunks, self._registry, replace(keep, now_us=wall, clock="wall", ahead="refuse"))
            return decoded, np.empty(0, np.int64), max(event_time_us, _highest(decoded))
        decoded = decode(chunks, self._registry, keep)
        doubtful, event_time_us = ahead_of(decoded, event_time_us)
        return decoded, doubtful, event_time_us

    def _apply(self, records: Sequence[bytes]) -> None:
        """Take control records in; one that cannot be read is the engine's to set aside."""
        for record in records:
            try:
                control = _controls.decode(record)
                self._registry.apply(control.key, control.value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidInput, ValueError):
                continue


def _highest(decoded: Decoded) -> int:
    return max((int(events.frame.get_column("time").max()) for events in decoded.frames), default=0)  # type: ignore[arg-type]


def _as_of(progress: Progress, as_of_us: int) -> Progress:
    return replace(progress, as_of_us=as_of_us)


__all__ = ["Projector", "ProjectorSettings", "Slot", "reads"]
