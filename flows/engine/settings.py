"""What one engine is made with: its settings, and the ports that it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flows.engine.sharing import Open
from schemas.ids import LIVE
from schemas.ports import Clock, LogReader, StateStore
from schemas.topics import PARTITIONS


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What is set for one engine."""

    clock: Literal["wall", "events"] = "wall"
    turn_rows: int = 65_536  # at most; each event type of a turn costs a millisecond
    busy_rows: int = 16_384  # at most, behind a turn that started many executions: each costs 30 µs
    partitions: int = PARTITIONS
    default_tenant: str | None = None
    namespace: str = LIVE
    weights: Mapping[str, int] = field(default_factory=dict)  # of tenants that share a turn; 1 where nothing is said


class Ports(NamedTuple):
    """What the engine stands on. `controls` reads the control topic from its beginning, once, at the start."""

    store: StateStore
    readers: Sequence[LogReader]
    controls: LogReader
    clock: Clock
    reopen: Open | None = None  # an input from other positions, to read again what waited for its share
