"""The order in which an engine took in what it took in, as far as it is durable: transaction by transaction.

A transaction whose end was an error is in doubt; the number of turns that the file knows at the next start decides.
Under the wall clock each record carries the time up to which deadlines may have passed before it: that of the oldest record of
any input that comes behind, told here from the order alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flows.engine.engine import Engine
from flows.engine.part import Part
from flows.engine.work import JoinedWork
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
    place: Place = ("", "", 0, 0)


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
    slots: bool = False  # whether what the clock sets going before the first row is in it (wall clock)


@dataclass(slots=True)
class Recorder:
    """Notes the transactions of all engines that live on one machine, one after the other."""

    pieces: list[Piece] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # of executions: what is due at one time goes by them
    lives: int = 0  # engines that were started
    _past_us: int = 0  # up to when all inputs had been read behind the last turn: that does not go back
    _done: set[Place] = field(default_factory=set)
    _turn: int = 0
    _doubt: tuple[int, Piece] | None = None

    def attach(self, engine: Engine) -> None:
        """Follow an engine from its start on."""
        self.lives += 1
        self._settle(engine.turn)
        run, commit = engine._run, engine._commit
        now: list[Piece] = []

        def noted_run(part: Part, around: tuple[JoinedWork, Any], dead: Any) -> Any:
            now[:] = [_piece(part, around[0], self._past_us)]
            return run(part, around, dead)

        def noted_commit(*what: Any) -> None:
            self.rows.update((one.id.hex(), one.row) for one in what[0].starts)
            self._doubt = engine.turn + 1, now[0]
            commit(*what)
            self._settle(engine.turn)

        for name, noted in (("_run", noted_run), ("_commit", noted_commit)):
            setattr(engine, name, noted)

    def _settle(self, turn: int) -> None:
        """Hear how many transactions are durable."""
        assert turn >= self._turn, f"{self._turn} transactions were durable, the file knows {turn}"
        if self._doubt is not None and turn >= self._doubt[0]:
            self._keep(self._doubt[1])
        self._turn, self._doubt = turn, None

    def _keep(self, piece: Piece) -> None:
        """Keep a durable transaction; what an earlier one had done before a death in its turn is read again and passed over."""
        piece.taken = [one for one in piece.taken if one.topic == CONTROL or one.place not in self._done]
        self._done.update(one.place for one in piece.taken)
        self._past_us = max(self._past_us, piece.past_us if piece.last else 0)
        self.pieces.append(piece)


def _up_to(part: Part) -> UpTo | None:
    """Give with what a transaction ends that holds no more of what is due."""
    ends = ((part.times.last_delay, False), (part.times.last_deadline, True))
    return min((UpTo(one.due_us, deadline, one.execution, one.token) for one, deadline in ends if one is not None), default=None)


def _piece(part: Part, work: JoinedWork, from_us: int) -> Piece:
    taken = work.decoded.taken
    given = {one.position for one in part.inputs}
    pasts = _pasts(taken.chunks, taken.past_us, from_us)
    return Piece(
        list(_of_part(taken.chunks, part, given, pasts)),
        [
            _taken(chunk, (at, data), past)
            for chunk, past in zip(taken.chunks, pasts, strict=True)
            for at, data in enumerate(chunk.records, chunk.base)
        ]
        if part.last
        else [],
        taken.now_us,
        part.times.now_us,
        part.times.past_us,
        part.last,
        _up_to(part),
        any(one.row < 0 for one in part.candidates),
    )


def _pasts(chunks: Sequence[Chunk], past_us: int, from_us: int) -> list[int]:
    """Give for each chunk the time of append up to which, before it, nothing is unread."""
    return [max(from_us, min([past_us, *(later.appended_us - 1 for later in chunks[at:])])) for at in range(len(chunks))]


def _of_part(chunks: Sequence[Chunk], part: Part, given: set[tuple[str, str, int, int]], pasts: Sequence[int]) -> Iterator[Taken]:
    row = 0
    for chunk, past_us in zip(chunks, pasts, strict=True):
        for at, data in enumerate(chunk.records, chunk.base):
            if is_events(chunk.topic):
                if part.start <= row < part.end:
                    yield _taken(chunk, (at, data), past_us)
                row += 1
            elif (chunk.topic == CONTROL and not part.start) or (chunk.source, chunk.topic, chunk.partition, at) in given:
                yield _taken(chunk, (at, data), past_us)


def _taken(chunk: Chunk, record: tuple[int, bytes], past_us: int) -> Taken:
    position, data = record
    return Taken(chunk.topic, data, chunk.source.startswith(OWN), past_us, (chunk.source, chunk.topic, chunk.partition, position))
