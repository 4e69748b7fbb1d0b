"""What is durable: the engine as of its last commit, and what the next one says.

Promise: what stands here is in the store; `commit` is the only way on, and where it raises nothing here has moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

from flows.engine.intake import Intake
from flows.engine.settings import Ports
from flows.engine.triggers import UNCHANGED, TriggerChanges
from flows.engine.world import EngineWorld
from operators.turn.pending import TurnResult
from schemas.ports import HeldBack, Slot, StoreMeta, Stretch, TurnCommit


class Behind(NamedTuple):
    """What a commit says of the inputs. Only the last part of a turn moves positions: windows took in the rows of all parts."""

    positions: Mapping[Slot, int] = MappingProxyType({})
    outcomes: int = 0  # commands that got their first one
    changes: TriggerChanges = UNCHANGED
    held_back: Mapping[HeldBack, int] | None = None
    reached: Sequence[Stretch] | None = None
    past_us: int | None = None  # up to when they have been read; by the event clock the time then


class Committed:
    """The last commit of one engine."""

    def __init__(self, ports: Ports, meta: StoreMeta, intake: Intake, world: EngineWorld) -> None:
        self._store, self._clock = ports.store, ports.clock
        self._intake = intake
        self._world = world
        self.turn, self.now_us, self.next_row = meta.turn, meta.now_us, meta.next_row
        self.open_actions, self.live = meta.open_actions, meta.live  # executions that live now, watches among them
        self.positions = dict(meta.positions)
        self.met: Mapping[bytes, str] = ports.store.met()  # events that met waits in slices and are not seen yet
        self._pinned: set[str] = set()  # versions whose programs the store holds

    def clock_at(self, now_us: int) -> int:
        """Give a time, or that of the last commit if it is later: the clock never goes back."""
        return max(self.now_us, now_us)

    def commit(self, result: TurnResult, now_us: int, inputs: Behind) -> None:
        """Make one transaction of a turn durable, then be as of it."""
        now_us = self.clock_at(now_us)
        fresh = sorted(result.versions - self._pinned)
        commit = self._commit_of(result, now_us, inputs, fresh)
        self._store.commit(commit)
        self._pinned.update(fresh)
        self._pinned.difference_update(self._store.unpinned())
        self.turn += 1
        self.now_us = now_us
        self.next_row = max(map(itemgetter(0), result.starts), default=self.next_row - 1) + 1
        self.open_actions += commit.open_actions
        self.live += commit.lives
        self.positions.update(inputs.positions)
        self.met = result.met

    def _commit_of(self, result: TurnResult, now_us: int, inputs: Behind, fresh: list[str]) -> TurnCommit:
        longest_us = self._world.look_back_us
        changes = inputs.changes
        return TurnCommit(
            turn=self.turn + 1,
            now_us=now_us,
            positions=inputs.positions,
            starts=result.starts,
            changes=result.changes,
            discarded=result.discarded,
            limits=result.limits,
            held_back=inputs.held_back,
            reached=inputs.reached,
            past_us=inputs.past_us,
            met=None if result.met == self.met else result.met,
            timers_set=result.timers_set,
            timers_gone=result.timers_gone,
            deadlines_set=result.deadlines_set,
            deadlines_gone=result.deadlines_gone,
            waits_set=result.waits_set,
            waits_gone=result.waits_gone,
            windows=changes.windows,
            verdicts=result.verdicts,
            schedules=changes.schedules,
            schedules_gone=changes.schedules_gone,
            remembered=result.remembered,
            remember_since_us=now_us - longest_us if longest_us else 0,
            seen=result.seen,
            programs=[(version, self._world.packed(version)) for version in fresh],
            emitted=result.emitted,
            open_actions=result.actions - inputs.outcomes,
            wall_us=self._clock.now_us(),
            sources=self._intake.incarnations(),
        )
