"""What a limit has in force: who holds its key, who waits for it, what was spent of it (contracts.md section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import msgspec


class Hold(NamedTuple):
    """A live execution (its row) that counts for a key."""

    key: int
    execution: int


class Queued(NamedTuple):
    """An execution (its row) that waits for a key; sorted by (rank, execution)."""

    key: int
    rank: int
    execution: int


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """How many started in each slot of time that may still count, oldest first: (slot number, count); until when one does."""

    slots: tuple[tuple[int, int], ...]
    until_us: int = 0


@dataclass(slots=True)
class LimitChanges:
    """What a turn changes; the dicts are sets that keep their order."""

    holds_set: dict[Hold, None] = field(default_factory=dict)
    holds_gone: dict[Hold, None] = field(default_factory=dict)
    queued_set: dict[Queued, None] = field(default_factory=dict)
    queued_gone: dict[Queued, None] = field(default_factory=dict)
    spent: dict[int, Spent] = field(default_factory=dict)


class LimitReads(Protocol):
    """What the store knows of limits, as of the last commit."""

    def holders(self, key: int) -> Sequence[int]:
        """Give the rows of the executions that hold a key, oldest first."""
        ...

    def held(self, execution: int) -> Sequence[int]:
        """Give the keys that an execution holds."""
        ...

    def queued(self, key: int, behind: tuple[int, int], most: int) -> Sequence[tuple[int, int]]:
        """Give the first (rank, row) that wait for a key behind a place, in order."""
        ...

    def queue_length(self, key: int) -> int:
        """Tell how many wait for a key."""
        ...

    def spent(self, key: int) -> Spent | None:
        """Give what was spent of a key."""
        ...


def limit_key(tenant: str, flow: str, kind: str, per_us: int, value: Any) -> int:
    """Give the key of one limit for one value: a signed 64-bit hash, frozen like ids. Versions of a flow share it."""
    text = f"{len(tenant)}:{tenant}{flow}\0{kind}\0{per_us}\0{type(value).__name__}\0{value}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
