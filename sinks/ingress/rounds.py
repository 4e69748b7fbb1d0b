"""A round of the server: what one commit takes, and who hears of it afterwards. And what every connection has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from socket import socket
from typing import Protocol

from schemas.ports import Append
from sinks.ingress.protocol import Place

Tell = Callable[[Sequence[Place]], None]


@dataclass(slots=True)
class Round:
    """Items to append, and who hears where they lie once they are on the disk. Answers go out in the order of requests."""

    appends: list[Append] = field(default_factory=list)
    size_bytes: int = 0
    _tells: list[tuple[int, int, Tell]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Count what is answered after this round."""
        return len(self._tells)

    def take(self, appends: Sequence[Append], tell: Tell) -> None:
        """Append items, then tell."""
        self._tells.append((len(self.appends), len(appends), tell))
        self.appends.extend(appends)

    def tell(self, bases: Sequence[int]) -> None:
        """Tell everyone: the items lie at these positions."""
        for first, count, tell in self._tells:
            taken = zip(self.appends[first : first + count], bases[first : first + count], strict=True)
            tell([Place(item.partition, base) for item, base in taken])


class Speaker(Protocol):
    """Speaks one protocol on one connection."""

    @property
    def held_bytes(self) -> int:
        """Tell how much is held of a request that is not whole yet."""
        ...

    @property
    def begun(self) -> bool:
        """Tell whether a request has begun and is not whole yet."""
        ...

    @property
    def rests_us(self) -> int | None:
        """Tell how long the connection may rest between requests; None: for ever."""
        ...

    @property
    def dispensable(self) -> bool:
        """Tell whether a connection that rests may be ended when there are too many."""
        ...

    def receive(self, data: bytes, this_round: Round) -> None:
        """Take bytes in; put whole requests into the round."""
        ...

    def late(self) -> None:
        """Say that the request did not come in time; the connection ends."""
        ...

    def gone(self, this_round: Round) -> None:
        """Let go of what the connection held."""
        ...


@dataclass(slots=True, eq=False)
class Line:
    """One connection: what has to go out, when something last moved, and when the request that is not whole began."""

    socket: socket
    moved_us: int
    outbox: bytearray = field(default_factory=bytearray)
    ending: bool = False
    begun_us: int | None = None
    speaker: Speaker = field(init=False)
