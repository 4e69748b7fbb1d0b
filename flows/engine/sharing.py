"""Hold back, of a turn's records, those of tenants that have more than their share; and find them again after a start.

Reads: chunks, the engine's own figure of executions a row. Emits: the chunks that go on. State: FairShare's. Cost: nothing for a
turn that starts few; else half a microsecond a row, for of what waits only the tenant is read, not the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, repeat
from typing import Final, NamedTuple

from flows.engine.fair import BACKLOG_TURNS, MUCH_ROWS, TURN_ROWS, TURN_ROWS_MOST, FairShare, part_of, runs
from flows.engine.work import DecodedWork
from schemas.ports import Chunk, HeldBack, LogReader, Slot
from schemas.registry import Registry
from schemas.tenants import tenants
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

    def __init__(self, weights: Mapping[str, int], default_tenant: str | None = None) -> None:
        self.share = FairShare(weights)
        self._default = default_tenant
        self._ratio = 1.0
        self._stored = False  # whether the store knows of somebody who waits

    def divide(self, chunks: Sequence[Chunk], registry: Registry, taken: int) -> Sequence[Chunk]:
        """Hold records of events back; the first `taken` chunks have waited already and go on."""
        share = self.share
        most = min(TURN_ROWS_MOST, max(TURN_ROWS, share.waiting // BACKLOG_TURNS))
        ratio = max(self._ratio, LEAST_RATIO)
        share.turn_rows, share.much_rows = max(1, int(most / ratio)), max(1, int(MUCH_ROWS / ratio))  # one row starts many flows
        rows = sum(len(one.records) for one in chunks if is_events(one.topic))
        if rows <= share.much_rows and not share.waiting:
            return chunks
        fresh = chunks[taken:]
        return [*chunks[:taken], *share.divide(fresh, _tenants(fresh, registry, self._default))]

    def past_us(self, past_us: int) -> int:
        """Give the time up to which deadlines may pass: none passes what waits."""
        oldest_us = self.share.oldest_us()
        return past_us if oldest_us is None else min(past_us, oldest_us - 1)

    def remember(self, work: DecodedWork) -> None:
        """Know who was there."""
        first = (one.at(range(1)) for segment in work.segments for one in segment.decoded.frames if one.height)
        self.share.remember(one.columns(("tenant",))[0][0] for one in first)

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
                self._reread(mine, known, reader)
            finally:
                reader.close()

    def _reread(self, places: Mapping[HeldBack, int], known: Known, reader: LogReader) -> None:
        left = {place.slot for place in places}
        while left and (chunks := reader.poll(READ_RECORDS)):
            for chunk in chunks:
                if chunk.slot not in left:
                    continue
                self._put_back(_upto(chunk, known.positions[chunk.slot]), places, known.registry)
                if chunk.end >= known.positions[chunk.slot]:
                    left.discard(chunk.slot)

    def _put_back(self, chunk: Chunk, places: Mapping[HeldBack, int], registry: Registry) -> None:
        """Let wait what is of tenants that wait, from their places on."""
        for start, end, tenant in runs(tenants(chunk.records, registry, self._default)):
            since = None if tenant is None else places.get(HeldBack(tenant, chunk.slot))
            first = end if since is None else max(start, since - chunk.base)
            if tenant is not None and first < end:
                self.share.put_back(tenant, part_of(chunk, first, end))


def _tenants(chunks: Iterable[Chunk], registry: Registry, default: str | None) -> list[str | None]:
    """Give the tenant of each record; those of other topics than events are nobody's."""
    listed = [(one.records, is_events(one.topic)) for one in chunks]
    found = iter(tenants([record for records, asked in listed if asked for record in records], registry, default))
    return [name for records, asked in listed for name in (islice(found, len(records)) if asked else repeat(None, len(records)))]


def _upto(chunk: Chunk, end: int) -> Chunk:
    return part_of(chunk, 0, min(len(chunk.records), max(0, end - chunk.base)))
