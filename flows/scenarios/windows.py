"""Windows of a story, counted by the engine's own kernels: what events and ends of flows put into them, and what that starts.

Reads: frames of one row, the clock. Emits: candidates, and executions whose verdict a late event takes back. State: the windows.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from flows.engine.ends import with_ends
from flows.engine.sighted import sighted
from flows.engine.sightings import NEVER, Sightings, Verdict
from operators.advance.advance import Runnable
from operators.triggers.match_rows import ALL
from operators.triggers.policies import Policies
from operators.turn.deployed import Deployed
from operators.turn.incoming import Candidate
from operators.windows.windows import Events, Found, Windows
from schemas.decode import EventFrame
from schemas.effects import MetEvent
from schemas.ids import LIVE, event_key, execution_id
from schemas.program import pack
from schemas.records import Control

NOWHERE: Final = np.zeros(1, np.int64)


class TakenBack(NamedTuple):
    """An execution whose verdict an event takes back."""

    tenant: str
    execution: bytes
    event: MetEvent


class Said(NamedTuple):
    """What windows said to an event, or to the clock."""

    starts: list[Candidate]
    taken_back: list[TakenBack]


class StoryWindows:
    """All windows of one story."""

    def __init__(self, policies: Policies) -> None:
        self._deployed = Deployed()
        self._deployed.policies = policies
        self._windows = Windows()
        self._runnables: Mapping[str, Runnable] = {}

    def play(self, flows: Iterable[Runnable]) -> None:
        """Say which flows start."""
        listed = list(flows)
        self._runnables = {one.program.version: one for one in listed}
        for program in (one.program for one in listed):
            packed = {"program": b64encode(pack(program)).decode()}
            self._deployed.apply(Control(key=f"version/{ALL}/{program.flow}/{program.version}", value=packed))
            for tenant in program.tenants or (ALL,):
                self._deployed.apply(Control(key=f"active/{tenant}/{program.flow}", value={"version": program.version}))

    def policies_changed(self) -> None:
        """Hear that a policy changed."""
        self._deployed.watching.policies_changed()

    def take(self, frame: EventFrame, now_us: int) -> Said:
        """Take in one event."""
        self._follow(now_us)
        said = Said([], [])
        counted = {name: one for name, one in self._deployed.counted.items() if name in self._windows.events()}
        for one in with_ends([frame], counted):
            if one.type in self._windows.events():
                at = np.array([now_us])
                found = self._windows.take(Events(one.type, one.frame, one.contract.data, at, at - 1))
                said.taken_back.extend(_taken_back(found, one))
                said.starts.extend(self._starts(found, now_us))
        return said

    def due_us(self) -> int | None:
        """Tell when windows have something to say though no event comes."""
        return self._windows.next_due_us()

    def let_pass(self, now_us: int) -> Said:
        """Let the clock run on to a time."""
        self._follow(now_us)
        return Said(self._starts(self._windows.advance(now_us), now_us), [])

    def _follow(self, now_us: int) -> None:
        watching = self._deployed.watching
        for event in watching.changed(now_us):
            watchers = watching.watchers(event, self._deployed.policies, now_us)
            self._windows.deploy(event, watchers, self._deployed.owners(watching.flows(event)))

    def _starts(self, found: Iterable[Found], now_us: int) -> list[Candidate]:
        verdicts = [
            Verdict(one.event, 0, np.zeros(len(said.row), np.int64), np.full(len(said.row), NEVER), said)
            for one in found
            for said in one.outcome.verdicts
            if said.pairs.height
        ]
        starts = sighted(Sightings(verdicts, now_us=now_us), self._deployed, self._runnables.__getitem__, NOWHERE)
        return sorted(starts, key=lambda one: one.runnable.program.flow)


def _taken_back(found: Iterable[Found], events: EventFrame) -> Iterable[TakenBack]:
    for back in (back for one in found for back in one.outcome.taken_back):
        late = events.frame.row(back.row, named=True)
        key = event_key(late["tenant"], late["source"], late["id"])
        met = MetEvent(late["id"], late["source"], late["time"], late["correlationid"] or late["id"], {}, key, late["hops"] or 0)
        cause = event_key(back.tenant, back.source, back.event)
        yield TakenBack(back.tenant, execution_id(LIVE, back.tenant, back.flow, cause, back.time_us), met)
