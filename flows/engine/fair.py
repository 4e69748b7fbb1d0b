"""Fair shares of a turn between tenants: who has much waits with the rest of it, so that who has little does not wait at all.

Reads: a turn's chunks, the tenant of each row, how many executions each row starts. Emits: which rows go on now.
State: the rows that wait, as records with their places, in memory; the engine's file keeps from where on each tenant waits,
so a start reads them again. Cost: a count a row; a commit asks for one place a tenant and slot, whatever waits behind it.
Laws: the rows of one tenant keep their order, none is lost and none comes twice; a tenant that starts no more than `turn_starts`
a turn never waits for others, and one that is alone never waits.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.ports import Chunk, Slot

TURN_STARTS: Final = 512  # executions that tenants with more than that may start in a turn together: some fifteen milliseconds
REMEMBERED_TURNS: Final = 4_096
SHUT: Final = 1 << 62
HELD_MOST: Final = 400_000  # records; then the inputs are not read on, which is back-pressure for all


class Place(NamedTuple):
    """Where a tenant's waiting rows begin in one slot: all of its rows from there on have not been worked on."""

    tenant: str
    slot: Slot


class Row(NamedTuple):
    """One row of a turn, as far as shares go."""

    tenant: str
    starts: int


@dataclass(slots=True)
class FairShare:
    """Holds back the rows of tenants that have more than their share."""

    weights: Mapping[str, int] = field(default_factory=dict)  # 1 where nothing is said
    turn_starts: int = TURN_STARTS
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

    def take(self, most: int | None = None) -> list[Chunk]:
        """Take out what waits for as much as this turn may do, in turns of one quantum a tenant by its weight."""
        taken: list[Chunk] = []
        room = self.turn_starts if most is None else most
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

    def keep(self, chunks: Sequence[Chunk], rows: Sequence[Row | None], taken: int = 0) -> list[int]:
        """Say which rows must wait, by rising row; they are kept here. None is a row that nobody waits for (set aside before).

        The first `taken` rows are those of `take` and go on; a tenant of whom some still wait has all its new rows wait behind.
        """
        late = self._late(rows, taken)
        if late:
            self._keep(chunks, rows, late)
        return sorted(late)

    def _late(self, rows: Sequence[Row | None], taken: int) -> set[int]:
        room = self._room(rows[taken:])
        late: set[int] = set()
        if not room:
            return late
        for index, row in enumerate(rows[taken:], taken):
            if row is None or row.tenant not in room:
                continue
            room[row.tenant] -= row.starts
            if room[row.tenant] < 0:  # and stays so: what comes behind it waits too
                room[row.tenant] = -SHUT
                late.add(index)
        return late

    def _room(self, rows: Sequence[Row | None]) -> dict[str, int]:
        """Give how many executions tenants with much may start; the others are not named."""
        asked: dict[str, int] = defaultdict(int)
        for row in rows:
            if row is not None:
                asked[row.tenant] += row.starts
        self.remember(asked)
        much = [tenant for tenant, starts in asked.items() if starts > self.turn_starts and tenant not in self._waiting]
        room = dict.fromkeys(self._waiting, -1)
        if len(self._others) > 1:
            total = sum(self._weight(tenant) for tenant in [*much, *self._waiting])
            room |= {tenant: max(1, self.turn_starts * self._weight(tenant) // total) for tenant in much}
        return room

    def remember(self, tenants: Iterable[str]) -> None:
        """Know who else is there: a tenant alone on the machine is never held back."""
        if self._turn - self._forgotten > REMEMBERED_TURNS:
            self._others, self._forgotten = set(), self._turn
        self._turn += 1
        self._others.update(tenants)

    def _keep(self, chunks: Sequence[Chunk], rows: Sequence[Row | None], late: set[int]) -> None:
        for start, chunk in _starts(chunks):
            run: tuple[str, int] | None = None
            for index in range(len(chunk.records) + 1):
                row = rows[start + index] if index < len(chunk.records) and start + index in late else None
                if run is not None and (row is None or row.tenant != run[0]):
                    self._put(run[0], _part(chunk, run[1], index))
                    run = None
                if row is not None and run is None:
                    run = (row.tenant, index)

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
                pieces.appendleft(_part(piece, share, len(piece.records)))
                self._bases[place][0] += share
                piece = _part(piece, 0, share)
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


def _starts(chunks: Iterable[Chunk]) -> Iterator[tuple[int, Chunk]]:
    at = 0
    for chunk in chunks:
        yield at, chunk
        at += len(chunk.records)


def _part(chunk: Chunk, start: int, end: int) -> Chunk:
    return Chunk(chunk.source, chunk.topic, chunk.partition, chunk.base + start, chunk.appended_us, chunk.records[start:end])
