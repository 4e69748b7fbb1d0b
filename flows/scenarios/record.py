"""What a small world keeps of one execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.advance import Moment, Runnable
from operators.execution import Cause, Parked, State
from schemas.effects import Ended
from schemas.ids import LIVE, execution_id
from schemas.records import Status, Transition


@dataclass(slots=True)
class Execution:
    """One execution: who it is, what it did, and where it stands. `row` is its place in the order of starts."""

    row: int
    tenant: str
    id: bytes
    runnable: Runnable
    cause: Cause
    started_us: int
    state: State | None = None
    status: Status = "running"
    ended: Ended | None = None
    transitions: list[Transition] = field(default_factory=list)
    caller: tuple[Execution, int] | None = None  # and its token that waits for the end

    @property
    def flow(self) -> str:
        """Name its flow."""
        return self.runnable.program.flow

    def parked(self) -> tuple[Parked, ...]:
        """List its tokens that wait."""
        return self.state.parked if self.state is not None else ()

    def moment(self, now_us: int, policies: Mapping[str, Any]) -> Moment:
        """Give what the core wants to know when something comes in."""
        return Moment(self.runnable, self.tenant, self.id, self.state, now_us, policies)


def child_id(parent: Execution, flow: str, step: str, occurrence: int) -> bytes:
    """Identify the execution of a called flow."""
    cause = b"call" + parent.id + f"{step}\0{occurrence}".encode()
    return execution_id(LIVE, parent.tenant, flow, cause, parent.cause.time_us)
