"""The reference runner: what a flow means, in one loop over rows. Slow, small, and read first.

Reads: event records one by one, in order, under the event clock. Emits: histories, one an execution, and its commands.
State: executions and timers in memory. The engine must give the same transitions (tests/laws); it shares with this file
only the decoding of one record, the row evaluator of expressions, and the execution core.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from operators.advance import Advanced, Moment, Runnable, fire, start
from operators.execution import Cause, State
from operators.steps import make_runnable
from schemas.decode import DecodeRules, EventFrame, decode, key_rows
from schemas.expression.rows import compile_row
from schemas.expression.walk import keys
from schemas.ids import LIVE, event_key, execution_id
from schemas.ports import Chunk
from schemas.program import EventTrigger, Program
from schemas.records import Action, History, Transition
from schemas.registry import Registry


@dataclass(slots=True)
class LocalExecution:
    """One execution: who it is, what it did, and where it stands."""

    tenant: str
    id: bytes
    runnable: Runnable
    cause: Cause
    started_us: int
    status: str = "running"
    state: State | None = None
    transitions: list[Transition] = field(default_factory=list)

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


@dataclass(slots=True)
class LocalRun:
    """The whole run: executions in the order of their start, commands in the order of their issue."""

    executions: dict[bytes, LocalExecution] = field(default_factory=dict)
    commands: list[Action] = field(default_factory=list)
    bad: list[tuple[int, str, str]] = field(default_factory=list)  # place, reason, detail
    now_us: int = 0

    def histories(self) -> list[History]:
        """Give every execution's history."""
        return [one.history() for one in self.executions.values()]


def run_local(records: Iterable[tuple[str, bytes]], programs: Sequence[Program], registry: Registry) -> LocalRun:
    """Run flows over (topic, record) in order, then let the clock run until nothing is left to fall due."""
    flows = sorted((make_runnable(program) for program in programs), key=lambda one: one.program.flow)
    run = LocalRun()
    seen: set[bytes] = set()
    for place, (topic, data) in enumerate(records):
        decoded = decode([Chunk("local", topic, 0, place, run.now_us, [data])], registry, DecodeRules(run.now_us, "events"))
        run.bad.extend((place, one.reason, one.detail) for one in decoded.bad)
        for one in decoded.frames:
            _take_event(run, flows, seen, one)
    _let_time_pass(run, None)
    return run


def _take_event(run: LocalRun, flows: Sequence[Runnable], seen: set[bytes], one: EventFrame) -> None:
    event = one.frame.row(0, named=True)
    _let_time_pass(run, event["time"])
    run.now_us = max(run.now_us, event["time"])
    key = event_key(event["tenant"], event["source"], event["id"])
    fitting = [(runnable, _fitting(runnable, flows, event["tenant"], one)) for runnable in flows]
    started = [(runnable, trigger) for runnable, trigger in fitting if trigger is not None]
    if key in seen or not started:
        return
    seen.add(key)
    for runnable, trigger in started:
        _start(run, runnable, trigger, one)


def _fitting(runnable: Runnable, flows: Sequence[Runnable], tenant: str, event: EventFrame) -> EventTrigger | None:
    """Give the first trigger that fits; a flow for all tenants yields to one of the same name for this tenant."""
    program = runnable.program
    if program.tenants and tenant not in program.tenants:
        return None
    own = (one.program for one in flows if tenant in one.program.tenants)
    if not program.tenants and any(one.flow == program.flow for one in own):
        return None
    return next((one for one in program.triggers if one.event == event.type and _holds(one, event)), None)


def _holds(trigger: EventTrigger, event: EventFrame) -> bool:
    if trigger.condition is None:
        return True
    return compile_row(trigger.condition)(_env(event, sorted(keys(trigger.condition)))) is True


def _env(event: EventFrame, wanted: Sequence[str]) -> dict[str, Any]:
    return key_rows(event.frame, wanted, event.contract.data)[0]


def _start(run: LocalRun, runnable: Runnable, trigger: EventTrigger, frame: EventFrame) -> None:
    event = frame.frame.row(0, named=True)
    key = event_key(event["tenant"], event["source"], event["id"])
    program = runnable.program
    identity = execution_id(LIVE, event["tenant"], program.flow, key, event["time"])
    cause = Cause(event["id"], event["source"], event["time"], event["correlationid"] or event["id"], event["hops"] or 0)
    env = _env(frame, [name for name, _ in program.reads])
    if trigger.name:
        env["trigger.name"] = trigger.name
    one = LocalExecution(event["tenant"], identity, runnable, cause, run.now_us)
    run.executions[identity] = one
    _take(run, one, start(runnable, one.tenant, identity, cause, env, run.now_us))


def _let_time_pass(run: LocalRun, until_us: int | None) -> None:
    """Fire what falls due up to a time (None: everything), in order of time, then of start, then of token."""
    while True:
        waiting = [one for one in run.executions.values() if one.state is not None]
        due = [
            (parked.due_us, place, parked.token, one)
            for place, one in enumerate(waiting)
            for parked in (one.state.parked if one.state else ())
            if until_us is None or parked.due_us <= until_us
        ]
        if not due:
            return
        due_us, _, token, one = min(due, key=lambda item: item[:3])
        run.now_us = max(run.now_us, due_us)
        assert one.state is not None
        _take(run, one, fire(Moment(one.runnable, one.tenant, one.id, one.state, due_us), token))


def _take(run: LocalRun, one: LocalExecution, advanced: Advanced | None) -> None:
    if advanced is not None:
        one.state, one.status = advanced.state, advanced.status
        one.transitions.extend(advanced.transitions)
        run.commands.extend(command.action() for command in advanced.commands)
