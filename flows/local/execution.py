"""One execution of the reference runner: who it is, what it did, where it stands, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

from operators.advance.advance import Advanced, Runnable
from operators.execution.execution import Cause, State
from schemas.effects import Waiting
from schemas.records import History, Transition

TIMERS = ("delay", "notice")


@dataclass(slots=True)
class LocalExecution:
    """An execution. `parent` is the one that called it, with the number of the call; `row` numbers them as they were born."""

    tenant: str
    id: bytes
    runnable: Runnable
    cause: Cause
    started_us: int
    row: int
    status: str = "running"
    state: State | None = None
    transitions: list[Transition] = field(default_factory=list)
    parent: tuple[LocalExecution, int] | None = None
    timers: dict[tuple[int, bool, int], None] = field(default_factory=dict)  # (due, whether a deadline, token)
    waits: dict[int, Waiting] = field(default_factory=dict)  # by token

    def history(self) -> History:
        """Give the whole history as one record."""
        program = self.runnable.program
        return History(
            tenant=self.tenant,
            execution=self.id.hex(),
            flow=program.flow,
            version=program.version,
            event=self.cause.event,
            status=self.status,  # type: ignore[arg-type]
            started=self.started_us,
            transitions=self.transitions,
        )

    def take(self, advanced: Advanced, now_us: int, *, outcomes_come: bool) -> None:
        """Take in what an input did to this execution itself. `outcomes_come`: no command's outcome is waited for in vain."""
        self.state, self.status = advanced.state, advanced.status
        self.transitions.extend(advanced.transitions)
        if advanced.begun is not None:
            self.cause, self.started_us = advanced.begun, now_us
        for parked in advanced.timers_gone:
            self.timers.pop((parked.due_us, parked.kind not in TIMERS, parked.token), None)
        for parked in advanced.timers_set:
            if parked.kind != "result" or not outcomes_come:
                self.timers[parked.due_us, parked.kind not in TIMERS, parked.token] = None
        for _, token in advanced.waits_gone:
            self.waits.pop(token, None)
        self.waits.update((waiting.token, waiting) for waiting in advanced.waits_set)
