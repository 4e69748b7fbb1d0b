"""The small world of a story: the reference runner, an outside that answers commands, windows, and flows behind flows.

Time moves only by the story. At one time results come first, then what is due in the reference runner, then windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from flows.local_events import LocalEvent
from flows.local_execution import LocalExecution
from flows.run_local import LocalRun
from flows.scenarios.outside import Due, Outside, withdrawn
from flows.scenarios.starts import after_key, after_keys, ended_env
from flows.scenarios.windows import Verdict, WindowBook, window_keys
from operators.advance import Advanced, Runnable
from operators.emit import event_record
from operators.execution import Cause
from operators.policies import Policies
from operators.start_inputs import input_env
from operators.wait_shapes import start_keys
from schemas.decode import EventFrame, key_rows
from schemas.effects import Ended
from schemas.errors import MillraceError
from schemas.ids import LIVE, execution_id
from schemas.program import After, EventTrigger, Window
from schemas.records import HOPS_MAX, Action, Json
from schemas.registry import Registry

INPUTS_MAX: Final = 100_000  # of one story
NOT_BEGUN: Final = ("watching", "discarded")
_actions: Final = msgspec.json.Decoder(Action, float_hook=Decimal)  # parameters keep their digits
Begin = Callable[[Mapping[str, Any]], None]  # starts an execution with the measures of its window


class Endless(MillraceError):
    """A story whose inputs do not end."""


class World(LocalRun):
    """What a story happens in: the flows of one stage, for one tenant."""

    counts_windows = True

    def __init__(self, stage_registry: Registry, policies: Policies, outside: Outside, now_us: int) -> None:
        super().__init__(registry=stage_registry, policies=policies, now_us=now_us)
        self.outside = outside
        self.ended: dict[bytes, Ended] = {}
        self._due: dict[str, Due] = {}  # by the id of the command
        self._windows: dict[tuple[str, int], WindowBook] = {}
        self._together: dict[Any, dict[str, Ended]] = {}
        self._said = 0  # events of executions that came in again
        self._steps = 0

    def play(self, flows: Iterable[Runnable], versions: Mapping[str, Runnable]) -> None:
        """Say which flows start, and which versions may be called."""
        self.flows = sorted(flows, key=lambda one: one.program.flow)
        self.versions.update(versions)
        for runnable in versions.values():
            self._shapes.add(runnable.program)

    def begun(self, flow: str) -> list[LocalExecution]:
        """Give the executions of a flow that have begun, in the order of their start."""
        return [one for one in self.executions.values() if one.runnable.program.flow == flow and one.status not in NOT_BEGUN]

    # --- time

    def let_pass(self, until_us: int, *, deadlines: bool = False) -> None:
        """Let time pass. Deadlines at `until_us` itself pass only with `deadlines`, for what comes then still counts."""
        self._hear()
        while (first := min(self._coming(until_us, deadlines=deadlines), key=lambda item: item[:3], default=None)) is not None:
            self._steps += 1
            if self._steps > INPUTS_MAX:
                raise Endless(f"more than {INPUTS_MAX} inputs; a flow feeds itself, or waits for no time again and again")
            self.now_us = max(self.now_us, first[0])
            first[3]()
            self._hear()
        self.now_us = max(self.now_us, until_us)

    def _coming(self, until_us: int, *, deadlines: bool) -> Iterator[tuple[int, int, int, Callable[[], None]]]:
        for number, (identity, due) in enumerate(self._due.items()):
            if due.at_us <= until_us:
                yield due.at_us, 0, number, partial(self._answer, identity)
        for one in self.executions.values():
            for due_us, is_deadline, _ in one.timers:
                if due_us < until_us or (due_us == until_us and (deadlines or not is_deadline)):
                    yield due_us, 1, is_deadline, partial(self.let_time_pass, due_us, due_us if is_deadline else due_us - 1)
        for number, book in enumerate(self._windows.values()):
            over_us = book.due_us()
            if over_us is not None and over_us <= until_us:
                yield over_us, 2, number, partial(self._pass_window, book, over_us)

    def _answer(self, identity: str) -> None:
        result = self._due.pop(identity).result
        if result.awaited:
            self.take_result(result)

    def _pass_window(self, book: WindowBook, over_us: int) -> None:
        self._decided(book.pass_clock(max(over_us, self.now_us)))

    def _hear(self) -> None:
        """Take in what executions emitted, where somebody knows the type."""
        while self._said < len(self.events):
            tenant, event = self.events[self._said]
            self._said += 1
            if self.registry.contract(event.type) is not None:
                self.take_event(event.topic, event_record(tenant, event))

    # --- starts

    def start_with(self, runnable: Runnable, tenant: str, cause: Cause, what: tuple[Mapping[str, Any], Json]) -> None:
        """Start a flow by hand or by its schedule, with more values and inputs. Raises BadInputs."""
        more, inputs = what
        env, _ = input_env(runnable.program, inputs, None)
        self._begin(runnable, tenant, cause, cause.event.encode(), {**env, **more})

    def _begin(self, runnable: Runnable, tenant: str, cause: Cause, key: bytes, env: dict[str, Any]) -> None:
        identity = execution_id(LIVE, tenant, runnable.program.flow, key, cause.time_us)
        if identity not in self.executions:
            self._run(self._born(tenant, identity, runnable, cause), env)
            self._settle()

    def _start(self, runnable: Runnable, at: int, event: LocalEvent, frame: EventFrame) -> None:
        trigger = runnable.program.triggers[at]
        if not isinstance(trigger, EventTrigger) or not isinstance(trigger.detail, Window):
            super()._start(runnable, at, event, frame)
            return
        policies = self.policies.values(event.tenant, runnable.program.policies, self.now_us)
        data = frame.contract.data
        (env,) = key_rows(frame.frame, sorted(window_keys(trigger.detail)), data)
        (read,) = key_rows(frame.frame, start_keys(runnable.program, at), data)
        cause = Cause(event.met.id, event.met.source, event.met.time_us, event.met.correlationid, event.met.hops)
        named = {"trigger.name": trigger.name} if trigger.name else {}

        def begin(measures: Mapping[str, Any]) -> None:
            self._begin(runnable, event.tenant, cause, event.key, {**read, **named, **measures})

        self._take_in((runnable.program.flow, at), trigger.detail, (begin, {**env, **policies}), event.met.time_us)

    def _take_in(self, place: tuple[str, int], window: Window, what: tuple[Begin, Mapping[str, Any]], time_us: int) -> None:
        """Give a window an event by its values; what it decides, now or later, begins with the measures."""
        begin, env = what
        book = self._windows.setdefault(place, WindowBook(window))
        self._decided(book.take(begin, env, time_us, self.now_us))

    def _decided(self, verdicts: Iterable[Verdict]) -> None:
        for begin, measures in list(verdicts):
            begin(measures)

    # --- what an execution did

    def _book(self, one: LocalExecution, advanced: Advanced | None, now_us: int) -> None:
        if advanced is None:
            return
        said = [_actions.decode(command.record()) for command in advanced.commands if command.body.hops <= HOPS_MAX]
        first = len(self.commands)
        super()._book(one, advanced, now_us)
        self.commands[first : first + len(said)] = said
        for action in said:
            self._due[action.id] = self.outside.outcome(action, now_us)
        for parked in advanced.timers_set:
            if parked.kind == "result":  # a story may hold an answer back for too long
                one.timers[parked.due_us, True, parked.token] = None
        for unwanted in advanced.cancels:
            self._withdraw(unwanted.action)

    def _withdraw(self, identity: str) -> None:
        if identity in self._due:
            action = next(one for one in self.commands if one.id == identity)
            self._due[identity] = withdrawn(self._due[identity], action, self.now_us)

    def _end(self, one: LocalExecution, ended: Ended) -> None:
        super()._end(one, ended)
        self.ended[one.id] = ended
        flow = one.runnable.program.flow
        for runnable in self.flows:
            for at, trigger in enumerate(runnable.program.triggers):
                if isinstance(trigger, After) and flow in trigger.flows and trigger.status in ("any", ended.status):
                    self._follow(runnable, at, one, ended)

    def _follow(self, runnable: Runnable, at: int, one: LocalExecution, ended: Ended) -> None:
        """Start a flow after another, or after all that it waits for, or let its window decide."""
        trigger, flow = runnable.program.triggers[at], one.runnable.program.flow
        assert isinstance(trigger, After)
        together = {flow: ended}
        if trigger.join == "all" and len(trigger.flows) > 1:
            key = (runnable.program.flow, at, after_key(trigger, together, one.cause))
            together = self._together.setdefault(key, {})
            together[flow] = ended
            if set(together) != set(trigger.flows):
                return
            del self._together[key]
        cause = Cause(one.id.hex(), f"/flows/{flow}", self.now_us, one.cause.correlationid, one.cause.hops + 1)
        named = {"trigger.name": trigger.name} if trigger.name else {}

        def begin(measures: Mapping[str, Any]) -> None:
            env = ended_env(after_keys(runnable), together)
            self._begin(runnable, one.tenant, cause, one.id, {**env, **named, **measures})

        if trigger.window is None:
            begin({})
        else:
            what = (begin, ended_env(window_keys(trigger.window), together))
            self._take_in((runnable.program.flow, at), trigger.window, what, self.now_us)
