"""What must come out: a second, plain interpretation of the drawn flows, event by event, with its own clock and its own tokens.

It never asks the engine's matcher, evaluators or steps. Under the event clock its times are exact; under the wall clock they are
the earliest times at which something may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final, assert_never

from tests.simulation.business import DAY_US, Event
from tests.simulation.plain import Act, Arms, Bind, Flow, Fork, Start, Step, Stop, Until, Wait

EVERYONE: Final = "*"
TIMEOUT_US: Final = 400 * DAY_US
YEAR_2200_US: Final = 7_258_118_400_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Who an execution is: at most one a tenant, flow and event."""

    tenant: str
    flow: str
    event: str  # its id; the simulation gives each event one of its own


@dataclass(frozen=True, slots=True)
class Command:
    """One command that must be on its action topic exactly once."""

    place: Place
    step: str
    type: str
    params: Any
    at_us: int


@dataclass(slots=True)
class Execution:
    """One run of a flow, to its end."""

    place: Place
    flow: Flow
    event: Event
    trigger: str
    started_us: int
    status: str = "completed"
    ended_us: int = 0
    commands: list[Command] = field(default_factory=list)


@dataclass(slots=True)
class Expected:
    """Everything that the records in their total order must lead to."""

    executions: dict[Place, Execution] = field(default_factory=dict)

    def commands(self) -> Iterable[Command]:
        """Give all commands."""
        return (command for one in self.executions.values() for command in one.commands)


class Oracle:
    """Takes the records of the ingress log in their order."""

    def __init__(self) -> None:
        self.expected = Expected()
        self.active: dict[tuple[str, str], Flow] = {}
        self.now_us = 0
        self._seen: set[tuple[str, str, str]] = set()

    def activate(self, tenant: str, name: str, flow: Flow | None) -> None:
        """Put a version in force for a tenant or for everyone, or take it out of force."""
        self.active.pop((tenant, name), None)
        if flow is not None:
            self.active[tenant, name] = flow

    def take(self, event: Event) -> list[Place]:
        """Take one good event; give what it started."""
        self.now_us = max(self.now_us, event.time_us)
        key = (event.tenant, event.source, event.id)
        fitting = [(flow, start) for flow in self._serving(event.tenant) if (start := flow.fitting(event)) is not None]
        if key in self._seen or not fitting:
            return []
        self._seen.add(key)
        return [self._begin(flow, start, event) for flow, start in fitting]

    def _serving(self, tenant: str) -> Sequence[Flow]:
        names = sorted({name for owner, name in self.active if owner in (tenant, EVERYONE)})
        return [self.active.get((tenant, name)) or self.active[EVERYONE, name] for name in names]

    def _begin(self, flow: Flow, start: Start, event: Event) -> Place:
        place = Place(event.tenant, flow.name, event.id)
        if place in self.expected.executions:
            return place
        one = Execution(place, flow, event, start.name, self.now_us)
        run_through(one)
        self.expected.executions[place] = one
        return place


def run_through(one: Execution) -> None:
    """Run an execution to its end, alone: nothing that it does depends on others."""
    _Run(one).run()


class _Ended(Exception):
    """The execution is over; no token goes on."""


class _Run:
    def __init__(self, one: Execution) -> None:
        self._one = one
        self._now_us = one.started_us
        self._deadline_us = one.started_us + (one.flow.timeout[0] if one.flow.timeout else TIMEOUT_US)
        self._names: dict[str, Any] = {}
        self._tokens = 0
        self._parked: list[tuple[int, int, Callable[[], None]]] = []

    def run(self) -> None:
        one = self._one
        one.commands.clear()
        one.status = "completed"
        try:
            self._go(0, one.flow.steps, lambda token: None)
            while self._parked:
                due_us, _, onward = heappop(self._parked)
                self._now_us = max(self._now_us, due_us)
                if due_us >= self._deadline_us:
                    self._fail()
                onward()
        except _Ended:
            pass
        one.ended_us = self._now_us

    def _go(self, token: int, steps: Sequence[Step], then: Callable[[int], None]) -> None:
        """Carry a token through steps as far as it can go now, then on to what comes behind them."""
        for index, step in enumerate(steps):
            rest = steps[index + 1 :]

            def behind(who: int, rest: Sequence[Step] = rest) -> None:
                self._go(who, rest, then)

            match step:
                case Act():
                    self._issue(step)
                case Bind():
                    self._names[step.name] = self._bound(step)
                case Wait() | Until():
                    due_us = self._due(step)
                    if due_us is not None and due_us > self._now_us:
                        self._park(due_us, token, behind)
                        return
                case Fork():
                    chosen = next((then_ for when, then_ in step.arms if when.holds(self._read)), step.otherwise)
                    self._go(token, chosen, behind)
                    return
                case Arms():
                    self._fan_out(step, behind)
                    return
                case Stop():
                    raise _Ended
                case _:
                    assert_never(step)
        then(token)

    def _fan_out(self, step: Arms, behind: Callable[[int], None]) -> None:
        left = [len(step.arms)]

        def arrive(who: int) -> None:
            left[0] -= 1
            if left[0] == 0:
                behind(who)

        for _, steps in step.arms:
            self._tokens += 1
            self._go(self._tokens, steps, arrive)

    def _park(self, due_us: int, token: int, behind: Callable[[int], None]) -> None:
        heappush(self._parked, (min(due_us, self._deadline_us), token, lambda: behind(token)))

    def _due(self, step: Wait | Until) -> int | None:
        """Give when a wait ends, None where it is passed over."""
        if isinstance(step, Wait):
            return self._now_us + step.wait_us
        found = self._read(step.path)
        until_us = (self._one.event.time_us if found is None else int(found)) + step.offset_us
        if until_us <= YEAR_2200_US:
            return until_us
        if not step.tolerant:
            self._fail()
        return None

    def _fail(self) -> None:
        self._one.status = "failed"
        raise _Ended

    def _issue(self, step: Act) -> None:
        one = self._one
        params = {name: value.give(self._read) for name, value in step.params}
        one.commands.append(Command(one.place, step.name, step.action, params, self._now_us))

    def _bound(self, step: Bind) -> Any:
        """Keep what a name stands for: a field as it is, a text as it is printed."""
        path = getattr(step.value, "path", None)
        return self._read(path) if step.value.__class__.__name__ == "Whole" else step.value.give(self._read)

    def _read(self, path: str | None) -> Any:
        if path is None:
            return None
        if path in self._names:
            return self._names[path]
        return self._one.trigger if path == "trigger.name" else self._one.event.value(path)
