"""The slow twin of windows: event by event, in plain Python, keeping everything for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from operators.triggers.match_rows import ALL
from operators.windows.tables import Watcher, shape_of
from schemas.expression.rows import compile_row
from schemas.program import Measure, Window

NEVER = -(1 << 61)
SILENT_US = 86_400_000_000


class Event(NamedTuple):
    """One event as drawn; `clock` and `until` are those at its row."""

    id: str
    tenant: str
    time: int
    customer: str | None
    total: Decimal | None
    number: int | None
    clock: int
    until: int

    @property
    def env(self) -> dict[str, Any]:
        return {"order.customer": self.customer, "order.total": self.total, "order.number": self.number}


class Verdict(NamedTuple):
    """What a window said: `row` of the event at which it did, -1 for the clock, at `clock`."""

    entry: int
    tenant: str
    event: str
    row: int
    clock: int
    measures: tuple[tuple[str, Any], ...]


class Back(NamedTuple):
    """A verdict that a late event disproves."""

    late: str
    tenant: str
    flow: str
    event: str


@dataclass
class _Fired:
    """A verdict at the end of a window, and what was in it."""

    feed: int
    key: str
    tenant: str
    flow: str
    start: int
    end: int
    last: Event
    events: list[Event]


class Late(NamedTuple):
    event: str
    tenant: str
    flow: str
    key: str


@dataclass
class _Tenant:
    watermark: int = NEVER
    arrived: int = NEVER
    passed: int = NEVER
    pending: list[Event] = field(default_factory=list)
    contents: dict[tuple[int, str], list[Event]] = field(default_factory=dict)  # (feed, key) -> events judged
    fired: list[_Fired] = field(default_factory=list)


class Twin:
    """All windows of one event type."""

    def __init__(self, event: str, watchers: Sequence[Watcher], owners: Sequence[tuple[str, str]]) -> None:
        self.shapes: dict[str, list[Watcher]] = {}
        for one in watchers:
            self.shapes.setdefault(shape_of(event, one.window), []).append(one)
        self.owners = {*owners, *((one.tenant, one.flow) for one in watchers if one.tenant != ALL)}
        self.state: dict[tuple[str, str], _Tenant] = {}
        self.verdicts: list[Verdict] = []
        self.late: list[Late] = []
        self.back: list[Back] = []

    def take(self, events: Sequence[Event]) -> None:
        for row, event in enumerate(events):
            for shape, watchers in self.shapes.items():
                if any(one.tenant in (ALL, event.tenant) for one in watchers):
                    self._take(row, event, self.state.setdefault((shape, event.tenant), _Tenant()), watchers)

    def advance(self, until: int) -> None:
        for (shape, name), tenant in self.state.items():
            self._clock(tenant, until, self.shapes[shape], name, last=until)

    def _take(self, row: int, event: Event, tenant: _Tenant, watchers: list[Watcher]) -> None:
        self._clock(tenant, event.until, watchers, event.tenant)
        if event.time < tenant.passed:
            key = event.customer
            listed = [one for one in self._own(watchers, event.tenant) if _holds(one.condition, event.env) and key is not None]
            self._disprove(tenant, event, watchers)
            self.late += [Late(event.id, event.tenant, flow, str(key)) for flow in sorted({one.flow for one in listed})]
        else:
            tenant.pending.append(event)
        if event.time > tenant.watermark:
            tenant.watermark, tenant.arrived = event.time, event.clock
        self._pass(tenant, tenant.watermark - watchers[0].window.lateness_us, watchers, (row, -1, event.tenant))

    def _clock(self, tenant: _Tenant, until: int, watchers: list[Watcher], name: str, last: int = 1 << 61) -> None:
        if tenant.watermark == NEVER:
            return
        window = watchers[0].window
        over = until - tenant.arrived - window.lateness_us
        if window.fire != "close":
            over = window.size_us if over > window.size_us + SILENT_US else min(over, 0)
        self._pass(tenant, tenant.watermark + over, watchers, (-1, last, name))

    def _pass(self, tenant: _Tenant, to: int, watchers: list[Watcher], at: tuple[int, int, str]) -> None:
        old, tenant.passed = tenant.passed, max(tenant.passed, to)
        row, last, name = at
        ready = [event for event in tenant.pending if event.time <= tenant.passed]
        tenant.pending = [event for event in tenant.pending if event.time > tenant.passed]
        for event in sorted(ready, key=lambda one: one.time):
            clock = -1 if row >= 0 else max(min(self._due(tenant, event.time, watchers), last), event.clock)
            self._judge(tenant, event, watchers, (row, clock))
        if watchers[0].window.fire == "close":
            self._close(tenant, old, watchers, (row, last, name))

    def _disprove(self, tenant: _Tenant, event: Event, watchers: list[Watcher]) -> None:
        window = watchers[0].window
        before = window.size_us if window.kind == "session" else 0
        for feed in sorted({one.feed for one in watchers if one.tenant in (ALL, event.tenant)}):
            condition = next(one.condition for one in watchers if one.feed == feed)
            if event.customer is None or not _holds(condition, event.env):
                continue
            hit = [
                one
                for one in tenant.fired
                if (one.feed, one.key) == (feed, event.customer)
                and one.end <= tenant.passed < one.end + window.retract_us
                and (one.start - before < event.time if before else one.end - window.size_us <= event.time)
                and event.time < one.end
                and all(other.id != event.id for other in one.events)
            ]
            for one in hit:
                one.events.append(event)
                env = {**one.last.env, **_measured(window, one.events)}
                mine = [other for other in self._own(watchers, event.tenant) if other.feed == feed and other.flow == one.flow]
                if not any(_holds(other.when, env) for other in mine):
                    tenant.fired.remove(one)
                    self.back.append(Back(event.id, one.tenant, one.flow, one.last.id))

    def _due(self, tenant: _Tenant, moment: int, watchers: list[Watcher]) -> int:
        return moment - tenant.watermark + tenant.arrived + watchers[0].window.lateness_us

    def _judge(self, tenant: _Tenant, event: Event, watchers: list[Watcher], at: tuple[int, int]) -> None:
        mine = self._own(watchers, event.tenant)
        for feed in sorted({one.feed for one in watchers if one.tenant in (ALL, event.tenant)}):
            condition = next(one.condition for one in watchers if one.feed == feed)
            if event.customer is None or not _holds(condition, event.env):
                continue
            held = tenant.contents.setdefault((feed, event.customer), [])
            if any(one.id == event.id and one.time == event.time for one in held):
                continue
            held.append(event)
            window = _window(held, watchers[0].window)
            for one in mine:
                if one.feed == feed and one.window.fire != "close":
                    self._start(one, event, window, at)

    def _start(self, one: Watcher, event: Event, window: list[Event], at: tuple[int, int]) -> None:
        after, before = _measured(one.window, window), _measured(one.window, window[:-1])
        if not _holds(one.when, {**event.env, **after}):
            return
        if one.window.fire == "crossing" and _holds(one.when, {**event.env, **before}):
            return
        self.verdicts.append(Verdict(one.entry, event.tenant, event.id, *at, tuple(after.items())))

    def _close(self, tenant: _Tenant, old: int, watchers: list[Watcher], at: tuple[int, int, str]) -> None:
        row, last, name = at
        for (feed, key), held in tenant.contents.items():
            for window in _all_windows(held, watchers[0].window):
                end = _end(window[-1], watchers[0].window)
                if not old < end <= tenant.passed:
                    continue
                clock = -1 if row >= 0 else min(self._due(tenant, end, watchers), last)
                env = {**window[-1].env, **_measured(watchers[0].window, window)}
                for one in self._own(watchers, name):
                    if one.feed == feed and _holds(one.when, env):
                        measures = tuple(_measured(one.window, window).items())
                        self.verdicts.append(Verdict(one.entry, name, window[-1].id, row, clock, measures))
                        self._note(tenant, one, (feed, key), window)

    def _note(self, tenant: _Tenant, one: Watcher, place: tuple[int, str], window: list[Event]) -> None:
        last, (feed, key) = window[-1], place
        made = _Fired(feed, key, last.tenant, one.flow, window[0].time, _end(last, one.window), last, list(window))
        if one.window.retract_us and not any(
            (other.last.id, other.last.time, other.flow, other.feed) == (last.id, last.time, one.flow, feed)
            for other in tenant.fired
        ):
            tenant.fired.append(made)

    def _own(self, watchers: list[Watcher], tenant: str) -> list[Watcher]:
        return [one for one in watchers if one.tenant == tenant or (one.tenant == ALL and (tenant, one.flow) not in self.owners)]


def _holds(condition: Any, env: dict[str, Any]) -> bool:
    return condition is None or compile_row(condition)(env) is True


def _window(held: list[Event], window: Window) -> list[Event]:
    """Give the window that the last event ends."""
    last = held[-1].time
    if window.kind == "sliding":
        return [one for one in held if one.time > last - window.size_us]
    return list(_all_windows(held, window))[-1]


def _all_windows(held: list[Event], window: Window) -> Iterator[list[Event]]:
    current: list[Event] = []
    for event in held:
        if current and event.time >= _end(current[-1], window):
            yield current
            current = []
        current.append(event)
    if current:
        yield current


def _end(event: Event, window: Window) -> int:
    if window.kind == "session":
        return event.time + window.size_us
    return (event.time // window.size_us + 1) * window.size_us


def _measured(window: Window, events: list[Event]) -> dict[str, Any]:
    return {f"window.{one.name}": _measure(one, [event.env for event in events]) for one in window.measures}


def _measure(one: Measure, envs: list[dict[str, Any]]) -> Any:
    if one.value is None:
        return len(envs)
    values = [value for value in map(compile_row(one.value), envs) if value is not None]
    match one.kind:
        case "count":
            return len(values)
        case "sum":
            return sum(values, Decimal(0)) if one.type.name == "money" else sum(values)
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "distinct":
            return len(set(values))
        case _:
            return round(Decimal(sum(values)) / len(values), 9) if values else None
