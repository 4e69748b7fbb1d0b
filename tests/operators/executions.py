"""Executions driven by hand: steps built from text, and a world that keeps the books on one execution.

Between any two inputs the state goes through its bytes, and each timer and wait that is taken away must have been set.
"""

from __future__ import annotations

from typing import Any

from operators.advance.advance import (
    Advanced,
    Moment,
    Runnable,
    answer,
    child_ended,
    command,
    decide,
    fire,
    meet,
    retract,
    start,
    watch,
)
from operators.execution.execution import Cause, Parked, State, pack, unpack
from operators.steps.steps import make_runnable
from schemas.effects import Ended, MetEvent
from schemas.expression.check import elaborate
from schemas.expression.parse import parse
from schemas.expression.scope import ERROR, Scope
from schemas.expression.template import Template, elaborate_template, parse_template
from schemas.expression.tree import Tree
from schemas.expression.types import BOOL, DURATION, STRING, TIMESTAMP, Type
from schemas.ids import event_key
from schemas.program import END, Act, Await, Correlation, Delay, EventTrigger, Program, Step, Trigger, Wait
from schemas.records import Action, Decision, OperatorCommand, Result

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
NOW = 1_767_225_600_000_000
CAUSE = Cause("e1", "/shop", NOW, "c1", 0)
ID = bytes(range(16))
TENANT = "acme"
MAYBE = Type("any", optional=True)
DATA = Type(
    "record",
    fields=(
        (
            "order",
            Type(
                "record",
                fields=(("id", STRING), ("by", STRING), ("lines", Type("list", item=STRING)), ("total", Type("decimal"))),
            ),
        ),
    ),
)
NAMES = "stock paid seen approval picks item picked child route race found inner second first sent other"
SCOPE = Scope(data=DATA, bindings=dict.fromkeys(NAMES.split(), MAYBE), roots={"error": ERROR})
READS = (("order.id", STRING), ("order.by", STRING), ("order.lines", Type("list", item=STRING)), ("order.total", Type("decimal")))
ENV: dict[str, Any] = {"order.id": "A1", "order.by": "bob", "order.lines": ["x", "y", "z"], "event.time": NOW}
TRIGGER = EventTrigger("order.placed")


def tree(text: str, want: Type | None = None) -> Tree:
    """Read an expression."""
    found = elaborate(parse(text), SCOPE, want)
    assert found.ok, found.findings
    return found.tree


def data(json: Any) -> Template:
    """Read data with holes."""
    found = elaborate_template(parse_template(json), SCOPE)
    assert not found.findings, found.findings
    return found.template


def span(text: str) -> Tree:
    """Read a duration."""
    return tree(text, DURATION)


def moment(text: str) -> Tree:
    """Read a timestamp."""
    return tree(text, TIMESTAMP)


def condition(text: str) -> Tree:
    """Read a condition."""
    return tree(text, BOOL)


def act(name: str, following: int = END, params: Any = None, **more: Any) -> Act:
    """Make an action of the type of its name."""
    return Act(name, more.pop("action", name), data(params or {}), following, **more)


def asked(name: str, following: int = END, params: Any = None, **more: Any) -> Act:
    """Make an awaited action."""
    return act(name, following, params, awaited=True, timeout_us=more.pop("timeout_us", HOUR), **more)


def delay(text: str, following: int = END, **more: Any) -> Delay:
    """Make a delay."""
    return Delay(more.pop("name", f"delay_{text}"), span(text), following, **more)


def awaiting(event: str, bind: str, where: str = "", **more: Any) -> Await:
    """Make what a wait is about: an event of the same order."""
    correlate = more.pop("correlate", (Correlation("order.id", tree("order.id")),))
    return Await(event, correlate, bind, condition(where) if where else None, **more)


def wait(name: str, following: int = END, where: str = "", **more: Any) -> Wait:
    """Make a wait for the payment of the order, of one day."""
    of = awaiting(more.pop("event", "order.paid"), name, where)
    return Wait(name, of, span(more.pop("timeout", "1d")), following, **more)


def runnable(*steps: Step, **more: Any) -> Runnable:
    """Make a program of steps ready to run."""
    triggers: tuple[Trigger, ...] = more.pop("triggers", (TRIGGER,))
    return make_runnable(Program("f", "v1", (), triggers, more.pop("reads", READS), steps, **more))


def event(of: dict[str, Any], number: int = 1, time_us: int = NOW) -> MetEvent:
    """Make an event that a wait may meet."""
    name = f"m{number}"
    return MetEvent(name, "/shop", time_us, "c9", of, event_key(TENANT, "/shop", name))


class World:
    """One execution and all that it has said."""

    def __init__(self, flow: Runnable, policies: dict[str, Any] | None = None, **env: Any) -> None:
        self.flow = flow
        self.env = ENV | env
        self.policies = policies or {}
        self.now_us = NOW
        self.state: State | None = None
        self.status = ""
        self.all: list[Advanced] = []
        self.timers: dict[tuple[int, int], Parked] = {}
        self.waits: dict[int, tuple[int, str]] = {}  # token -> (key, kind)

    # --- what comes in

    def start(self, **env: Any) -> World:
        """Begin."""
        self.take(start(self.flow, TENANT, ID, CAUSE, self.env | env | self.policies, self.now_us))
        return self

    def watch(self, trigger: int = 0) -> World:
        """Begin to watch."""
        self.take(watch(self._moment(), CAUSE, self.env, trigger))
        return self

    def at(self, us: int) -> World:
        """Let the time come, and all that falls due until then in its order."""
        while due := sorted(key for key in self.timers if key[0] <= NOW + us):
            due_us, token = due[0]
            self.now_us = max(self.now_us, due_us)
            timer = self.timers[due[0]]
            assert self.take(fire(self._moment(), token)), timer
            assert timer not in self.timers.values() or self.state is None, f"{timer} stays set"
        self.now_us = NOW + us
        return self

    def meet(self, of: dict[str, Any], number: int = 1, time_us: int | None = None) -> bool:
        """Offer an event to what waits; True if it was taken."""
        met = event(of, number, self.now_us if time_us is None else time_us)
        for token, (_, kind) in sorted(self.waits.items(), key=lambda one: one[1][1] != "retract"):
            taken = retract(self._moment(), met) if kind == "retract" else meet(self._moment(), token, met)
            if self.take(taken):
                return True
        return False

    def answer(self, name: str, of: Any = None, status: Any = "delivered", **more: Any) -> bool:
        """Give the outcome of the last command of a step."""
        issued = [one for one in self.commands if one.step == name][-1 - more.pop("back", 0)]
        return self.result(issued, of, status, **more)

    def result(self, issued: Action, of: Any = None, status: Any = "delivered", **more: Any) -> bool:
        """Give the outcome of a command."""
        said = Result(
            action=issued.id,
            execution=issued.subject,
            tenant=TENANT,
            flow="f",
            step=issued.step,
            type=issued.type,
            connector="file",
            status=status,
            attempts=1,
            at=self.now_us,
            wall=self.now_us,
            data=of,
            **more,
        )
        return self.take(answer(self._moment(), said))

    def decide(self, step: str, by: str, outcome: Any = "approved", **more: Any) -> None:
        """Decide."""
        decision = Decision(tenant=TENANT, execution=ID.hex(), step=step, outcome=outcome, by=by, at=self.now_us, **more)
        assert self.take(decide(self._moment(), decision))

    def ended(self, token: int, ended: Ended) -> bool:
        """End a called flow."""
        return self.take(child_ended(self._moment(), token, ended))

    def order(self, word: Any, step: str = "", **more: Any) -> bool:
        """Let an operator say something."""
        order = OperatorCommand(command=word, tenant=TENANT, execution=ID.hex(), step=step, by="ops", at=self.now_us, **more)
        return self.take(command(self._moment(), order))

    def retract(self) -> bool:
        """Take the verdict back."""
        return self.take(retract(self._moment(), event({})))

    def _moment(self) -> Moment:
        return Moment(self.flow, TENANT, ID, self.state, self.now_us, self.policies)

    def take(self, advanced: Advanced | None) -> bool:
        """Book what was done."""
        if advanced is None:
            return False
        for parked in advanced.timers_gone:
            assert self.timers.pop((parked.due_us, parked.token)) == parked
        for parked in advanced.timers_set:
            assert (parked.due_us, parked.token) not in self.timers
            self.timers[parked.due_us, parked.token] = parked
        for key, token in advanced.waits_gone:
            assert self.waits.pop(token)[0] == key
        for one in advanced.waits_set:
            assert one.token not in self.waits
            self.waits[one.token] = (one.key, one.kind)
        self.state = None if advanced.state is None else unpack(pack(advanced.state))
        assert self.state == advanced.state or advanced.state is None
        self.status = advanced.status
        self.all.append(advanced)
        if self.state is None:
            assert not self.timers
            assert not self.waits
        return True

    # --- what it said

    @property
    def commands(self) -> list[Action]:
        """Give its commands."""
        return [one.action() for advanced in self.all for one in advanced.commands]

    @property
    def issued(self) -> list[str]:
        """Give the types of its commands."""
        return [one.type for one in self.commands]

    @property
    def cancelled(self) -> list[str]:
        """Give the types of the commands that it wants no more."""
        return [one.type for advanced in self.all for one in advanced.cancels]

    @property
    def history(self) -> list[str]:
        """Give its transitions by verb, kind and step."""
        return [
            " ".join(filter(None, (f"{one.verb}.{one.kind}" if one.verb else one.kind, one.step)))
            for advanced in self.all
            for one in advanced.transitions
        ]

    def details(self, kind: str) -> list[Any]:
        """Give the details of its transitions of a kind."""
        return [one.detail for advanced in self.all for one in advanced.transitions if one.kind == kind]

    @property
    def end(self) -> Ended | None:
        """Give how it ended."""
        return self.all[-1].ended
