"""The executions of the reference runner, and what they say to each other and to the world.

State: executions in the order of their start, each with its timers and waits; what came before, for waits that look back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from flows.local.events import LocalEvent
from flows.local.execution import LocalExecution
from flows.local.limits import LocalLimits
from operators.advance.advance import Advanced, Moment, Runnable, child_ended, command, fire, meet, retract, start
from operators.advance.gather import gather, open_gathering
from operators.advance.met_parts import part_of, reads_of
from operators.advance.watch_for import TOKEN
from operators.execution.execution import Cause
from operators.execution.wait_shapes import WaitShapes
from operators.triggers.after import gather_key
from operators.triggers.policies import Policies
from operators.turn.emit import flow_ended
from operators.turn.limit_book import place_of
from operators.turn.missed import verdict_of
from schemas.effects import Called, Emitted, Ended, MetEvent
from schemas.ids import LIVE, execution_id
from schemas.ports import MissedVerdict
from schemas.program import After, Call
from schemas.records import HOPS_MAX, Action, OperatorCommand
from schemas.registry import Registry
from schemas.start_inputs import BadInputs, input_env

END_OF_TIME = 1 << 62


@dataclass(slots=True)
class LocalWorld:
    """Executions in the order of their start, commands and events in the order in which they were said."""

    registry: Registry
    clock: Literal["wall", "events"] = "events"
    flows: list[Runnable] = field(default_factory=list)  # in force, by name
    versions: dict[str, Runnable] = field(default_factory=dict)  # all that may be called
    policies: Policies = field(default_factory=Policies)
    executions: dict[bytes, LocalExecution] = field(default_factory=dict)
    commands: list[Action] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)  # ids of commands
    events: list[tuple[str, Emitted]] = field(default_factory=list)  # (tenant, event)
    now_us: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _came: list[LocalEvent] = field(default_factory=list)  # what waits may look back to
    _shapes: WaitShapes = field(default_factory=WaitShapes)
    _next: deque[Callable[[], None]] = field(default_factory=deque)  # what executions said to each other
    dropped: list[tuple[LocalExecution, str]] = field(default_factory=list)  # starts that limits did not let be, and why
    late: list[tuple[str, str]] = field(default_factory=list)  # (execution that began for want of it or first event, event)
    _verdicts: list[MissedVerdict] = field(default_factory=list)
    _rows: int = 0
    _limits: LocalLimits = field(init=False)

    def __post_init__(self) -> None:
        """Open the admission point."""
        self._limits = LocalLimits(self._book, self._moment, self._next.append, self._drop)

    def _meet(self, one: LocalExecution, token: int, event: MetEvent, now_us: int) -> bool:
        if one.state is None:
            return False
        moment, kind = self._moment(one, now_us), one.waits[token].kind
        part = part_of(event, reads_of(one.runnable, one.state, token))
        advanced = retract(moment, part) if kind == "retract" else meet(moment, token, part)
        self._book(one, advanced, now_us)
        return advanced is not None

    def _born(self, tenant: str, identity: bytes, runnable: Runnable, cause: Cause) -> LocalExecution:
        self._rows += 1
        one = self.executions[identity] = LocalExecution(tenant, identity, runnable, cause, self.now_us, self._rows)
        return one

    def _run(self, one: LocalExecution, env: dict[str, Any]) -> None:
        env = env | self._policies(one)
        if one.runnable.limited:
            self._limits.start(one, env, self.now_us)
            return
        self._book(one, start(one.runnable, one.tenant, one.id, one.cause, env, self.now_us), self.now_us)

    def _drop(self, one: LocalExecution, why: str) -> None:
        """Do not start it: it leaves no execution, and its caller is told."""
        del self.executions[one.id]
        self.dropped.append((one, why))
        if one.parent is not None:
            message = f"flow '{one.runnable.program.flow}' was not started: {why}"
            self._tell_parent(one.parent, True, Ended("failed", None, "limit_exceeded", message))

    def _fire(self, one: LocalExecution, timer: tuple[int, bool, int]) -> None:
        """Let the time of a token come: under the event clock at its own time, under the wall clock now."""
        due_us, is_deadline, token = timer
        at_us = due_us if self.clock == "events" else self.now_us
        place = place_of(one.state)
        if place is not None and not is_deadline:
            self._limits.ask_again(one, place, at_us)
        else:
            advanced = fire(self._moment(one, at_us), token)
            if advanced is not None and advanced.status == "discarded":
                self._note_verdict(one, begins=False)
            self._book(one, advanced, at_us)

    def _note_verdict(self, one: LocalExecution, *, begins: bool) -> None:
        verdict = verdict_of(one.runnable, one.state, begins=begins)
        if verdict is not None:
            self._verdicts.append(verdict._replace(execution=one.id, tenant=one.tenant))

    def _gather(self, one: LocalExecution, place: int, env: dict[str, Any]) -> None:
        """Give an end of a flow to what gathers such ends; where nothing does, `one` begins to."""
        key = gather_key(one.runnable.program, place, one.tenant, env)
        gathering = (other for other in self.executions.values() if any(wait.key == key for wait in other.waits.values()))
        other = next(gathering, None)
        if other is not None:
            advanced = gather(self._moment(other, self.now_us), one.cause, env)
            if advanced is not None:
                del self.executions[one.id]
                self._book(other, advanced, self.now_us)
                return
            self._book(other, fire(self._moment(other, self.now_us), TOKEN), self.now_us)
        self._book(one, open_gathering(self._moment(one, self.now_us), (one.cause, place, key), env), self.now_us)

    def _policies(self, one: LocalExecution) -> dict[str, Any]:
        names = one.runnable.program.policies
        return self.policies.environment(one.tenant, names, self.now_us) if names else {}

    def _moment(self, one: LocalExecution, now_us: int) -> Moment:
        return Moment(one.runnable, one.tenant, one.id, one.state, now_us, self._policies(one))

    # --- what an execution says

    def _book(self, one: LocalExecution, advanced: Advanced | None, now_us: int) -> None:
        if advanced is None:
            return
        if advanced.begun is not None:
            self._note_verdict(one, begins=True)
        before = place_of(one.state)
        one.take(advanced, now_us, outcomes_come=self.clock == "events")
        self.commands.extend(said.action() for said in advanced.commands if said.body.hops <= HOPS_MAX)
        self.events.extend((one.tenant, event) for event in advanced.events if event.hops <= HOPS_MAX)
        self.cancels.extend(unwanted.action for unwanted in advanced.cancels if not unwanted.hurry)
        self._next.extend(partial(self._call, one, called) for called in advanced.calls)
        self._next.extend(partial(self._abandon, one, gone.step, gone.occurrence) for gone in advanced.abandoned)
        if advanced.ended is not None:
            self._end(one, advanced.ended)
        if one.runnable.limited:
            self._limits.follow(one, before, advanced, now_us)
        for waiting in advanced.waits_set:
            self._look_back(one, waiting.token, waiting.since_us if waiting.look_back_us else END_OF_TIME, now_us)

    def _look_back(self, one: LocalExecution, token: int, since_us: int, now_us: int) -> None:
        for event in reversed(self._came):
            wait = one.waits.get(token)
            if wait is None or event.at_us < since_us:
                return
            if wait.key in event.keys and self._meet(one, token, event.met, now_us):
                self._seen.add(event.key)
                return

    def _settle(self) -> None:
        while self._next:
            self._next.popleft()()

    def _call(self, parent: LocalExecution, called: Called) -> None:
        runnable, origin = self.versions.get(called.version), parent.cause
        if runnable is None:
            why = f"version {called.version} of flow '{called.flow}' is not known, its record may be among the dead letters"
            self._tell_parent((parent, called.token), called.awaited, Ended("failed", None, "unavailable", why))
            return
        cause = Cause(origin.event, origin.source, origin.time_us, origin.correlationid, origin.hops + 1)
        try:
            env, _ = input_env(runnable.program, called.inputs, None)
        except BadInputs as error:
            self._tell_parent((parent, called.token), called.awaited, Ended("failed", None, "invalid_result", str(error)))
            return
        if cause.hops > HOPS_MAX:
            message = f"'{called.flow}' would be {cause.hops} hops from its first event, at most {HOPS_MAX}"
            self._tell_parent((parent, called.token), called.awaited, Ended("failed", None, "limit_exceeded", message))
            return
        one = self._born(parent.tenant, _child_id(parent, called.flow, called.step, called.occurrence), runnable, cause)
        one.parent = (parent, called.token) if called.awaited else None
        self._run(one, env)

    def _abandon(self, parent: LocalExecution, name: str, occurrence: int) -> None:
        step = next(step for step in parent.runnable.program.steps if isinstance(step, Call) and step.name == name)
        one = self.executions.get(_child_id(parent, step.flow, name, occurrence))
        if one is not None and one.state is not None:
            order = OperatorCommand(
                command="cancel", tenant=one.tenant, execution=one.id.hex(), by=parent.id.hex(), at=self.now_us
            )
            self._book(one, command(self._moment(one, self.now_us), order), self.now_us)

    def _tell_parent(self, parent: tuple[LocalExecution, int], awaited: bool, ended: Ended) -> None:
        one, token = parent
        if awaited:
            self._next.append(lambda: self._end_call(one, token, ended))

    def _end_call(self, one: LocalExecution, token: int, ended: Ended) -> None:
        if one.state is not None:  # else it has ended since, by the same word
            self._book(one, child_ended(self._moment(one, self.now_us), token, ended), self.now_us)

    def _end(self, one: LocalExecution, ended: Ended) -> None:
        if one.parent is not None:
            self._tell_parent(one.parent, True, ended)
        flow = one.runnable.program.flow
        if any(isinstance(t, After) and flow in t.flows for other in self.flows for t in other.program.triggers):
            self.events.append((one.tenant, flow_ended(one, ended, self.now_us)))


def _child_id(parent: LocalExecution, flow: str, step: str, occurrence: int) -> bytes:
    cause = b"call" + parent.id + f"{step}\0{occurrence}".encode()
    return execution_id(LIVE, parent.tenant, flow, cause, parent.cause.time_us or parent.started_us)
