"""Finds the bad ones of a batch without letting them take their neighbours down.

Reads: items, and a way to decode many at once that raises BadRecord if one of them is bad.
Emits: the decoded pieces in order, and the bad items by index. Cost: nothing when all are good; one bad item of n costs about
2n; below `least` items each is judged alone, so a flood of bad ones costs n and not n log n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.errors import BadRecord

Item = TypeVar("Item")
Out = TypeVar("Out")


@dataclass(slots=True)
class Sifted(Generic[Out]):
    """Pieces with the index of their first item and their length, and (index, reason, detail) of what is bad."""

    pieces: list[tuple[int, int, Out]] = field(default_factory=list)
    bad: list[tuple[int, str, str]] = field(default_factory=list)


def sift(items: Sequence[Item], many: Callable[[Sequence[Item]], Out], one: Callable[[Item], Out], least: int) -> Sifted[Out]:
    """Decode all items, by halves where that fails, and one by one where at most `least` are left."""
    sifted: Sifted[Out] = Sifted()
    todo = [(0, len(items))] if items else []
    while todo:
        start, stop = todo.pop()
        try:
            sifted.pieces.append((start, stop - start, many(items[start:stop])))
        except BadRecord:
            if stop - start > least:
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]  # the left half next, so pieces stay in order
            else:
                _one_by_one(items, range(start, stop), one, sifted)
    return sifted


def _one_by_one(items: Sequence[Item], places: range, one: Callable[[Item], Out], sifted: Sifted[Out]) -> None:
    for place in places:
        try:
            sifted.pieces.append((place, 1, one(items[place])))
        except BadRecord as error:
            sifted.bad.append((place, error.reason, error.detail))
