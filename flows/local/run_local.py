"""The reference runner: what a flow means, in one loop over rows. Slow, small, and read first.

Reads: what comes in, one by one, in order, under the event clock or a wall clock that its driver moves: events, outcomes of
commands, people's decisions, operators' words. Emits: histories, one an execution, and what executions say. State: executions in
memory, each with its timers and waits.
The engine must give the same transitions (tests/laws); it shares with this file only the decoding of one record, the row
evaluator of expressions, and the execution core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from flows.local.events import LocalEvent, local_event
from flows.local.execution import LocalExecution
from flows.local.world import END_OF_TIME, LocalWorld
from operators.advance.advance import Advanced, Moment, Runnable, answer, command, decide, watch
from operators.advance.forked import fork_start
from operators.advance.migrate import migrate
from operators.execution.execution import Cause
from operators.execution.wait_shapes import start_keys
from operators.steps.steps import make_runnable
from operators.triggers.after import PARTS, after_env, gather_key, gathers
from operators.turn.emit import event_record
from operators.turn.missed import is_over
from schemas.decode import DecodeRules, EventFrame, decode, key_rows
from schemas.errors import InvalidInput
from schemas.expression.bind import bind
from schemas.expression.rows import compile_row
from schemas.expression.walk import keys
from schemas.ids import LIVE, event_key, execution_id
from schemas.internal import FLOW_ENDED
from schemas.ports import Chunk
from schemas.program import Absence, After, EventTrigger, Manual, Program, Window
from schemas.program import Sequence as Chain
from schemas.records import Control, Decision, History, OperatorCommand, Result
from schemas.registry import Registry
from schemas.start_inputs import BadInputs, input_env

Due = tuple[tuple[int, bool, int, int], LocalExecution]  # (when, whether a deadline, place of the execution, token), whose


@dataclass(slots=True)
class LocalRun(LocalWorld):
    """The whole run: takes in one thing after the other."""

    bad: list[tuple[int, str, str]] = field(default_factory=list)  # place, reason, detail
    _place: int = 0

    def histories(self) -> list[History]:
        """Give every execution's history; a watch that has not begun has none."""
        return [one.history() for one in self.executions.values() if one.transitions]

    def put_in_force(self, programs: Iterable[Program]) -> None:
        """Say which flows start from now on."""
        self.flows = sorted((make_runnable(program) for program in programs), key=lambda one: one.program.flow)
        for runnable in self.flows:
            self.know(runnable.program)

    def know(self, program: Program) -> None:
        """Learn a version that may be called."""
        self.versions[program.version] = make_runnable(program)
        self._shapes.add(program)

    # --- what comes in

    def take_event(self, topic: str, data: bytes) -> None:
        """Take one record of an event topic."""
        rules = DecodeRules(self.now_us, self.clock)
        decoded = decode([Chunk("local", topic, 0, self._place, self.now_us, [data])], self.registry, rules)
        self.bad.extend((self._place, one.reason, one.detail) for one in decoded.bad)
        self._place += 1
        for frame in decoded.frames:
            self._take(frame)

    def take_result(self, result: Result) -> None:
        """Take the outcome of a command."""
        self._tell(result.execution, result.tenant, lambda moment: answer(moment, result))

    def take_decision(self, decision: Decision) -> None:
        """Take what a person decided."""
        self._tell(decision.execution, decision.tenant, lambda moment: decide(moment, decision))

    def take_order(self, order: OperatorCommand) -> str:
        """Take an operator's word; say why a start by hand is refused."""
        if order.command == "start":
            return self._start_by_hand(order)
        if order.command == "fork":
            return self._fork(order)
        if order.command == "migrate":
            self._migrate(order)
        else:
            self._tell(order.execution, order.tenant, lambda moment: command(moment, order))
        return ""

    def let_time_pass(self, delays_us: int = END_OF_TIME, deadlines_us: int = END_OF_TIME) -> None:
        """Let delays end that are due by a time, and deadlines pass: in order of time, then of start, then of token."""
        while (due := self._first_due(delays_us, deadlines_us)) is not None:
            self._let_pass(*due)

    def _first_due(self, delays_us: int, deadlines_us: int) -> Due | None:
        due = [
            ((timer[0], timer[1], place, timer[2]), one)
            for place, one in enumerate(self.executions.values())
            for timer in one.timers
            if timer[0] <= (deadlines_us if timer[1] else delays_us)
        ]
        return min(due, key=itemgetter(0), default=None)

    def _let_pass(self, at: tuple[int, bool, int, int], one: LocalExecution) -> None:
        due_us, is_deadline, _, token = at
        self.now_us = max(self.now_us, due_us)
        del one.timers[due_us, is_deadline, token]
        self._fire(one, (due_us, is_deadline, token))
        self._settle()

    # --- one event

    def _take(self, frame: EventFrame) -> None:
        clock_us = self._clock_at(frame.frame["time"][0])
        event = local_event(frame, self._shapes, clock_us)
        if event.key in self._seen:
            return
        self.late.extend((who, event.met.id) for who in self._missed(event))
        self._came.append(event)  # what it sets going may look back to it
        waiting = [
            (wait.kind != "retract", place, token, one)
            for place, one in enumerate(self.executions.values())
            for token, wait in one.waits.items()
            if wait.key in event.keys
        ]
        for _, _, token, one in sorted(waiting, key=lambda item: item[:3]):
            wait = one.waits.get(token)
            if wait is not None and wait.key in event.keys and self._meet(one, token, event.met, clock_us):
                self._seen.add(event.key)
                self._settle()
        for runnable in self.flows:
            trigger = self._fitting(runnable, event.tenant, frame)
            if trigger is not None:
                self._seen.add(event.key)
                self._start(runnable, trigger, event, frame)

    def _missed(self, event: LocalEvent) -> Iterator[str]:
        """Give what an event is too late for: executions, and of each flow's sequences the first event of one."""
        found = sorted(
            one for one in self._verdicts if one.key in event.keys and one.since_us <= event.met.time_us <= one.time_us
        )
        sequences = {one.flow: one.first for one in reversed(found) if one.first}
        yield from sequences.values()
        yield from (one.execution.hex() for one in found if not one.first)

    def _clock_at(self, time_us: int) -> int:
        """Give the clock at an event: the event clock goes on to its time, the wall clock whoever drives this run has moved."""
        if self.clock == "events":
            clock_us = max(self.now_us, time_us)
            self.let_time_pass(clock_us, clock_us - 1)  # what comes at the very time of a deadline still counts
            self.now_us = clock_us
        return self.now_us

    def _fitting(self, runnable: Runnable, tenant: str, frame: EventFrame) -> int | None:
        """Give the first trigger that fits; a flow for all tenants yields to one of the same name for this tenant."""
        program = runnable.program
        if program.tenants and tenant not in program.tenants:
            return None
        own = (one.program for one in self.flows if tenant in one.program.tenants)
        if not program.tenants and any(one.flow == program.flow for one in own):
            return None
        places = range(len(program.triggers))
        return next((at for at in places if self._holds(program, at, tenant, frame)), None)

    def _holds(self, program: Program, at: int, tenant: str, frame: EventFrame) -> bool:
        trigger = program.triggers[at]
        if isinstance(trigger, After):
            env = after_env(trigger, program, _ended(frame)) if frame.type == FLOW_ENDED else None
            return env is not None and (not gathers(trigger) or gather_key(program, at, tenant, env) is not None)
        if not isinstance(trigger, EventTrigger) or trigger.event != frame.type:
            return False
        if isinstance(trigger.detail, Window):  # the world of flow tests counts them
            return False
        if trigger.condition is None:
            return True
        names = [key.removeprefix("policies.") for key in keys(trigger.condition) if key.startswith("policies.")]
        condition = bind(trigger.condition, self.policies.values(tenant, names, self.now_us))
        (env,) = key_rows(frame.frame, sorted(keys(condition)), frame.contract.data)
        return compile_row(condition)(env) is True

    def _start(self, runnable: Runnable, at: int, event: LocalEvent, frame: EventFrame) -> None:
        program = runnable.program
        identity = execution_id(LIVE, event.tenant, program.flow, event.key, event.met.time_us)
        if identity in self.executions:
            return
        cause = Cause(event.met.id, event.met.source, event.met.time_us, event.met.correlationid, event.met.hops)
        trigger = program.triggers[at]
        if isinstance(trigger, After):
            env = after_env(trigger, program, _ended(frame)) or {}
        else:
            (env,) = key_rows(frame.frame, start_keys(program, at), frame.contract.data)
        one = self._born(event.tenant, identity, runnable, cause)
        if isinstance(trigger, EventTrigger) and isinstance(trigger.detail, Absence | Chain):
            self._book(one, watch(self._moment(one, self.now_us), cause, env, at), self.now_us)
            if is_over(one.runnable, one.state, self.now_us - 1):
                self.late.append((cause.event, cause.event))
        elif isinstance(trigger, After) and gathers(trigger):
            self._gather(one, at, env)
        else:
            self._run(one, env | ({"trigger.name": trigger.name} if trigger.name else {}))
        self._settle()

    def _tell(self, execution: str, tenant: str, what: Callable[[Moment], Advanced | None]) -> None:
        one = self.executions.get(bytes.fromhex(execution))
        if one is not None and one.state is not None and one.tenant == tenant:
            self._book(one, what(self._moment(one, self.now_us)), self.now_us)
            self._settle()

    def _migrate(self, order: OperatorCommand) -> None:
        one = self.executions.get(bytes.fromhex(order.execution))
        if one is None or one.state is None or one.tenant != order.tenant:
            return
        to = self._in_force(one.tenant, one.runnable.program.flow)
        advanced = migrate(self._moment(one, self.now_us), to, order)
        if to is not None and advanced.transitions[-1].kind == "migrated":
            one.runnable = to
        self._book(one, advanced, self.now_us)
        self._settle()

    def _in_force(self, tenant: str, flow: str) -> Runnable | None:
        """Give the version in force of a flow; a tenant's own wins over the one for all."""
        found = [one for one in self.flows if one.program.flow == flow and tenant in (one.program.tenants or (tenant,))]
        return max(found, key=lambda one: bool(one.program.tenants), default=None)

    def _start_by_hand(self, order: OperatorCommand) -> str:
        runnable = next((one for one in self.flows if one.program.flow == order.flow), None)
        trigger = None if runnable is None else next((one for one in runnable.program.triggers if isinstance(one, Manual)), None)
        if runnable is None or trigger is None:
            return "no-such-flow"
        if trigger.roles and not set(trigger.roles) & set(order.roles):
            return "not-allowed"
        try:
            env, wanted = input_env(runnable.program, order.inputs, trigger)
        except BadInputs as error:
            return f"bad-inputs: {error}"
        source, name = f"/manual/{order.flow}", wanted or order.id
        key = event_key(order.tenant, source, name)
        cause = Cause(name, source, 0 if wanted else order.at, name, 0)
        identity = execution_id(LIVE, order.tenant, order.flow, b"manual" + key, cause.time_us)
        if key not in self._seen and identity not in self.executions:
            self._seen.add(key)
            one = self._born(order.tenant, identity, runnable, cause)
            self._run(one, env | ({"trigger.name": trigger.name} if trigger.name else {}))
            self._settle()
        return ""

    def _fork(self, order: OperatorCommand) -> str:
        runnable = self.versions.get(order.version)
        if runnable is None:
            return "no-such-flow"
        try:
            identity, cause, env = fork_start(runnable.program, order)
        except (InvalidInput, ValueError) as error:
            return f"cannot-fork: {error}"
        if identity not in self.executions:
            self._run(self._born(order.tenant, identity, runnable, cause), env)
            self._settle()
        return ""


def run_local(
    records: Iterable[tuple[str, bytes]], programs: Sequence[Program], registry: Registry, policies: Iterable[Control] = ()
) -> LocalRun:
    """Run flows over (topic, record) in order, then let the clock run until nothing is left to fall due.

    What flows emit comes in right behind the row that caused it. `policies` are the control records of those in force.
    """
    run = LocalRun(registry)
    for control in policies:
        _, tenant, name = control.key.split("/", 2)
        run.policies.apply(tenant, name, control.value)
    run.put_in_force(programs)
    taken = 0

    def take_own() -> int:
        at = taken
        while at < len(run.events):
            tenant, event = run.events[at]
            at += 1
            run.take_event(event.topic, event_record(tenant, event))
        return at

    for topic, data in records:
        run.take_event(topic, data)
        taken = take_own()
    while True:
        due = min((timer[0] for one in run.executions.values() for timer in one.timers), default=None)
        if due is None:
            return run
        run.let_time_pass(due, due)
        taken = take_own()


def _ended(frame: EventFrame) -> dict[str, Any]:
    (ended,) = key_rows(frame.frame, PARTS, frame.contract.data)
    return ended
