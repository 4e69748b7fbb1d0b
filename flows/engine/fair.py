"""Fair shares of a turn between tenants: who has much waits with the rest of it, so that who has little does not wait at all.

Reads: a turn's chunks, the tenant of each row. Emits: what goes on now.
State: the rows that wait, as records with their places, in memory; the engine's file keeps from where on each tenant waits,
so a start reads them again. Cost: 0.1 µs a row; a commit asks for one place a tenant and slot, whatever waits behind it.
Laws: the rows of one tenant keep their order, none is lost and none comes twice; a tenant that has no more than `much_rows` a
turn never waits for others, and one that is alone never waits, nor do those that all have much.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, NamedTuple

from schemas.ports import Chunk, Slot

MUCH_ROWS: Final = 512  # a tenant that has more in a turn waits with them
TURN_ROWS: Final = 48  # that such tenants may have in a turn together: less work than a turn of few rows is
SPARE: Final = 2  # times as many where a turn reads nothing else: nobody is there to wait for them but who comes meanwhile
TURN_ROWS_MOST: Final = 1_024
BACKLOG_TURNS: Final = 512  # what waits is worked off in about so many turns at the most; else it would grow without end
REMEMBERED_TURNS: Final = 4_096
HELD_MOST: Final = 400_000  # records; then the inputs are not read on, which is back-pressure for all


class Place(NamedTuple):
    """Where a tenant's waiting rows begin in one slot: all of its rows from there on have not been worked on."""

    tenant: str
    slot: Slot


@dataclass(slots=True)
class FairShare:
    """Holds back the rows of tenants that have more than their share."""

    weights: Mapping[str, int] = field(default_factory=dict)  # 1 where nothing is said
    turn_rows: int = TURN_ROWS
    much_rows: int = MUCH_ROWS
    _waiting: dict[str, deque[Chunk]] = field(default_factory=dict)  # by tenant, in order
    _bases: dict[Place, deque[int]] = field(default_factory=dict)  # where the pieces of a tenant in a slot begin, in order
    _held: int = 0
    _turn: int = 0
    _forgotten: int = 0
    _others: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> int:
        """Tell how many records wait."""
        return self._held

    @property
    def full(self) -> bool:
        """Tell whether so much waits that nothing more should be read."""
        return self._held >= HELD_MOST

    def oldest_us(self) -> int | None:
        """Tell when the oldest record that waits was appended: deadlines may not pass it."""
        return min((pieces[0].appended_us for pieces in self._waiting.values()), default=None)

    def places(self) -> dict[Place, int]:
        """Give from which position on each tenant waits, by slot."""
        return {place: bases[0] for place, bases in self._bases.items()}

    @property
    def spare_rows(self) -> int:
        """Tell how many rows may go on in a turn that reads nothing else."""
        return SPARE * self.turn_rows

    def take(self, most: int | None = None) -> list[Chunk]:
        """Take out what waits for as much as this turn may do, in turns of one quantum a tenant by its weight."""
        self._turn += 1
        taken: list[Chunk] = []
        room = self.turn_rows if most is None else most
        left = min(room, self._held)
        while left > 0 and self._waiting:
            total = sum(self._weight(tenant) for tenant in self._waiting)
            for tenant in self._in_turn():
                share = min(left, max(1, room * self._weight(tenant) // total))
                if share <= 0:
                    break
                pieces = self._cut(tenant, share)
                taken.extend(pieces)
                left -= sum(len(piece.records) for piece in pieces)
        return taken

    def divide(self, chunks: Sequence[Chunk], tenants: Sequence[str | None]) -> list[Chunk]:
        """Give what goes on of chunks that were just read, in its order; the rest waits here, for `take` of the next turns.

        `tenants` are those of all rows; None is a row of nobody's. Who has much waits with all of it, and whoever waits already
        with what has come since.
        """
        late = self._late(Counter(tenants))
        if not late:
            return list(chunks)
        going: list[Chunk] = []
        at = 0
        for chunk in chunks:
            end = at + len(chunk.records)
            going.extend(self._going(chunk, tenants[at:end], late))
            at = end
        return going

    def _going(self, chunk: Chunk, tenants: Sequence[str | None], late: Set[str | None]) -> Iterator[Chunk]:
        """Give the parts of a chunk that go on, and keep the others."""
        since = 0
        for start, end, tenant in runs(tenants):
            if tenant is None or tenant not in late:
                continue
            if since < start:
                yield part_of(chunk, since, start)
            self._put(tenant, part_of(chunk, start, end))
            since = end
        if since < len(tenants):
            yield part_of(chunk, since, len(tenants))

    def _late(self, asked: Mapping[str | None, int]) -> Set[str | None]:
        """Give the tenants whose rows wait."""
        self.remember(tenant for tenant in asked if tenant is not None)
        much = {tenant for tenant, rows in asked.items() if tenant is not None and rows > self.much_rows}
        late: Set[str | None] = self._waiting.keys() | much
        return late if self._others - late else set(self._waiting)  # all have much alike: nobody is there to wait for

    def remember(self, tenants: Iterable[str]) -> None:
        """Know who else is there: a tenant alone on the machine is never held back."""
        if self._turn - self._forgotten > REMEMBERED_TURNS:
            self._others, self._forgotten = set(), self._turn
        self._others.update(tenants)

    def put_back(self, tenant: str, chunk: Chunk) -> None:
        """Let records wait that were read again at a start."""
        self._put(tenant, chunk)

    def _put(self, tenant: str, piece: Chunk) -> None:
        self._waiting.setdefault(tenant, deque()).append(piece)
        self._bases.setdefault(Place(tenant, piece.slot), deque()).append(piece.base)
        self._held += len(piece.records)

    def _cut(self, tenant: str, share: int) -> list[Chunk]:
        pieces, found = self._waiting[tenant], list[Chunk]()
        while share > 0 and pieces:
            piece = pieces.popleft()
            place = Place(tenant, piece.slot)
            if len(piece.records) > share:
                pieces.appendleft(part_of(piece, share, len(piece.records)))
                self._bases[place][0] += share
                piece = part_of(piece, 0, share)
            else:
                self._begin_behind(place)
            found.append(piece)
            share -= len(piece.records)
            self._held -= len(piece.records)
        if not pieces:
            del self._waiting[tenant]
        return found

    def _begin_behind(self, place: Place) -> None:
        bases = self._bases[place]
        bases.popleft()
        if not bases:
            del self._bases[place]

    def _in_turn(self) -> list[str]:
        """Give the tenants who wait, each turn another one first."""
        tenants = list(self._waiting)
        at = self._turn % len(tenants)
        return tenants[at:] + tenants[:at]

    def _weight(self, tenant: str) -> int:
        return self.weights.get(tenant, 1)


def runs(tenants: Sequence[str | None]) -> Iterator[tuple[int, int, str | None]]:
    """Give (first row, row behind the last, tenant) of rows of one tenant that follow each other."""
    at = 0
    for tenant, same in groupby(tenants):
        end = at + len(list(same))
        yield at, end, tenant
        at = end


def part_of(chunk: Chunk, start: int, end: int) -> Chunk:
    """Give some records of a chunk."""
    if start == 0 and end == len(chunk.records):
        return chunk
    return Chunk(chunk.source, chunk.topic, chunk.partition, chunk.base + start, chunk.appended_us, chunk.records[start:end])
