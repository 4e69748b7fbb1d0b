"""Limits at one admission point: every start of an execution, whatever causes it, asks here first.

Reads: the limits of a program, the values of its keys, who holds them now. Emits: a verdict, then what changed.
State: none of its own between turns; `LimitReads` answers from the store, a turn's changes lie over it.
Cost: one look-up a key; flows without limits never come here.
Laws: at no instant do more than `most` executions of a key live; in no stretch of `per_us` do more than `most` start; what is
queued is admitted in order of priority, then of arrival, and nothing overtakes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, assert_never

from schemas.expression.rows import compile_row
from schemas.limits import Hold, LimitChanges, LimitReads, Queued, Spent, limit_key
from schemas.program import Limit, Program, Schedule

SLOTS: Final = 20  # a rate is counted in slots of a twentieth of its time
_OVERLAPS: Final[Mapping[str, Literal["queue", "drop", "cancel_running"]]] = {
    "skip": "drop",
    "queue": "queue",
    "cancel": "cancel_running",
}
RANKS: Final[Mapping[str, int]] = {"high": 0, "normal": 1, "low": 2}
PAGE: Final = 64
QUEUE_MOST: Final = 100_000  # of one key; what comes then is dropped, with a dead letter

_row = lru_cache(maxsize=4_096)(compile_row)


class Scope(NamedTuple):
    """One limit as it meets one start: the key is hashed from tenant, flow, kind, time and value."""

    key: int
    limit: Limit


class Admitted(NamedTuple):
    """It may start. `cancel` are rows of executions that must give way first."""

    cancel: tuple[int, ...] = ()


class Waits(NamedTuple):
    """It must wait for a key: until somebody leaves (None) or a time."""

    key: int
    until_us: int | None


class Refused(NamedTuple):
    """It may not start, now or later."""

    limit: Limit


Verdict = Admitted | Waits | Refused


def is_limited(program: Program) -> bool:
    """Tell whether starts of a flow must ask."""
    return bool(program.limits) or any(isinstance(one, Schedule) and one.overlap != "allow" for one in program.triggers)


def scopes(program: Program, tenant: str, env: Mapping[str, Any]) -> tuple[Scope, ...]:
    """Give the limits of a start with their keys; values that are missing share one key.

    A schedule whose runs may not overlap is a limit of one for each of its zones, on what it starts and nothing else.
    """
    limits = tuple(_scope(program.flow, tenant, limit, env) for limit in program.limits)
    zone = env.get("schedule.zone")
    return limits if zone is None else limits + _overlap(program, tenant, env.get("trigger.name") or "", zone)


def _overlap(program: Program, tenant: str, name: str, zone: str) -> tuple[Scope, ...]:
    schedule = next((one for one in program.triggers if isinstance(one, Schedule) and one.name == name), None)
    if schedule is None or schedule.overlap == "allow":
        return ()
    key = limit_key(tenant, program.flow, "overlap", 0, f"{name}@{zone}")
    return (Scope(key, Limit("concurrency", 1, over=_OVERLAPS[schedule.overlap])),)


def _scope(flow: str, tenant: str, limit: Limit, env: Mapping[str, Any]) -> Scope:
    value = None if limit.key is None else _row(limit.key)(env)
    return Scope(limit_key(tenant, flow, limit.kind, limit.per_us, value), limit)


@dataclass(slots=True)
class _Queue:
    """Those who wait for one key, as far as they were asked for: a page of the store, and what this turn changed."""

    key: int
    reads: LimitReads
    page: list[tuple[int, int]] = field(default_factory=list)  # in order, none of them gone
    read_to: tuple[int, int] | None = (-1, -1)  # None: the store has no more
    added: dict[tuple[int, int], None] = field(default_factory=dict)
    gone: set[tuple[int, int]] = field(default_factory=set)
    length: int | None = None

    def first(self) -> tuple[int, int] | None:
        while not self.page and self.read_to is not None:
            found = list(self.reads.queued(self.key, self.read_to, PAGE))
            self.read_to = found[-1] if len(found) == PAGE else None
            self.page = [one for one in found if one not in self.gone]
        return min([*self.page[:1], *self.added], default=None)

    def size(self) -> int:
        if self.length is None:
            self.length = self.reads.queue_length(self.key) - len(self.gone)
        return self.length + len(self.added)

    def take(self, one: tuple[int, int]) -> bool:
        """Take one out; tell whether the store has it."""
        if self.added.pop(one, 0) is None:
            return False
        self.gone.add(one)
        self.page = [other for other in self.page if other != one]
        self.length = None if self.length is None else self.length - 1
        return True


@dataclass(slots=True)
class Admission:
    """The admission point of one turn."""

    reads: LimitReads
    _holders: dict[int, dict[int, None]] = field(default_factory=dict)  # key -> rows, oldest first
    _held: dict[int, list[int]] = field(default_factory=dict)  # row -> keys that it took in this turn
    _spent: dict[int, Spent | None] = field(default_factory=dict)
    _queues: dict[int, _Queue] = field(default_factory=dict)
    _changes: LimitChanges = field(default_factory=LimitChanges)

    @property
    def used(self) -> bool:
        """Tell whether anybody asked or left."""
        return bool(self._holders or self._spent or self._queues or self._held)

    def ask(self, wanted: Sequence[Scope], now_us: int, rank: int, *, queued: bool = False) -> Verdict:
        """Say whether an execution may start now. `queued`: it stands first in the queue that it asks for."""
        cancel: list[int] = []
        waits: Waits | None = None
        for scope in wanted:
            match self._one(scope, now_us, rank, queued=queued):
                case Admitted(rows):
                    cancel.extend(rows)
                case Refused() as refused:
                    return refused
                case Waits() as more:
                    waits = waits or more
                case other:
                    assert_never(other)
        return waits or Admitted(tuple(dict.fromkeys(cancel)))

    def enter(self, row: int, wanted: Iterable[Scope], now_us: int) -> None:
        """Let an execution in: it holds its keys until it leaves, and has spent its share of rates and quotas."""
        for key, limit in wanted:
            if limit.kind == "concurrency":
                self._rows(key)[row] = None
                self._held.setdefault(row, []).append(key)
                self._changes.holds_set[Hold(key, row)] = None
            else:
                spent = _spend(self._spent_of(key), limit, now_us)
                self._spent[key] = self._changes.spent[key] = spent

    def leave(self, row: int) -> list[int]:
        """Give back what an execution held; give the keys."""
        keys = [*self.reads.held(row), *self._held.pop(row, ())]
        for key in dict.fromkeys(keys):
            if self._rows(key).pop(row, 0) is None:
                hold = Hold(key, row)
                if self._changes.holds_set.pop(hold, 0) == 0:
                    self._changes.holds_gone[hold] = None
        return list(dict.fromkeys(keys))

    def enqueue(self, row: int, key: int, rank: int) -> None:
        """Put an execution into the queue of a key; nobody may come in where QUEUE_MOST wait already."""
        self._queue(key).added[rank, row] = None
        self._changes.queued_set[Queued(key, rank, row)] = None

    def dequeue(self, row: int, key: int, rank: int) -> None:
        """Take an execution out of the queue of a key."""
        queued = Queued(key, rank, row)
        if self._queue(key).take((rank, row)):
            self._changes.queued_gone[queued] = None
        else:
            del self._changes.queued_set[queued]

    def first(self, key: int) -> tuple[int, int] | None:
        """Give (rank, row) of who comes next for a key."""
        return self._queue(key).first()

    def length(self, key: int) -> int:
        """Tell how many wait for a key."""
        return self._queue(key).size()

    def changes(self) -> LimitChanges:
        """Give what the turn must make durable."""
        return self._changes

    def _one(self, scope: Scope, now_us: int, rank: int, *, queued: bool) -> Verdict:
        key, limit = scope
        first = None if queued or limit.over != "queue" else self.first(key)
        behind = first is not None and first[0] <= rank
        if limit.kind == "concurrency":
            rows = self._rows(key)
            free = len(rows) < limit.most
            over = tuple(rows)[: len(rows) - limit.most + 1] if not free else ()
            return Admitted() if free and not behind else _over(scope, None, over)
        free_us = _free_at(self._spent_of(key), limit, now_us)
        return Admitted() if free_us <= now_us and not behind else _over(scope, max(free_us, now_us), ())

    def _rows(self, key: int) -> dict[int, None]:
        if key not in self._holders:
            self._holders[key] = dict.fromkeys(self.reads.holders(key))
        return self._holders[key]

    def _spent_of(self, key: int) -> Spent | None:
        if key not in self._spent:
            self._spent[key] = self.reads.spent(key)
        return self._spent[key]

    def _queue(self, key: int) -> _Queue:
        return self._queues.setdefault(key, _Queue(key, self.reads))


def _over(scope: Scope, until_us: int | None, holders: tuple[int, ...]) -> Verdict:
    """Say what becomes of a start that is over a limit."""
    match scope.limit.over:
        case "queue":
            return Waits(scope.key, until_us)
        case "drop":
            return Refused(scope.limit)
        case "cancel_running":
            return Admitted(holders) if scope.limit.kind == "concurrency" else Refused(scope.limit)
        case over:
            assert_never(over)


def _width(limit: Limit) -> int:
    return limit.per_us if limit.kind == "quota" else max(1, -(-limit.per_us // SLOTS))


def _kept(limit: Limit) -> int:
    """Give how many slots before the current one still count: a stretch of `per_us` touches at most one more than it has."""
    return 0 if limit.kind == "quota" else SLOTS


def _recent(spent: Spent | None, limit: Limit, slot: int) -> list[tuple[int, int]]:
    return [] if spent is None else [one for one in spent.slots if one[0] >= slot - _kept(limit)]


def _spend(spent: Spent | None, limit: Limit, now_us: int) -> Spent:
    slot = now_us // _width(limit)
    counts = dict(_recent(spent, limit, slot))
    counts[slot] = counts.get(slot, 0) + 1
    return Spent(tuple(sorted(counts.items())), (slot + _kept(limit) + 1) * _width(limit))


def _free_at(spent: Spent | None, limit: Limit, now_us: int) -> int:
    """Tell from when on one more may start: when enough old slots no longer count."""
    width = _width(limit)
    slot = now_us // width
    recent = _recent(spent, limit, slot)
    left = sum(count for _, count in recent) - limit.most
    if left < 0:
        return now_us
    for at, count in recent:
        left -= count
        if left < 0:
            return (at + _kept(limit) + 1) * width
    return now_us + limit.per_us  # most is 0: never by itself
