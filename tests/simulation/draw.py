"""What a seed decides before the machine runs: flows and their versions, events and their spoilt twins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any, Final

from tests.simulation.business import (
    DAY_US,
    EVENTS,
    HOUR_US,
    MINUTE_US,
    SECOND_US,
    START_US,
    TENANTS,
    TEXTS,
    WORDS,
    Event,
    Producer,
    paths,
)
from tests.simulation.plain import (
    Act,
    Among,
    Arms,
    Bind,
    Both,
    Compare,
    Condition,
    Constant,
    Contains,
    Exists,
    Flow,
    Fork,
    Nested,
    Not,
    Start,
    Step,
    Stop,
    Text,
    Until,
    Value,
    Wait,
    Whole,
)

ACTIONS: Final = ("send_email", "create_task", "update_crm", "page_group", "hold_order")
NAMES: Final = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
WAITS: Final = (
    (0, "0s"),
    (90 * SECOND_US, "90s"),
    (10 * MINUTE_US, "10m"),
    (HOUR_US, "1h"),
    (HOUR_US + 30 * MINUTE_US, "1h30m"),
    (36 * HOUR_US, "1d12h"),
    (3 * DAY_US, "3d"),
)
NEVER: Final = (90_000 * DAY_US, "90000d")  # ends beyond the year 2200: the step fails
TIMEOUTS: Final = ((40 * MINUTE_US, "40m"), (2 * HOUR_US, "2h"), (2 * DAY_US, "2d"))
HOPS_MOST: Final = 64  # a command of such an event would be one hop too far
Kinds = Mapping[str, str]  # path → type, with its question mark where it may be missing


# --- flows


@dataclass(slots=True)
class FlowDrawer:
    """Draws flows. `exact`: the event clock runs, so timeouts and stops beside waits have one outcome only.

    `waits` are the lengths to choose from; without `own_times` no flow waits up to a time of its event, without
    `own_retries` the default policy holds.
    """

    rng: Random
    exact: bool
    waits: Sequence[tuple[int, str]] = WAITS
    own_times: bool = True
    own_retries: bool = True
    _count: int = 0
    _flow: str = ""

    def flow(self, name: str, tenants: tuple[str, ...]) -> Flow:
        """Draw a version of a flow."""
        self._count = 0
        self._flow = name
        rng = self.rng
        events = self._events()
        if len(events) == 1 and rng.random() < 0.25:
            return self._short_flow(name, tenants, events[0])
        named = len(events) > 1
        starts = tuple(self._start(event, f"start_{at}" if named else "") for at, event in enumerate(events))
        scope = _common(events) | ({"trigger.name": "string"} if named else {})
        timeout = rng.choice(TIMEOUTS) if self.exact and rng.random() < 0.15 else None
        return Flow(name, tenants, starts, self._steps(scope, depth=2, least=1), timeout)

    def _events(self) -> tuple[str, ...]:
        rng = self.rng
        if rng.random() < 0.7:
            return (rng.choice(sorted(EVENTS)),)
        return tuple(
            rng.choice(
                (("order.placed", "order.cancelled"), ("order.placed", "order.placed"), ("deal.closed", "incident.opened"))
            )
        )

    def _short_flow(self, name: str, tenants: tuple[str, ...], event: str) -> Flow:
        arms: list[tuple[str, tuple[Step, ...]]] = []
        taken: dict[str, int] = {}
        for _ in range(self.rng.randint(1, 4)):
            action = self.rng.choice(ACTIONS)
            taken[action] = taken.get(action, 0) + 1
            params = tuple(one for one in self._params(paths(event)) if one[0] not in ("type", "delay"))
            step = Act(_unnamed(action, taken[action]), action, params)
            waits = self._waits()[:1] if self.rng.random() < 0.6 else ()
            arms.append((action, (*(wait for wait in waits if isinstance(wait, Wait)), step)))
        start = Start(event, self.condition(paths(event), 1), "", short=True)
        steps: tuple[Step, ...] = (Arms("parallel", tuple(arms)),) if len(arms) > 1 else arms[0][1]
        return Flow(name, tenants, (start,), steps, None, short=True)

    def _start(self, event: str, name: str) -> Start:
        rng = self.rng
        condition = self.condition(paths(event), 2) if rng.random() < 0.85 else None
        return Start(event, condition, name, short=rng.random() < 0.5)

    def condition(self, scope: Kinds, depth: int) -> Condition:
        """Draw a condition over paths."""
        rng = self.rng
        if depth > 0 and rng.random() < 0.35:
            if rng.random() < 0.3:
                return Not(self.condition(scope, depth - 1))
            return Both(rng.choice(("and", "or")), tuple(self.condition(scope, depth - 1) for _ in range(rng.randint(2, 3))))
        path = rng.choice(sorted(scope))
        return self._leaf(path, scope[path])

    def _leaf(self, path: str, written: str) -> Condition:
        rng = self.rng
        kind = written.rstrip("?")
        if written.endswith("?") and rng.random() < 0.3:
            return Exists(path)
        if kind == "list(string)":
            return Contains(path, rng.choice(("a", "vip", "b")))
        if kind == "string":
            sort = rng.random()
            if sort < 0.3:
                return Among(path, tuple(rng.sample(_texts(path), 2)))
            if sort < 0.5:
                return Contains(path, rng.choice(("r", "e", "1", "ü", " ")))
            return Compare(path, rng.choice(("==", "!=")), rng.choice(_texts(path)), kind)
        if kind == "bool":
            return Compare(path, "==", rng.random() < 0.5, kind)
        return Compare(path, rng.choice(("<", "<=", ">", ">=", "==", "!=")), draw_value(rng, path, kind), kind)

    def _steps(self, scope: Kinds, depth: int, least: int = 0) -> tuple[Step, ...]:
        rng = self.rng
        steps: list[Step] = []
        known = dict(scope)
        for _ in range(rng.randint(max(1, least), 3)):
            steps.extend(self._some(known, depth))
        return tuple(steps)

    def _some(self, known: dict[str, str], depth: int) -> Sequence[Step]:
        """Draw a step, or a few that belong together; a name that they bind is known from here on."""
        rng = self.rng
        sort = rng.random()
        if sort < 0.4:
            return (self._act(known),)
        if sort < 0.6:
            return self._waits(known)
        if sort < 0.72:
            return (self._bind(known),)
        if depth == 0:
            return (self._act(known),)
        return (self._fork(known, depth - 1),) if sort < 0.86 else (self._arms(known, depth - 1),)

    def _act(self, known: Kinds) -> Act:
        rng = self.rng
        texts = [path for path, kind in known.items() if kind == "string" and path != "trigger.name"]
        return Act(
            self._name("act"),
            rng.choice(ACTIONS),
            self._params(known),
            idempotency=f"{{{{ event.tenant }}}}{{{{ event.source }}}}/{{{{ event.id }}}}/{self._flow}.{self._count}"
            if rng.random() < 0.2
            else None,
            order_key=rng.choice(sorted(texts)) if texts and rng.random() < 0.15 else None,
            priority=rng.choice(("high", "normal", "normal", "low")),
            retry={"attempts": rng.randint(1, 4), "wait": "2s", "most": "1m"}
            if self.own_retries and rng.random() < 0.4
            else None,
        )

    def _params(self, known: Kinds) -> tuple[tuple[str, Value], ...]:
        return tuple((f"p{at}", self._value(known)) for at in range(self.rng.randint(1, 3)))

    def _value(self, known: Kinds, depth: int = 1) -> Value:
        rng = self.rng
        sort = rng.random()
        if sort < 0.15 or not known:
            return Constant(rng.choice((1, "text", True, "onboarding", 250, None if depth == 0 else "deep")))
        path = rng.choice(sorted(known))
        written = known[path]
        kind = written.rstrip("?")
        if sort < 0.3 and depth:
            return Nested(tuple((f"n{at}", self._value(known, 0)) for at in range(2)))
        if sort < 0.6 and (kind == "string" or (not written.endswith("?") and kind not in ("float", "list(string)"))):
            return Text(rng.choice(("", "for ", '{"')), path, kind, rng.choice(("", "!")) or "?")
        return Whole(path, kind)

    def _waits(self, known: Kinds | None = None) -> tuple[Step, ...]:
        rng = self.rng
        times = [path for path, kind in (known or {}).items() if kind.rstrip("?") == "timestamp"]
        wait_us, written = rng.choice(self.waits)
        if self.own_times and times and rng.random() < 0.6:
            path = rng.choice(sorted(times))
            if rng.random() < 0.15:
                wait_us, written = NEVER
            return (Until(self._name("until"), path, (known or {})[path].endswith("?"), wait_us, written, rng.random() < 0.5),)
        return (Wait(self._name("delay"), wait_us, written),)

    def _bind(self, known: dict[str, str]) -> Bind:
        rng = self.rng
        name = self._name("bound")
        path = rng.choice(sorted(known))
        kind = known[path]
        value: Value = (
            Whole(path, kind.rstrip("?"))
            if kind.rstrip("?") != "string" or rng.random() < 0.6
            else Text("<", path, "string", ">")
        )
        known[name] = kind if isinstance(value, Whole) else "string"
        return Bind(name, value, known[name].rstrip("?"))

    def _fork(self, known: Kinds, depth: int) -> Fork:
        rng = self.rng
        arms = []
        for _ in range(rng.randint(1, 2)):
            then = self._steps(known, depth)
            if rng.random() < 0.25:
                then = (*then, Stop(rng.choice(("done", "refused"))))
            arms.append((self.condition(known, 1), then))
        return Fork(self._name("branch"), tuple(arms), self._steps(known, depth) if rng.random() < 0.5 else ())

    def _arms(self, known: Kinds, depth: int) -> Arms:
        count = self.rng.randint(2, 3)
        arms = tuple((f"arm_{at}", self._steps(known, depth)) for at in range(count))
        if not self.exact:
            arms = tuple((name, _without_stops(steps)) for name, steps in arms)
        return Arms(self._name("parallel"), arms)

    def _name(self, verb: str) -> str:
        self._count += 1
        return f"{verb}_{self._count}"


def _unnamed(action: str, ordinal: int) -> str:
    """Name the step that a short form's action becomes: verb, object and ordinal (flow-language section 5)."""
    return f"action_{action}_{ordinal}"


def _without_stops(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Leave out stops beside other arms: when the clock jumps, which of two comes first is open."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Fork):
            arms = tuple((when, _without_stops(then)) for when, then in step.arms)
            found.append(replace(step, arms=arms, otherwise=_without_stops(step.otherwise)))
        elif isinstance(step, Arms):
            found.append(replace(step, arms=tuple((name, _without_stops(arm)) for name, arm in step.arms)))
        elif not isinstance(step, Stop):
            found.append(step)
    return tuple(found)


def _common(events: Sequence[str]) -> dict[str, str]:
    """Give what steps may read: what all triggers have, or of one trigger everything."""
    found = paths(events[0])
    for event in events[1:]:
        other = paths(event)
        found = {path: kind for path, kind in found.items() if other.get(path) == kind}
    return found or {"event.id": "string"}


def _texts(path: str) -> tuple[str, ...]:
    return TEXTS.get(path.rpartition(".")[2], WORDS)


# --- events


def draw_value(rng: Random, path: str, kind: str) -> Any:
    """Draw a value of a type; the same few come often, so that comparisons meet them."""
    match kind:
        case "string":
            return rng.choice(_texts(path))
        case "int":
            return rng.choice((0, 1, 2, 3, 5, 8, -1, 1 << 40))
        case "bool":
            return rng.random() < 0.5
        case "float":
            return rng.choice((0.0, 0.25, 0.5, 1.5, -2.25, 1e6))
        case "decimal":
            return rng.choice((Decimal(0), Decimal("10.5"), Decimal("-3.25"), Decimal("99.999"), Decimal("1000000.000000001")))
        case "money(GBP)":
            return rng.choice((Decimal("0.00"), Decimal("9.99"), Decimal("50.00"), Decimal("250.50"), Decimal("5000.00")))
        case "timestamp":
            return START_US + rng.choice((-DAY_US, 0, HOUR_US, 26 * HOUR_US, 5 * DAY_US)) + rng.choice((0, 0, 123_456))
        case "list(string)":
            return tuple(rng.sample(("a", "b", "vip", "x y"), rng.randint(0, 3)))
        case _:
            raise AssertionError(kind)


def draw_event(rng: Random, number: int, time_us: int) -> Event:
    """Draw one event of one tenant."""
    kind = rng.choice(sorted(EVENTS))
    data: dict[str, dict[str, Any]] = {}
    for record, fields in EVENTS[kind][1].items():
        data[record] = {}
        for name, written in fields.items():
            if written.endswith("?") and rng.random() < 0.35:
                continue
            drawn = draw_value(rng, f"{record}.{name}", written.rstrip("?"))
            data[record][name] = f"{record}-{number}" if name == "id" else drawn
    correlation = f"story-{number % 7}" if rng.random() < 0.3 else None
    hops = HOPS_MOST if rng.random() < 0.03 else None
    return Event(kind, rng.choice(TENANTS), f"/{rng.choice(('shop', 'desk'))}", f"e{number}", time_us, data, correlation, hops)


@dataclass(frozen=True, slots=True)
class Sent:
    """One record as a producer sends it. `event` is None where the bytes are no event."""

    topic: str
    tenant: str | None  # decides the partition
    data: bytes
    event: Event | None
    spoilt: str = ""


SPOILS: Final = (
    "garbage",
    "cut",
    "no tenant",
    "unknown event",
    "wrong type",
    "missing field",
    "not finite",
    "unknown schema",
    "cut avro",
    "year 2300",
    "too large",
    "two objects",
    "deep",
)


def spoil(rng: Random, event: Event, producer: Producer, sort: str) -> Sent:
    """Write an event so that it cannot be read, in one of several ways."""
    return Sent(event.topic, event.tenant, _SPOILT[sort](rng, event, producer), None, sort)


def _record(event: Event, producer: Producer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(producer.as_json(event))
    return found


def _changed(event: Event, producer: Producer, **changes: Any) -> bytes:
    return json.dumps(_record(event, producer) | changes).encode()


def _data_changed(event: Event, producer: Producer, change: Any) -> bytes:
    record = _record(event, producer)
    first = next(iter(record["data"]))
    change(record["data"][first])
    return json.dumps(record).encode()


_SPOILT: Final[Mapping[str, Any]] = {
    "garbage": lambda rng, event, producer: b"\xff\xfe" + rng.randbytes(20),
    "cut": lambda rng, event, producer: producer.as_json(event)[: -rng.randint(1, 30)],
    "no tenant": lambda rng, event, producer: _changed(event, producer, tenant=rng.choice((None, ""))),
    "unknown event": lambda rng, event, producer: _changed(event, producer, type="order.vanished"),
    "wrong type": lambda rng, event, producer: _data_changed(event, producer, lambda data: data.update(id=[rng.random()])),
    "missing field": lambda rng, event, producer: _data_changed(event, producer, lambda data: data.pop("id")),
    "not finite": lambda rng, event, producer: producer.as_avro(
        replace(
            event,
            type="incident.opened",
            data={
                "incident": {
                    "id": f"{event.id}-nan-{rng.random()}",
                    "priority": "1",
                    "due_at": START_US,
                    "share": rng.choice((float("nan"), float("inf"))),
                }
            },
        )
    ),
    "unknown schema": lambda rng, event, producer: b"\0\0\0\x7f" + rng.randbytes(30),
    "cut avro": lambda rng, event, producer: producer.as_avro(event)[: -rng.randint(1, 20)],
    "year 2300": lambda rng, event, producer: producer.as_avro(
        replace(event, time_us=10_413_792_000_000_000 + rng.randint(0, 999))
    ),
    "too large": lambda rng, event, producer: _changed(event, producer, padding=f"{rng.random()}" + "x" * (1 << 20)),
    "two objects": lambda rng, event, producer: producer.as_json(event) + b"," + producer.as_json(event),
    "deep": lambda rng, event, producer: b'{"a":' * 3000 + f"{rng.random()}".encode() + b"}" * 3000,
}
