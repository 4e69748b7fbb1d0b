"""One difference between two versions, and how much it matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Weight = Literal["breaks", "changes"]
_ORDER: Final = {"breaks": 0, "changes": 1}


@dataclass(frozen=True, slots=True)
class Change:
    """What differs at one place. breaks: executions in flight, callers or readers cannot go on as they are."""

    weight: Weight
    place: str  # step approval, trigger, output.order_id, data.order.total
    what: str

    def __str__(self) -> str:
        return f"{self.weight} {self.place}: {self.what}"


def breaks(place: str, what: str) -> Change:
    """Note what does not go on by itself."""
    return Change("breaks", place, what)


def changes(place: str, what: str) -> Change:
    """Note what is done otherwise."""
    return Change("changes", place, what)


def weighed(found: Iterable[Change]) -> tuple[Change, ...]:
    """Put the changes that break something first; else they stay in order."""
    return tuple(sorted(found, key=lambda change: _ORDER[change.weight]))
