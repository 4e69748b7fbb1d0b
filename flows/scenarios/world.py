"""A small world: the executions of one tenant in memory, one input after the other, under a clock that only the story moves.

Reads: one event, decision, result or operator's word at a time. Emits: histories, commands, events. State: executions, their
timers and waits, in dicts. It calls the execution core as an engine does; the outside answers commands as a dispatcher would.
A delay ends when the clock reaches it; a deadline passes behind what comes at that very time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from flows.engine.arrivals import arrived_in
from flows.scenarios.outside import Due, Outside, withdrawn
from flows.scenarios.record import Execution, child_id
from flows.scenarios.starts import Event, after_key, after_keys, ended_env, fitting, start_env
from flows.scenarios.windows import Verdict, WindowBook, window_keys
from operators.advance import Advanced, Runnable, answer, child_ended, command, decide, fire, meet, retract, start, watch
from operators.execution import Cause
from operators.incoming import Arrived
from operators.policies import Policies
from operators.start_inputs import input_env
from operators.wait_shapes import WaitShapes
from schemas.effects import Abandoned, Called, Emitted, Ended, MetEvent, Waiting
from schemas.ids import LIVE, execution_id
from schemas.program import Absence, After, Call, Program, Window
from schemas.program import Sequence as Watched
from schemas.records import Action, Decision, Json, OperatorCommand

INPUTS_MAX: Final = 100_000  # of one story
DELAYS: Final = ("delay", "notice")
Start = Callable[[Mapping[str, Any]], None]  # starts an execution with the measures of its window


_actions: Final = msgspec.json.Decoder(Action, float_hook=Decimal)  # parameters keep their digits


class Endless(Exception):
    """A story whose inputs do not end."""


@dataclass(frozen=True, slots=True)
class Open:
    """A wait that is open."""

    row: int
    waiting: Waiting


@dataclass
class World:
    """What a story happens in. `runnables` are the flows that events start, `called` all programs by version."""

    tenant: str
    runnables: Sequence[Runnable]
    called: Mapping[str, Runnable]
    policies: Policies
    outside: Outside
    read: Callable[[Emitted], Event | None]  # gives an event that an execution says as one that comes in
    now_us: int = 0
    executions: list[Execution] = field(default_factory=list)
    commands: list[Action] = field(default_factory=list)
    events: list[Emitted] = field(default_factory=list)
    _due: dict[str, Due] = field(default_factory=dict)  # by the id of the command
    _waits: dict[int, list[Open]] = field(default_factory=dict)
    _past: list[Arrived] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)
    _by_id: dict[str, Execution] = field(default_factory=dict)
    _after: dict[Any, dict[str, Ended]] = field(default_factory=dict)
    _said: deque[Emitted] = field(default_factory=deque)
    _windows: dict[tuple[str, int], WindowBook] = field(default_factory=dict)
    _inputs: int = 0

    def __post_init__(self) -> None:
        self._shapes = WaitShapes()
        for runnable in self.called.values():
            self._shapes.add(runnable.program)

    # --- time

    def let_pass(self, until_us: int, *, deadlines: bool = False) -> None:
        """Let time pass: results come, delays end, deadlines pass; those at `until_us` itself only with `deadlines`."""
        while (first := self._first(until_us, deadlines=deadlines)) is not None:
            at_us, action = first
            self.now_us = max(self.now_us, at_us)
            action()
            self._settle()
        self.now_us = max(self.now_us, until_us)

    def _first(self, until_us: int, *, deadlines: bool) -> tuple[int, Callable[[], None]] | None:
        """Give what comes first: at one time results, delays, deadlines, windows; then in order of start and token."""
        first = min(self._coming(until_us, deadlines=deadlines), key=lambda item: item[:4], default=None)
        if first is None:
            return None
        self._count()
        return first[0], first[4]

    def _coming(self, until_us: int, *, deadlines: bool) -> Iterator[tuple[int, int, int, int, Callable[[], None]]]:
        for number, (identity, due) in enumerate(self._due.items()):
            if due.at_us <= until_us:
                yield due.at_us, 0, number, 0, partial(self._answer, identity)
        for one in self.executions:
            for parked in one.parked():
                delay = parked.kind in DELAYS
                if parked.due_us < until_us or (parked.due_us == until_us and (delay or deadlines)):
                    yield parked.due_us, 1 if delay else 2, one.row, parked.token, partial(self._fire, one, parked.token)
        for number, book in enumerate(self._windows.values()):
            over_us = book.due_us()
            if over_us is not None and over_us <= until_us:
                yield over_us, 3, number, 0, partial(self._pass_window, book, over_us)

    def _pass_window(self, book: WindowBook, over_us: int) -> None:
        self._decided(book.pass_clock(max(over_us, self.now_us)))

    def _fire(self, one: Execution, token: int) -> None:
        self._book(one, fire(self._moment(one), token))

    def _count(self) -> None:
        self._inputs += 1
        if self._inputs > INPUTS_MAX:
            raise Endless(f"more than {INPUTS_MAX} inputs; a flow feeds itself, or waits for no time again and again")

    # --- what comes in

    def send(self, event: Event) -> None:
        """Take one event, and all that executions say to each other because of it."""
        self._take(event)
        self._settle()

    def _settle(self) -> None:
        while self._said:
            event = self.read(self._said.popleft())
            if event is not None:
                self._take(event)

    def _take(self, event: Event) -> None:
        """Verdicts that it takes back, waits that it meets, then what it starts."""
        self._count()
        if event.key in self._seen:
            return
        arrived = arrived_in(event.frame, 0, np.array([self.now_us]), self._shapes)
        had_effect = False
        for key in arrived.keys[0] if arrived is not None else ():
            for open_ in sorted(
                self._waits.get(key, ()), key=lambda one: (one.waiting.kind != "retract", one.row, one.waiting.token)
            ):
                had_effect |= arrived is not None and self._meet(open_, arrived.event(0))
        for runnable in self.runnables:
            had_effect |= self._start_by(runnable, event)
        if had_effect:
            self._seen.add(event.key)
        if arrived is not None:
            self._past.append(arrived)

    def decide(self, decision: Decision) -> None:
        """Give a person's decision to its execution."""
        one = self._by_id[decision.execution]
        self._book(one, decide(self._moment(one), decision))
        self._settle()

    def order(self, order: OperatorCommand) -> None:
        """Give an operator's word to its execution."""
        one = self._by_id[order.execution]
        self._book(one, command(self._moment(one), order))
        self._settle()

    def start_with(self, runnable: Runnable, cause: Cause, more: Mapping[str, Any], inputs: Json = None) -> None:
        """Start a flow by hand or by its schedule, with inputs. Raises BadInputs."""
        env, _ = input_env(runnable.program, inputs, None)
        self._start(self._born(runnable, cause, cause.event.encode()), {**env, **more})
        self._settle()

    def _answer(self, identity: str) -> None:
        due = self._due.pop(identity)
        one = self._by_id.get(due.result.execution)
        if one is not None and one.state is not None and due.result.awaited:
            self._book(one, answer(self._moment(one), due.result))

    def _meet(self, open_: Open, event: MetEvent) -> bool:
        one = self.executions[open_.row]
        if one.state is None or open_ not in self._waits.get(open_.waiting.key, ()):
            return False
        moment = self._moment(one)
        met = retract(moment, event) if open_.waiting.kind == "retract" else meet(moment, open_.waiting.token, event)
        self._book(one, met)
        return met is not None

    # --- starts

    def _start_by(self, runnable: Runnable, event: Event) -> bool:
        """Start a flow by the first trigger that an event fits; windows, absences and sequences take it in, each for itself."""
        program = runnable.program
        if program.tenants and self.tenant not in program.tenants:
            return False
        policies = self.policies.values(self.tenant, program.policies, self.now_us)
        found = list(fitting(program, event, policies))
        for place, trigger in found:
            if isinstance(trigger.detail, Window):
                begin = partial(self._start_window, runnable, trigger.name, event)
                env = {**event.env(window_keys(trigger.detail)), **policies}
                self._take_in((program.flow, place), trigger.detail, (begin, env), event.envelope["time"])
            elif isinstance(trigger.detail, Absence | Watched):
                one = self._born(runnable, event.cause, event.key + place.to_bytes(2))
                env = start_env(runnable, event, trigger.name, {})
                self._book(one, watch(self._moment(one), event.cause, env, place))
        plain = next((trigger for _, trigger in found if trigger.detail is None), None)
        if plain is not None:
            self._start(self._born(runnable, event.cause, event.key), start_env(runnable, event, plain.name, {}))
        return bool(found)

    def _take_in(self, place: tuple[str, int], window: Window, what: tuple[Start, Mapping[str, Any]], time_us: int) -> None:
        """Give a window an event by its values; what it decides now or later starts by `what`'s function with the measures."""
        book = self._windows.setdefault(place, WindowBook(window))
        begin, env = what
        self._decided(book.take(begin, env, time_us, self.now_us))

    def _decided(self, verdicts: Iterable[Verdict]) -> None:
        for begin, measures in list(verdicts):
            begin(measures)

    def _start_window(self, runnable: Runnable, trigger: str, event: Event, measures: Mapping[str, Any]) -> None:
        key = event.key + b"window"
        if self._identity(runnable, event.cause, key).hex() not in self._by_id:
            env = start_env(runnable, event, trigger, {})
            self._start(self._born(runnable, event.cause, key), {**env, **measures})

    def _identity(self, runnable: Runnable, cause: Cause, key: bytes) -> bytes:
        return execution_id(LIVE, self.tenant, runnable.program.flow, key, cause.time_us)

    def _born(self, runnable: Runnable, cause: Cause, key: bytes) -> Execution:
        return self._new(runnable, cause, self._identity(runnable, cause, key))

    def _new(self, runnable: Runnable, cause: Cause, identity: bytes) -> Execution:
        one = Execution(len(self.executions), self.tenant, identity, runnable, cause, self.now_us)
        self.executions.append(one)
        self._by_id[identity.hex()] = one
        return one

    def _start(self, one: Execution, env: Mapping[str, Any]) -> None:
        policies = self._policies(one.runnable.program)
        self._book(one, start(one.runnable, self.tenant, one.id, one.cause, {**env, **policies}, self.now_us))

    def _policies(self, program: Program) -> dict[str, Any]:
        return self.policies.environment(self.tenant, program.policies, self.now_us) if program.policies else {}

    def _moment(self, one: Execution) -> Any:
        return one.moment(self.now_us, self._policies(one.runnable.program))

    # --- what an execution did

    def _book(self, one: Execution, advanced: Advanced | None) -> None:
        if advanced is None:
            return
        one.state, one.status = advanced.state, advanced.status
        one.transitions += advanced.transitions
        self._book_commands(advanced)
        for key, token in advanced.waits_gone:
            self._waits[key] = [
                open_ for open_ in self._waits.get(key, ()) if (open_.row, open_.waiting.token) != (one.row, token)
            ]
        self._said.extend(advanced.events)
        self.events += [said for said in advanced.events if not said.internal]
        for called in advanced.calls:
            self._call(one, called)
        for abandoned in advanced.abandoned:
            self._abandon(one, abandoned)
        if advanced.ended is not None:
            self._end(one, advanced.ended)
        for waiting in advanced.waits_set:
            self._open(one, waiting)

    def _book_commands(self, advanced: Advanced) -> None:
        for issued in advanced.commands:
            action = _actions.decode(issued.record())
            self.commands.append(action)
            self._due[action.id] = self.outside.outcome(action, self.now_us)
        for unwanted in advanced.cancels:
            self._withdraw(unwanted.action)

    def _withdraw(self, identity: str) -> None:
        due = self._due.get(identity)
        if due is not None:
            action = next(one for one in self.commands if one.id == identity)
            self._due[identity] = withdrawn(due, action, self.now_us)

    def _open(self, one: Execution, waiting: Waiting) -> None:
        open_ = Open(one.row, waiting)
        self._waits.setdefault(waiting.key, []).append(open_)
        if waiting.look_back_us:
            for event in self._before(waiting):
                if self._meet(open_, event):
                    return

    def _before(self, waiting: Waiting) -> Iterator[MetEvent]:
        """Give the events that came before a wait was opened and that it looks back to, the latest first."""
        for arrived in reversed(self._past):
            if waiting.key in arrived.keys[0] and arrived.nows[0] >= waiting.since_us:
                yield arrived.event(0)

    def _call(self, parent: Execution, called: Called) -> None:
        origin = parent.cause
        cause = Cause(origin.event, origin.source, origin.time_us, origin.correlationid, origin.hops + 1)
        runnable = self.called[called.version]
        identity = child_id(parent, called.flow, called.step, called.occurrence)
        child = self._new(runnable, cause, identity)
        child.caller = (parent, called.token) if called.awaited else None
        self._start(child, input_env(runnable.program, called.inputs, None)[0])

    def _abandon(self, parent: Execution, abandoned: Abandoned) -> None:
        step = next(step for step in parent.runnable.program.steps if isinstance(step, Call) and step.name == abandoned.step)
        identity = child_id(parent, step.flow, abandoned.step, abandoned.occurrence)
        child = self._by_id.get(identity.hex())
        if child is not None and child.state is not None:
            order = OperatorCommand(
                command="cancel", tenant=self.tenant, execution=identity.hex(), by=parent.id.hex(), at=self.now_us
            )
            self._book(child, command(self._moment(child), order))

    def _end(self, one: Execution, ended: Ended) -> None:
        one.ended = ended
        if one.caller is not None and one.caller[0].state is not None:
            parent, token = one.caller
            self._book(parent, child_ended(self._moment(parent), token, ended))
        for runnable in self.runnables:
            for place, trigger in enumerate(runnable.program.triggers):
                if isinstance(trigger, After) and one.flow in trigger.flows and trigger.status in ("any", ended.status):
                    self._follow(runnable, place, one, ended)

    def _follow(self, runnable: Runnable, place: int, one: Execution, ended: Ended) -> None:
        """Start a flow after another, or after all that it waits for, or let its window decide."""
        trigger = runnable.program.triggers[place]
        assert isinstance(trigger, After)
        together = {one.flow: ended}
        if trigger.join == "all" and len(trigger.flows) > 1:
            key = (runnable.program.flow, place, after_key(trigger, together, one.cause))
            together = self._after.setdefault(key, {})
            together[one.flow] = ended
            if set(together) != set(trigger.flows):
                return
            del self._after[key]
        begin = partial(self._start_after, runnable, trigger.name, one, together)
        if trigger.window is None:
            begin({})
            return
        env = ended_env(window_keys(trigger.window), together)
        self._take_in((runnable.program.flow, place), trigger.window, (begin, env), self.now_us)

    def _start_after(
        self, runnable: Runnable, name: str, one: Execution, together: Mapping[str, Ended], measures: Mapping[str, Any]
    ) -> None:
        cause = Cause(one.id.hex(), f"/flows/{one.flow}", self.now_us, one.cause.correlationid, one.cause.hops + 1)
        env = ended_env(after_keys(runnable), together)
        more = {"trigger.name": name} if name else {}
        self._start(self._born(runnable, cause, one.id), {**env, **measures, **more})
