"""The small world of a story: the reference runner, an outside that answers commands, and windows.

Time moves only by the story. At one time results come first, then what is due in the reference runner, then windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from flows.local.execution import LocalExecution
from flows.local.run_local import LocalRun
from flows.scenarios.outside import Due, Outside, withdrawn
from flows.scenarios.windows import Said, StoryWindows
from operators.advance.advance import Advanced, Runnable, retract
from operators.execution.execution import Cause
from operators.schedules.schedule import Slot, slot_key
from operators.triggers.policies import Policies
from operators.turn.emit import event_record
from schemas.decode import EventFrame
from schemas.effects import Ended
from schemas.errors import MillraceError
from schemas.ids import LIVE, execution_id
from schemas.program import Schedule
from schemas.records import HOPS_MAX, Action, Json
from schemas.registry import Registry
from schemas.start_inputs import input_env

INPUTS_MAX: Final = 100_000  # of one story
NOT_BEGUN: Final = ("watching", "discarded")
_actions: Final = msgspec.json.Decoder(Action, float_hook=Decimal)  # parameters keep their digits


class Endless(MillraceError):
    """A story whose inputs do not end."""


class World(LocalRun):
    """What a story happens in: the flows of one stage, for one tenant."""

    def __init__(self, stage_registry: Registry, policies: Policies, outside: Outside, now_us: int) -> None:
        super().__init__(registry=stage_registry, policies=policies, now_us=now_us)
        self.outside = outside
        self.ended: dict[bytes, Ended] = {}
        self.fates: dict[str, str] = {}  # what became of commands, by id; those without are pending
        self._due: dict[str, Due] = {}  # by the id of the command
        self._windows = StoryWindows(policies)
        self._said = 0  # events of executions that came in again
        self._steps = 0

    def play(self, flows: Iterable[Runnable], versions: Mapping[str, Runnable]) -> None:
        """Say which flows start, and which versions may be called."""
        self.flows = sorted(flows, key=lambda one: one.program.flow)
        self.versions.update(versions)
        self._windows.play(self.flows)
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
        over_us = self._windows.due_us()
        if over_us is not None and (over_us < until_us or (over_us == until_us and deadlines)):
            yield over_us, 2, 0, partial(self._pass_windows, over_us)

    def _answer(self, identity: str) -> None:
        result = self._due.pop(identity).result
        self.fates.setdefault(identity, result.status)
        if result.awaited:
            self.take_result(result)

    def _pass_windows(self, over_us: int) -> None:
        self._heard(self._windows.let_pass(max(over_us, self.now_us)))

    def policies_changed(self) -> None:
        """Hear that a policy changed: windows that read it are looked at anew."""
        self._windows.policies_changed()

    def _hear(self) -> None:
        """Take in what executions emitted, where somebody knows the type."""
        while self._said < len(self.events):
            tenant, event = self.events[self._said]
            self._said += 1
            if self.registry.contract(event.type) is not None:
                self.take_event(event.topic, event_record(tenant, event))

    # --- starts

    def start_slot(
        self, started: tuple[Runnable, Schedule], tenant: str, slot: tuple[str, Slot], inputs: Mapping[str, Json]
    ) -> bool:
        """Start a flow by a slot of its schedule; False if that one has run already. Raises BadInputs."""
        (runnable, trigger), (zone, at) = started, slot
        env, _ = input_env(runnable.program, dict(inputs), None)
        env |= {"schedule.slot": at.at_us, "schedule.zone": zone} | ({"trigger.name": trigger.name} if trigger.name else {})
        name, flow = f"{at.local}{'+' * at.fold} {zone}", runnable.program.flow
        cause = Cause(name, f"/schedules/{flow}", at.at_us, f"{flow} {name}", 0)
        return self._begin(runnable, tenant, cause, slot_key(zone, trigger.name, at), env)

    def _begin(self, runnable: Runnable, tenant: str, cause: Cause, key: bytes, env: dict[str, Any]) -> bool:
        identity = execution_id(LIVE, tenant, runnable.program.flow, key, cause.time_us)
        if identity in self.executions:
            return False
        self._run(self._born(tenant, identity, runnable, cause), env)
        self._settle()
        return True

    def _take(self, frame: EventFrame) -> None:
        """Take an event in: windows first say what it takes back, and behind what it meets and starts, what they start."""
        clock_us = max(self.now_us, frame.frame["time"][0])
        self.let_time_pass(clock_us, clock_us - 1)
        self.now_us = clock_us
        said = self._windows.take(frame, clock_us)
        for one in said.taken_back:
            self._tell(one.execution.hex(), one.tenant, partial(retract, event=one.event))
        super()._take(frame)
        self._heard(said)

    def _heard(self, said: Said) -> None:
        for one in said.starts:
            named = {"trigger.name": one.trigger} if one.trigger else {}
            self._begin(one.runnable, one.tenant, one.cause, one.key, {**one.env, **named})

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
            if not unwanted.hurry:  # an answer has its time, however it is asked for
                self._withdraw(unwanted.action)

    def _withdraw(self, identity: str) -> None:
        if identity in self._due:
            action = next(one for one in self.commands if one.id == identity)
            self._due[identity] = withdrawn(self._due[identity], action, self.now_us)

    def _end(self, one: LocalExecution, ended: Ended) -> None:
        super()._end(one, ended)
        self.ended[one.id] = ended
