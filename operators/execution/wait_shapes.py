"""What waits there may be: by event type, which of an event's keys they are found by, and which parts of it they read.

Reads: programs, as they are deployed or found pinned. Emits: shapes. State: one shape a combination of event type and keys,
whatever the number of programs; nothing is ever taken away, for an execution may still run an old version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.expression.tree import Tree
from schemas.expression.walk import keys
from schemas.program import Absence, Await, EventTrigger, Program, Sequence, Wait

Way = tuple[str, ...]


class Shape(NamedTuple):
    """Waits that are found by the same keys of an event; `look_back_us` is the longest of them."""

    keys: tuple[str, ...]
    look_back_us: int


class WaitShapes:
    """The shapes of one engine's programs."""

    def __init__(self) -> None:
        self._shapes: dict[str, dict[tuple[str, ...], int]] = {}
        self._reads: dict[str, dict[Way, None]] = {}
        self._longest_us = 0

    def add(self, program: Program) -> None:
        """Take in what a program may wait for."""
        for one, look_back_us, ways in _awaits(program):
            names = tuple(sorted(part.key for part in one.correlate))
            shapes = self._shapes.setdefault(one.event, {})
            shapes[names] = max(look_back_us, shapes.get(names, 0))
            self._reads.setdefault(one.event, {}).update(dict.fromkeys(ways))
            self._longest_us = max(self._longest_us, look_back_us)

    def of(self, event: str) -> list[Shape]:
        """Give the shapes of waits for an event type."""
        return [Shape(keys, look_back_us) for keys, look_back_us in self._shapes.get(event, {}).items()]

    def reads(self, event: str) -> list[Way]:
        """Give the parts of an event that some wait reads; a part of another that is read whole is not named."""
        ways = self._reads.get(event, {})
        return [way for way in ways if not any(way[:length] in ways for length in range(1, len(way)))]

    @property
    def longest_us(self) -> int:
        """Give the longest look back of all."""
        return self._longest_us


def watched_ways(program: Program, trigger: int, reached: int) -> tuple[Way, ...]:
    """Give what is read of the event that an absence or a sequence waits for next; the last of a sequence is read whole."""
    found = program.triggers[trigger]
    detail = found.detail if isinstance(found, EventTrigger) else None
    match detail:
        case Absence():
            return _ways(detail.of)
        case Sequence():
            last = reached + 1 == len(detail.then)
            return _ways(detail.then[reached]) + (_read_ways(program) if last else ())
        case _:
            return ()


def start_keys(program: Program, place: int) -> tuple[str, ...]:
    """Give the keys of its event that a trigger starts with: what the program reads, and what a watch must know to begin."""
    wanted = dict.fromkeys(key for key, _ in program.reads)
    trigger = program.triggers[place]
    match trigger.detail if isinstance(trigger, EventTrigger) else None:
        case Absence() as absence:
            wanted |= dict.fromkeys((*_own(absence.time), *_asked((absence.of,))))
        case Sequence() as sequence:
            wanted |= dict.fromkeys((*(".".join(way) for way, _ in sequence.reads), *_asked(sequence.then, sequence.first)))
        case _:
            pass
    return tuple(wanted)


def _own(tree: Tree) -> list[str]:
    return [key for key in sorted(keys(tree)) if not key.startswith("policies.")]


def _asked(awaits: Iterable[Await], first: str = "") -> Iterator[str]:
    """Give the keys of the trigger's event that are compared with those waited for."""
    listed = tuple(awaits)
    bound = {first, *(one.bind for one in listed)}
    for one in listed:
        trees = [part.value for part in one.correlate if part.value is not None]
        trees += [] if one.condition is None else [one.condition]
        for key in sorted({key for tree in trees for key in keys(tree)}):
            if key.partition(".")[0] not in bound | {"policies"}:
                yield key


def _awaits(program: Program) -> Iterator[tuple[Await, int, tuple[Way, ...]]]:
    for step in program.steps:
        if isinstance(step, Wait):
            yield step.await_, step.look_back_us, _ways(step.await_)
    for place, trigger in enumerate(program.triggers):
        match trigger.detail if isinstance(trigger, EventTrigger) else None:
            case Absence() as absence:
                yield absence.of, absence.lateness_us, _ways(absence.of)
            case Sequence() as sequence:
                for at, one in enumerate(sequence.then):
                    yield one, sequence.lateness_us, watched_ways(program, place, at)
            case _:
                pass


def _ways(of: Await) -> tuple[Way, ...]:
    return tuple(way for way, _ in of.reads)


def _read_ways(program: Program) -> tuple[Way, ...]:
    return tuple(tuple(key.split(".")) for key, _ in program.reads)
