"""Hold back, of a decoded turn, the rows of tenants that have more than their share; and find them again after a start.

Reads: frames by event type, the engine's own figure of executions a row. Emits: the same frames without the rows that wait.
State: FairShare's. Cost: nothing for a turn that starts few; else half a microsecond a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import polars as pl

from flows.engine.fair import TURN_STARTS, FairShare, Row
from flows.engine.work import DecodedWork, Segment
from schemas.decode import Decoded, DecodeRules, decode
from schemas.frames import ROW
from schemas.ports import Chunk, HeldBack, LogReader, Slot
from schemas.registry import Registry
from schemas.topics import is_events

LEAST_RATIO: Final = 0.02  # executions a row: what starts less costs nothing worth sharing
FOLD: Final = 0.2  # how much of the newest turn goes into the figure
READ_RECORDS: Final = 10_000
Open = Callable[[str, Mapping[Slot, int]], LogReader]


class Known(NamedTuple):
    """How far the inputs have been read, and the contracts in force."""

    positions: Mapping[Slot, int]
    registry: Registry


class Sharing:
    """Shares of one engine's turns: who waits, what the store knows of it, how many executions a row starts as of late."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.share = FairShare(weights)
        self._ratio = 1.0
        self._stored = False  # whether the store knows of somebody who waits

    def divide(self, work: DecodedWork) -> DecodedWork:
        """Hold rows of a turn back."""
        self.share.turn_starts = int(TURN_STARTS / max(self._ratio, LEAST_RATIO))
        return share_turn(work, self.share)

    def hear(self, rows: int, started: int) -> None:
        """Take in how many executions a turn started."""
        if rows:
            self._ratio += FOLD * (started / rows - self._ratio)

    def places(self) -> dict[HeldBack, int] | None:
        """Give who waits from where on, as the store keeps it; None where it knows that nobody does."""
        if not self.share.waiting and not self._stored:
            return None
        return {HeldBack(*place): at for place, at in self.share.places().items()}

    def committed(self) -> None:
        """Hear that the store has taken it."""
        self._stored = bool(self.share.waiting)

    def restore(self, places: Mapping[HeldBack, int], known: Known, reopen: Open | None) -> None:
        """Read again what waits: the rows of each tenant from its place on, up to where the inputs have been read."""
        if not places or reopen is None:
            return
        self._stored = True
        for source in sorted({place.slot.source for place in places}):
            mine = {place: at for place, at in places.items() if place.slot.source == source}
            first = dict(known.positions)
            for place, at in mine.items():
                first[place.slot] = min(at, first[place.slot])
            reader = reopen(source, first)
            try:
                _reread(self.share, mine, known, reader)
            finally:
                reader.close()


def share_turn(work: DecodedWork, share: FairShare) -> DecodedWork:
    """Hold rows back; those that have waited already go on. No deadline passes what waits from now on."""
    rows = sum(segment.decoded.rows for segment in work.segments)
    if rows <= share.turn_starts and not share.waiting:
        share.remember(_first_tenants(work))
        return work
    chunks = [chunk for chunk in work.taken.chunks if is_events(chunk.topic)]
    late = share.keep(chunks, _rows(work, rows), work.taken.held)
    oldest_us = share.oldest_us()
    if not late or oldest_us is None:
        return work
    taken = replace(work.taken, past_us=min(work.taken.past_us, oldest_us - 1))
    return replace(work, taken=taken, segments=_without(work.segments, late))


def _reread(share: FairShare, places: Mapping[HeldBack, int], known: Known, reader: LogReader) -> None:
    positions, registry = known
    left = {place.slot for place in places}
    while left and (chunks := reader.poll(READ_RECORDS)):
        for chunk in chunks:
            if chunk.slot not in left:
                continue
            known_part = _upto(chunk, positions[chunk.slot])
            for tenant, piece in _by_tenant(known_part, registry):
                since = places.get(HeldBack(tenant, chunk.slot))
                if since is not None and piece.base >= since:
                    share.put_back(tenant, piece)
            if chunk.end >= positions[chunk.slot]:
                left.discard(chunk.slot)


def _by_tenant(chunk: Chunk, registry: Registry) -> Iterable[tuple[str, Chunk]]:
    """Give each good record of a chunk alone, with its tenant."""
    tenants: dict[int, str] = {}
    decoded = decode([chunk], registry, DecodeRules(chunk.appended_us, "wall"))
    for one in decoded.frames:
        tenants.update(zip(one.frame[ROW].to_list(), one.frame["tenant"].to_list(), strict=True))
    for row in sorted(tenants):
        yield tenants[row], replace(chunk, base=chunk.base + row, records=[chunk.records[row]])


def _upto(chunk: Chunk, end: int) -> Chunk:
    return replace(chunk, records=chunk.records[: max(0, end - chunk.base)])


def _first_tenants(work: DecodedWork) -> set[str]:
    return {one.frame["tenant"][0] for segment in work.segments for one in segment.decoded.frames if one.frame.height}


def _rows(work: DecodedWork, count: int) -> list[Row | None]:
    """Give the tenant of each row; a row that was set aside has none."""
    found: list[Row | None] = [None] * count
    rows: dict[str, Row] = {}
    first = 0
    for segment in work.segments:
        for one in segment.decoded.frames:
            for at, tenant in zip(one.frame[ROW].to_list(), one.frame["tenant"].to_list(), strict=True):
                found[first + at] = rows.get(tenant) or rows.setdefault(tenant, Row(tenant, 1))
        first += segment.decoded.rows
    return found


def _without(segments: Sequence[Segment], late: Sequence[int]) -> list[Segment]:
    kept, first = [], 0
    for segment in segments:
        here = pl.Series([row - first for row in late if first <= row < first + segment.decoded.rows], dtype=pl.UInt32)
        kept.append(replace(segment, decoded=_less(segment.decoded, here)) if len(here) else segment)
        first += segment.decoded.rows
    return kept


def _less(decoded: Decoded, late: pl.Series) -> Decoded:
    """Leave rows out; the others keep their numbers."""
    gone = pl.col(ROW).is_in(late.implode())
    frames = (replace(one, frame=one.frame.filter(~gone)) for one in decoded.frames)
    return replace(decoded, frames=tuple(one for one in frames if one.frame.height))
