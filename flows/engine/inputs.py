"""Records for executions: outcomes of commands, people's decisions, operators' words; each with its place among the event rows.

Reads: a turn's chunks in total order. Emits: inputs, how many commands got their first outcome, dead letters of what cannot be
read. State: none. Cost: 2 µs a record; a result that nobody waits for is only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from flows.engine import letters
from operators.turn.incoming import Input
from schemas.ports import Chunk
from schemas.records import DeadLetter, Decision, OperatorCommand, Result
from schemas.topics import COMMANDS, DECISIONS, RESULTS, is_events

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
INPUT_TOPICS: Final = frozenset({RESULTS, DECISIONS, COMMANDS})


class InputsRead(NamedTuple):
    """The records for executions of one turn."""

    inputs: list[Input]
    outcomes: int
    dead: list[DeadLetter]


class Place(NamedTuple):
    """Where the records of a chunk stand: before which event row, at which clock, with deadlines past up to which time."""

    row: int
    now_us: int
    past_us: int


class _Outcome(msgspec.Struct):
    """What the engine needs to know of every result: whether it is the first, and whether somebody waits for it."""

    first: bool = True
    awaited: bool = False


class _Told(msgspec.Struct):
    """What tells the records of the commands topic apart."""

    command: str | None = None
    redrive: str | None = None


_outcomes: Final = msgspec.json.Decoder(_Outcome)
_told: Final = msgspec.json.Decoder(_Told)
_results: Final = msgspec.json.Decoder(Result)
_decisions: Final = msgspec.json.Decoder(Decision)
_orders: Final = msgspec.json.Decoder(OperatorCommand)


def read_inputs(chunks: Sequence[Chunk], clock: Callable[[int], int], pasts: Sequence[int]) -> InputsRead:
    """Read what a turn holds for executions; `clock` gives the time before an event row, `pasts` what is past before a chunk."""
    read = InputsRead([], 0, [])
    outcomes = row = 0
    for chunk, past_us in zip(chunks, pasts, strict=True):
        if is_events(chunk.topic):
            row += len(chunk.records)
        elif chunk.topic in INPUT_TOPICS:
            outcomes += _read_chunk(read, chunk, Place(row, clock(row), past_us))
    return read._replace(outcomes=outcomes)


def named_by(one: Input) -> bytes | None:
    """Give the public id of the execution that a record is for; None if it names none."""
    try:
        return bytes.fromhex(one.record.execution) or None
    except ValueError:
        return None


def _read_chunk(read: InputsRead, chunk: Chunk, place: Place) -> int:
    outcomes = 0
    row, now_us, past_us = place
    for index, data in enumerate(chunk.records):
        position = (chunk.source, chunk.topic, chunk.partition, chunk.base + index)
        try:
            for record in _READERS[chunk.topic](data):
                if isinstance(record, _Outcome):
                    outcomes += record.first
                else:
                    read.inputs.append(Input(row, now_us, record, position, past_us))
        except UNREADABLE as error:
            read.dead.append(letters.bad_input(chunk, index, str(error), now_us))
    return outcomes


def outcomes_aside(aside: Iterable[DeadLetter]) -> int:
    """Count the outcomes among records that were set aside unread: nobody hears of them, and nothing is on its way any more."""
    count = 0
    for letter in aside:
        if letter.topic == RESULTS:
            with suppress(*UNREADABLE):
                count += _outcomes.decode(letter.payload).first
    return count


def _read_result(data: bytes) -> Iterator[_Outcome | Result]:
    outcome = _outcomes.decode(data)
    yield outcome
    if outcome.awaited:
        yield _results.decode(data)


def _read_decision(data: bytes) -> Iterator[Decision]:
    yield _decisions.decode(data)


def _read_order(data: bytes) -> Iterator[OperatorCommand]:
    if _told.decode(data).redrive is None:  # a redrive is the dispatcher's
        yield _orders.decode(data)


_READERS: Final[dict[str, Callable[[bytes], Iterator[_Outcome | Result | Decision | OperatorCommand]]]] = {
    RESULTS: _read_result,
    DECISIONS: _read_decision,
    COMMANDS: _read_order,
}
