"""Up to which time of append every input has been read: what a deadline waits for under the wall clock.

Reads: the chunks of each turn, whether inputs are at their end. Emits: bounds from row to row. State: the last append a reader.
A deadline passes when no input can hold anything older that is unread; so an outage fires nobody's timeout. What has passed once
stays so: an input that was at its end and has more now holds nothing older than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.ports import Chunk, LogReader
from schemas.topics import CONTROL, is_events


class Progress:
    """How far the inputs of one engine have been read, in time of append."""

    def __init__(self, readers: Sequence[LogReader]) -> None:
        self._readers = readers
        self._last: dict[str, int] = {}  # source -> append of the last chunk taken

    def taken(self, chunks: Iterable[Chunk]) -> None:
        """Hear what was taken."""
        for chunk in chunks:
            self._last[chunk.source] = max(chunk.appended_us, self._last.get(chunk.source, 0))

    def past_us(self, now_us: int) -> int:
        """Give the time up to which every input has been read; one at its end is read up to now."""
        return min((now_us if reader.at_end() else self._last.get(reader.source, 0) for reader in self._readers), default=now_us)


def bounds(chunks: Sequence[Chunk], past_us: int, from_us: int = 0) -> list[tuple[int, int]]:
    """Give (row, time) from which rows on deadlines up to which time may pass, both rising; what is deployed heads its turn."""
    row, found = 0, []
    for chunk, before_us in zip(chunks, pasts(chunks, past_us, from_us), strict=True):
        if chunk.topic != CONTROL:
            found.append((row, before_us))
        row += len(chunk.records) if is_events(chunk.topic) else 0
    return _rising(found)


def pasts(chunks: Sequence[Chunk], past_us: int, from_us: int = 0) -> list[int]:
    """Give for each chunk up to which time deadlines may pass before it.

    Before a chunk everything of its input that was appended earlier has been read; so of the others that come behind it.
    Nothing is before `from_us`, up to which earlier turns went.
    """
    found = []
    for chunk in reversed(chunks):
        past_us = min(past_us, chunk.appended_us - 1)
        found.append(max(past_us, from_us))
    return found[::-1]


def _rising(found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Keep only what goes on; records for executions before one event row may each have a bound."""
    kept: list[tuple[int, int]] = []
    for row, past in found:
        if not kept or past > kept[-1][1]:
            kept.append((row, past))
    return kept
