"""What a turn may ask: the store as of the last commit, the catalogue as of the turn's first row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from operators.advance.advance import Runnable
from operators.execution.wait_shapes import start_keys
from operators.steps.steps import make_runnable
from operators.triggers.lanes import Lane
from operators.triggers.seen import SeenKeys
from operators.turn.deployed import Deployed
from operators.turn.incoming import STARTS
from schemas.errors import BrokenInvariant
from schemas.limits import LimitReads
from schemas.ports import Remembered, StateStore, StoredExecution, Wait
from schemas.program import Absence, EventTrigger, Program, unpack
from schemas.program import Sequence as Chain

RUNNABLES_MAX: Final = 50_000


class Start(NamedTuple):
    """What every start by one trigger has in common; `keys` are those of its event that it takes along."""

    runnable: Runnable
    name: str
    keys: tuple[str, ...]
    watch: int  # the trigger's place if it watches before its flow starts, else STARTS


class EngineWorld:
    """Answers a turn's questions (operators.turn.pending.World)."""

    def __init__(self, store: StateStore, deployed: Deployed, seen: SeenKeys) -> None:
        self._store = store
        self._seen = seen
        self._deployed = deployed
        self.runnable: Callable[[str], Runnable] = lru_cache(maxsize=RUNNABLES_MAX)(self._make_runnable)
        self.start: Callable[[str, int], Start] = lru_cache(maxsize=RUNNABLES_MAX)(self._make_start)

    def connector(self, tenant: str, action: str) -> str:
        """Give the connector that serves an action type of a tenant."""
        return self._deployed.connector(tenant, action)

    def deployed(self, version: str) -> Runnable | None:
        """Give the program of a version, None where there is none (any more)."""
        known = self._deployed.program(version) or self._store.program(version)
        return None if known is None else self.runnable(version)

    def load(self, row: int) -> StoredExecution | None:
        """Read a live execution by row."""
        return self._store.load([row]).get(row)

    def find(self, identity: bytes) -> StoredExecution | None:
        """Read a live execution by public id."""
        return self._store.find([identity]).get(identity)

    def exists(self, identity: bytes) -> bool:
        """Tell whether an execution is known, ended ones too; a watch that was discarded was none."""
        return bool(self._store.existing([identity], begun=True))

    def seen(self, key: bytes) -> bool:
        """Tell whether a key is in the window of those seen."""
        return bool(self._seen.among({key}))

    def remembered(self, key: int, since_us: int) -> Sequence[Remembered]:
        """Give the events kept under a wait key since a time, the latest first."""
        return self._store.remembered(key, since_us)

    def waiting(self, key: int) -> Sequence[Wait]:
        """Give the waits found by a key."""
        return self._store.waiting([key])

    def policies(self, tenant: str, program: Program, now_us: int) -> Mapping[str, Any]:
        """Give the policies that a program reads, as its environment names them."""
        return self._deployed.policies.environment(tenant, program.policies, now_us)

    def startable(self, tenant: str, flow: str) -> Runnable | None:
        """Give the version in force of a flow."""
        version = self._deployed.startable(tenant, flow)
        return None if version is None else self.runnable(version)

    def lanes(self, tenant: str, flow: str) -> Sequence[Lane]:
        """Give all that starts by the name of a flow."""
        return self._deployed.lanes(tenant, flow)

    def shadowed(self, flow: str) -> bool:
        """Tell whether a flow ever ran in shadow: executions of it may have one."""
        return flow in self._deployed.shadowed

    @property
    def any_followed(self) -> bool:
        """Tell whether any flow starts after another."""
        return self._deployed.any_followed

    def followed(self, tenant: str, flow: str) -> bool:
        """Tell whether a flow starts after that one has ended."""
        return bool(self._deployed.followers(tenant, flow))

    @property
    def look_back_us(self) -> int:
        """Give for how long events are remembered for waits that look back."""
        return self._deployed.shapes.longest_us

    @property
    def limits(self) -> LimitReads:
        """Give what holds, waits for and has spent the limits."""
        return self._store.limits

    def packed(self, version: str) -> bytes:
        """Give the program of a version as it is stored."""
        packed = self._deployed.program(version) or self._store.program(version)
        if packed is None:
            raise BrokenInvariant(f"version {version} has executions and no program, neither deployed nor stored")
        return packed

    def _make_runnable(self, version: str) -> Runnable:
        return make_runnable(unpack(self.packed(version)))

    def _make_start(self, version: str, at: int) -> Start:
        ready = self.runnable(version)
        trigger = ready.program.triggers[at]
        watches = isinstance(trigger, EventTrigger) and isinstance(trigger.detail, Absence | Chain)
        return Start(ready, trigger.name, start_keys(ready.program, at), at if watches else STARTS)
