"""The order in which an engine took in what it took in, as far as it is durable: transaction by transaction.

A transaction whose end was an error is in doubt; the number of turns that the file knows at the next start decides.
Events that a transaction took in before its turn was cut short are read again, and pass executions by: they are told once.
Under the wall clock each record carries the time up to which deadlines may have passed before it: that of the oldest record of
any input that comes behind, told here from the order alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flows.engine.engine import Engine
from flows.engine.part import Part
from flows.engine.work import JoinedWork
from flows.engine.work import Taken as Turn
from schemas.ports import Chunk
from schemas.topics import CONTROL, is_events

OWN: Final = "engine-"
Place = tuple[str, str, int, int]  # source, topic, partition, position


class Taken(NamedTuple):
    """One record that was taken in. `own`: the engine said it itself; `past_us`: deadlines up to it pass before (wall clock)."""

    topic: str
    data: bytes
    own: bool
    past_us: int = 0


class UpTo(NamedTuple):
    """The last of what fell due in a transaction that could not hold all: a delay or a deadline, whose, and which."""

    due_us: int
    deadline: bool
    row: int  # of its execution
    token: int


@dataclass(slots=True)
class Piece:
    """One transaction: what it took in, then up to which times delays and deadlines fell due."""

    taken: list[Taken]
    whole: list[Taken]  # all that its turn took in so far: only the last transaction of a turn moves the positions
    start_us: int  # the clock before the turn
    now_us: int
    past_us: int
    last: bool
    up_to: UpTo | None = None
    places: frozenset[Place] = frozenset()  # of what is in `taken`


@dataclass(slots=True)
class Recorder:
    """Notes the transactions of all engines that live on one machine, one after the other."""

    pieces: list[Piece] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # of executions: what is due at one time goes by them
    _turn: int = 0
    _doubt: tuple[int, Piece] | None = None
    _told: set[Place] = field(default_factory=set)  # what transactions took in that were not the last of their turn

    def attach(self, engine: Engine) -> None:
        """Follow an engine from its start on."""
        self._settle(engine._turn)
        run, commit = engine._run, engine._commit
        now: list[Piece] = []

        def noted_run(part: Part, around: tuple[JoinedWork, Any], dead: Any) -> Any:
            now[:] = [_piece(part, around[0], _up_to(part), self._told)]
            return run(part, around, dead)

        def noted_commit(*what: Any) -> None:
            self.rows.update((one.id.hex(), one.row) for one in what[0].starts)
            self._doubt = engine._turn + 1, now[0]
            commit(*what)
            self._settle(engine._turn)

        for name, noted in (("_run", noted_run), ("_commit", noted_commit)):
            setattr(engine, name, noted)

    def order(self) -> Iterator[tuple[str, bytes] | tuple[int, int]]:
        """Give records and the times that passed behind them."""
        for piece in self.pieces:
            yield from ((one.topic, one.data) for one in piece.taken)
            yield piece.now_us, piece.past_us

    def _settle(self, turn: int) -> None:
        """Hear how many transactions are durable."""
        assert turn >= self._turn, f"{self._turn} transactions were durable, the file knows {turn}"
        if self._doubt is not None and turn >= self._doubt[0]:
            piece = self._doubt[1]
            self.pieces.append(piece)
            self._told |= set() if piece.last else piece.places
        self._turn, self._doubt = turn, None


def _up_to(part: Part) -> UpTo | None:
    """Give with what a transaction ends that holds no more of what is due."""
    deadline, delay = part.times.last_deadline, part.times.last_delay
    last = deadline or delay
    if last is None:
        return None
    return UpTo(last.due_us, deadline is not None, last.execution, last.token)


def _piece(part: Part, work: JoinedWork, up_to: UpTo | None, told: Set[Place]) -> Piece:
    taken = work.decoded.taken
    fresh = {place: one for place, one in _of_part(taken, part) if place not in told}
    return Piece(
        list(fresh.values()),
        [_taken(chunk, data) for chunk in taken.chunks for data in chunk.records] if part.last else [],
        taken.now_us,
        part.times.now_us,
        part.times.past_us,
        part.last,
        up_to,
        frozenset(fresh),
    )


def _pasts(chunks: Sequence[Chunk], past_us: int) -> list[int]:
    """Give for each chunk the time of append up to which, before it, nothing is unread."""
    return [min([past_us, *(later.appended_us - 1 for later in chunks[at:])]) for at in range(len(chunks))]


def _of_part(turn: Turn, part: Part) -> Iterator[tuple[Place, Taken]]:
    given = {one.position for one in part.inputs}
    row = 0
    for chunk, past_us in zip(turn.chunks, _pasts(turn.chunks, turn.past_us), strict=True):
        for at, data in enumerate(chunk.records, chunk.base):
            place = chunk.source, chunk.topic, chunk.partition, at
            if is_events(chunk.topic):
                if part.start <= row < part.end:
                    yield place, _taken(chunk, data, past_us)
                row += 1
            elif (chunk.topic == CONTROL and not part.start) or place in given:
                yield place, _taken(chunk, data, past_us)


def _taken(chunk: Chunk, data: bytes, past_us: int = 0) -> Taken:
    return Taken(chunk.topic, data, chunk.source.startswith(OWN), past_us)
