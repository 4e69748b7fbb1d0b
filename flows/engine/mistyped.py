"""How often triggers read a field of no declared type as something that it is not: `mistyped` of `flow_stats`.

Reads: the frames of a turn, the conditions of triggers, also of those with windows. Emits: a record a (tenant, version, minute).
State: none. Cost: one more match for the event types that have such fields.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from operators.triggers.match import match_events
from operators.turn.deployed import Deployed
from operators.turn.live import shard_of_tenant
from schemas.decode import EventFrame, select_keys
from schemas.ports import Append
from schemas.program import unpack
from schemas.records import Mistyped, encode
from schemas.topics import MISTYPED

MINUTE_US: Final = 60_000_000
_Place = tuple[str, str, int]  # tenant, version, minute


class MistypedCount:
    """The count of one turn. A record that comes twice counts twice."""

    def __init__(self, deployed: Deployed, clock: npt.NDArray[np.int64]) -> None:
        """`clock` is that of the turn's rows."""
        self._deployed = deployed
        self._clock = clock
        self._found: Counter[_Place] = Counter()

    def add(self, frames: Sequence[EventFrame], first_row: int) -> None:
        """Count the events of a segment; entries are looked up while they mean what they meant."""
        asked = [(one.frame, table) for one in frames if (table := self._deployed.mistyped(one.type)) is not None]
        for found in match_events(asked, select_keys) if asked else []:
            self._take(found, first_row)

    def _take(self, found: pl.DataFrame, first_row: int) -> None:
        minutes = self._clock[found["row"].to_numpy() + first_row] // MINUTE_US * MINUTE_US
        for tenant, entry, minute in zip(found["tenant"].to_list(), found["entry"].to_list(), minutes.tolist(), strict=True):
            self._found[tenant, self._deployed.entry(entry)[0].version, minute] += 1

    def records(self) -> list[Mistyped]:
        """Give what was counted."""
        flows = {version: self._flow(version) for _, version, _ in self._found}
        return [
            Mistyped(tenant=tenant, flow=flows[version], version=version, minute=minute, events=events)
            for (tenant, version, minute), events in sorted(self._found.items())
        ]

    def _flow(self, version: str) -> str:
        packed = self._deployed.program(version)
        return unpack(packed).flow if packed is not None else ""


def mistyped_appends(counted: Sequence[Mistyped], partitions: int) -> list[Append]:
    """Give the records of what was counted, by partition."""
    records: dict[int, list[bytes]] = {}
    for one in counted:
        records.setdefault(shard_of_tenant(one.tenant) % partitions, []).append(encode(one))
    return [Append(MISTYPED, partition, listed) for partition, listed in sorted(records.items())]
