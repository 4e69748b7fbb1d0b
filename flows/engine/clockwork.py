"""When it is for the engine, and when something happens next: by the wall clock, or by the events' own times.

Reads: the last commit, how far the inputs were read, what the store and the triggers have due. Cost: a few look-ups a turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flows.engine.committed import Committed
from flows.engine.intake import Intake
from flows.engine.settings import Ports
from flows.engine.slices import event_times, wall_times
from flows.engine.triggers import Triggers
from flows.engine.work import JoinedWork
from operators.turn.deployed import Deployed
from operators.turn.times import END_OF_TIME, Times
from schemas.ports import StoreMeta


@dataclass(frozen=True, slots=True)
class Clockwork:
    """The time of one engine."""

    kind: Literal["wall", "events"]
    ports: Ports
    committed: Committed
    intake: Intake
    triggers: Triggers
    deployed: Deployed

    def wall_now_us(self) -> int:
        """Give the time on the wall, never before that of the last commit."""
        return self.committed.clock_at(self.ports.clock.now_us())

    def before_us(self) -> int:
        """Give the clock before the first row of a turn: where windows are, who do not go on with the parts of one."""
        return self.intake.passed_us or self.committed.now_us if self.kind == "events" else self.wall_now_us()

    def from_us(self) -> int:
        """Give up to when every input had been read behind the last turn."""
        return self.intake.passed_us if self.kind == "wall" else 0

    def past_us(self, now_us: int, *, read: bool) -> int:
        """Give the time up to which every input was read, so that deadlines may pass.

        Under the event clock that is all of time once everything is read and no command is without an outcome, else nothing.
        """
        if self.kind == "wall":
            return self.intake.past_us(now_us)
        return END_OF_TIME if read and not self._held() and self.intake.at_end() else 0

    def next_us(self, past_us: int) -> int | None:
        """Tell to what time a turn without input would bring the clock, None if nothing would happen by it."""
        due_us, slot_us = self.ports.store.next_due_us(), self.triggers.next_slot_us()
        deadline_us = _first(self.ports.store.next_deadline_us(), self.triggers.next_deadline_us())
        if self.kind == "wall":
            due_us = _first(due_us, slot_us)
            now_us = self.wall_now_us()
            passed_us = min(now_us, past_us)
        else:
            now_us, passed_us = self.committed.now_us, self.committed.now_us - 1
        if (due_us is not None and due_us <= now_us) or (deadline_us is not None and deadline_us <= passed_us):
            return now_us
        if past_us != END_OF_TIME:
            return None
        return _first(due_us, deadline_us)  # a slot is no reason: an idle event clock would never come to rest

    def times(self, work: JoinedWork) -> Times:
        """Give the times of a turn's rows."""
        now_us = self.committed.clock_at(work.decoded.now_us)
        return event_times(work, now_us) if self.kind == "events" else wall_times(work, self.ports.store, now_us)

    def holds_up(self) -> bool:
        """Tell whether executions wait for an event clock that may not go on: a command has no outcome, or a sender holds it."""
        if self.kind == "wall" or not self._held():
            return False
        store = self.ports.store
        waits = (store.next_due_us(), store.next_deadline_us(), self.triggers.next_deadline_us())
        return any(one is not None for one in waits)

    def _held(self) -> bool:
        return self.committed.open_actions > 0 or self.deployed.clock_held


def begun_us(kind: Literal["wall", "events"], meta: StoreMeta) -> int:
    """Give the clock as of the last whole turn: a turn that went on in parts and did not end is read again from there."""
    return meta.past_us or meta.now_us if kind == "events" else meta.now_us


def _first(*times: int | None) -> int | None:
    return min((one for one in times if one is not None), default=None)
