"""Sends the demo's records through the ingress client while everything runs, and remembers where each of them lies.

An open loop: it sends at its own rate, whether the engine keeps up, is behind, or is being started again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.demo.encoding import Contracts, Encoded, encode
from flows.demo.generator import Made
from schemas.topics import partition_of
from sinks.ingress.client import Ingress
from sinks.ingress.protocol import Item

BATCH: Final = 100
PER_S: Final = 2_500  # records a second
AHEAD_S: Final = 0.2  # a feed that was kept waiting catches up by so much, and no more

Position = tuple[str, int, int]  # topic, partition, position


@dataclass(slots=True)
class Feed:
    """The records that are still to be sent, and the places of those that were. `partitions` of the home's topics."""

    records: Sequence[Made]
    contracts: Contracts
    partitions: int
    sent: int = 0
    started_s: float | None = None
    places: dict[Position, Made] = field(default_factory=dict)
    _due: float = 0.0

    @property
    def done(self) -> bool:
        """Tell whether everything has been sent."""
        return self.sent >= len(self.records)

    def send_due(self, ingress: Ingress) -> None:
        """Send what is due by now."""
        now_s = time.monotonic()
        if self.started_s is None:
            self.started_s = self._due = now_s
        self._due = max(self._due, now_s - AHEAD_S)
        while not self.done and self._due <= now_s:
            self._send(ingress, self.records[self.sent : self.sent + BATCH])
            self._due += BATCH / PER_S

    def _send(self, ingress: Ingress, batch: Sequence[Made]) -> None:
        groups: dict[tuple[str, int], list[tuple[Made, Encoded]]] = {}
        for made, one in zip(batch, encode(batch, self.contracts), strict=True):
            groups.setdefault((one.topic, partition_of(one.tenant, self.partitions)), []).append((made, one))
        items = [Item(topic, [one.record for _, one in group], None, partition) for (topic, partition), group in groups.items()]
        for place, ((topic, partition), group) in zip(ingress.append(items), groups.items(), strict=True):
            self.places.update({(topic, partition, place.base + at): made for at, (made, _) in enumerate(group)})
        self.sent += len(batch)
