"""What a room may ask of the machine, as Protocols: infra implements them, flows/roles wires them, others are given them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from schemas.limits import LimitChanges, LimitReads


class Clock(Protocol):
    """Tells the time in microseconds since 1970, UTC."""

    def now_us(self) -> int:
        """Give the current time; never before an earlier answer."""
        ...

    def sleep_us(self, us: int) -> None:
        """Wait."""
        ...


class Slot(NamedTuple):
    """A place that has positions: one partition of one topic in one file (or cluster)."""

    source: str  # "ingress.db", "engine-0.db", "dispatcher-0.db"
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records of one slot that follow each other: record k has position base + k. Chunks come in the file's total order."""

    source: str
    topic: str
    partition: int
    base: int
    appended_us: int
    records: Sequence[bytes]

    @property
    def slot(self) -> Slot:
        """Name the slot that these records come from."""
        return Slot(self.source, self.topic, self.partition)

    @property
    def end(self) -> int:
        """Give the position behind the last record."""
        return self.base + len(self.records)


@dataclass(frozen=True, slots=True)
class Damage:
    """Records that were in the log and can no longer be read; positions base .. base + count - 1."""

    slot: Slot
    base: int
    count: int
    reason: str


class LogReader(Protocol):
    """Tails topics of one file in their total order; holds its place in memory, the reading role stores positions."""

    @property
    def source(self) -> str:
        """Name the file (or cluster) that is read."""
        ...

    def poll(self, limit: int) -> list[Chunk]:
        """Give up to `limit` records that come next, [] if there are none. Never blocks."""
        ...

    def at_end(self) -> bool:
        """Tell whether everything committed to the file so far has been given out."""
        ...

    @property
    def incarnation(self) -> str | None:
        """Tell which life of the file is read, None before it is known."""
        ...

    def place(self) -> int:
        """Give the pack sequence of the file up to which everything was given out."""
        ...

    def take_damaged(self) -> list[Damage]:
        """Give what could not be read since the last call; `poll` has gone on behind it."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Append(NamedTuple):
    """Records to append to one partition of one topic, in order."""

    topic: str
    partition: int
    records: Sequence[bytes]


class PlacedReader(LogReader, Protocol):
    """A LogReader that also says where in its file it is; what status lines are made of."""

    source: str

    def place(self) -> int:
        """Give the seq of the file up to which everything has been given out."""
        ...

    def take_damaged(self) -> list[Damage]:
        """Give the damage passed over since the last call."""
        ...


class LogWriter(Protocol):
    """The one writer of a log file that is nothing but a log (ingress.db)."""

    def append(self, batch: Sequence[Append], now_us: int) -> list[int]:
        """Append durably in one transaction; give the base position of each item."""
        ...

    def close(self) -> None:
        """Let go of the file and its lock."""
        ...


class Timer(NamedTuple):
    """A delay (fires when now >= due) or a deadline (which an input can still beat). Sorted by (due_us, execution, token)."""

    due_us: int
    execution: int  # row of the execution
    token: int


class Wait(NamedTuple):
    """A token of an execution that an event can meet: found by its key (ids.wait_key). Sorted as it stands.

    `retract`: the event takes back the verdict that the execution began with; at one row these come before all others.
    """

    key: int
    execution: int  # row of the execution
    token: int
    retract: bool = False


MetPlace = tuple[int, int, int]  # of a wait among those that one event meets, in order: (not retract, execution, token)


class MissedVerdict(NamedTuple):
    """That something did not come in time: the key it would have been found by, and its latest time.

    `execution` is what began for want of it (an absence), or what watched in vain (a sequence). `first` is the event with which
    such a sequence began, empty for an absence; `since_us` is the time of the last event that had come of it.
    """

    key: int
    time_us: int
    execution: bytes  # its public id
    tenant: str
    flow: str
    since_us: int = 0
    first: str = ""


class Remembered(NamedTuple):
    """An event that a wait opened later may look back to: `at_us` is the clock at its row, `order` its place among such rows."""

    key: int
    at_us: int
    order: int
    event: bytes


class SchedulePlace(NamedTuple):
    """How far a schedule is accounted for: the local time of its zone, counted since 1970 as if it were UTC, and its fold."""

    tenant: str
    flow: str
    trigger: str
    zone: str
    local_us: int
    fold: int


class WindowBlock(NamedTuple):
    """A piece of what windows hold; a block of the same number takes the place of an earlier one."""

    shape: str
    kind: int
    block: int
    data: bytes


@dataclass(slots=True)
class WindowChanges:
    """What a turn changes in windows. What is dropped goes first, then what is gone, then what is new."""

    tenants: list[tuple[int, str]] = field(default_factory=list)  # (number, name), new ones
    dropped: list[str] = field(default_factory=list)  # shapes
    marks: list[tuple[str, bytes]] = field(default_factory=list)  # (shape, how far its time is complete)
    gone: list[tuple[str, int, int]] = field(default_factory=list)  # (shape, kind, block)
    blocks: list[WindowBlock] = field(default_factory=list)


@dataclass(slots=True)
class StoredWindows:
    """Everything that windows hold, as of the last commit."""

    tenants: Sequence[tuple[int, str]] = ()
    marks: dict[str, bytes] = field(default_factory=dict)
    blocks: dict[str, list[WindowBlock]] = field(default_factory=dict)


class Stretch(NamedTuple):
    """Records of one slot that executions have worked on in a turn that goes on: from a position up to before another."""

    slot: Slot
    since: int
    next: int


class HeldBack(NamedTuple):
    """A tenant whose rows wait for their share of a slot: all from some position on have not been worked on."""

    tenant: str
    slot: Slot


class NewExecution(NamedTuple):
    """A row to insert. `state` is None once the execution has ended."""

    row: int
    shard: int
    id: bytes
    tenant: str
    flow: str
    version: str
    status: str
    started_us: int
    state: bytes | None
    parent: int | None = None  # row of the execution that called this one and waits for it
    parent_token: int | None = None


class ChangedExecution(NamedTuple):
    """A row to update."""

    row: int
    status: str
    state: bytes | None
    version: str | None = None  # another one, where it was moved


class StoredExecution(msgspec.Struct, frozen=True, gc=False):
    """What the engine needs to go on with an execution."""

    row: int
    shard: int
    id: bytes
    tenant: str
    flow: str
    version: str
    started_us: int
    state: bytes
    parent: int | None = None
    parent_token: int | None = None


@dataclass(frozen=True, slots=True)
class TurnCommit:
    """Everything that one turn changes: it goes into one transaction or not at all."""

    turn: int
    now_us: int
    positions: Mapping[Slot, int]  # next position to read
    starts: Sequence[NewExecution] = ()
    changes: Sequence[ChangedExecution] = ()
    timers_set: Sequence[Timer] = ()
    timers_gone: Sequence[Timer] = ()
    seen: Mapping[int, bytes] = field(default_factory=dict)  # shard -> event keys, 16 bytes each
    programs: Sequence[tuple[str, bytes]] = ()  # (version, program) pinned first in this turn
    emitted: Sequence[Append] = ()
    open_actions: int = 0  # how many more (or fewer) commands are without an outcome
    wall_us: int | None = None  # when the emitted records are appended, in wall time; None: now_us
    sources: Mapping[str, str] = field(default_factory=dict)  # incarnations of the files read; the first one stored stays
    deadlines_set: Sequence[Timer] = ()
    deadlines_gone: Sequence[Timer] = ()
    waits_set: Sequence[Wait] = ()
    waits_gone: Sequence[Wait] = ()
    remembered: Sequence[Remembered] = ()
    remember_since_us: int = 0  # what came before is forgotten
    verdicts: Sequence[MissedVerdict] = ()
    schedules: Sequence[SchedulePlace] = ()
    schedules_gone: Sequence[tuple[str, str, str, str]] = ()  # (tenant, flow, trigger, zone)
    windows: WindowChanges | None = None
    discarded: Sequence[int] = ()  # rows of watches that were not needed: nobody sees them, and duplicates are known by them
    limits: LimitChanges | None = None
    held_back: Mapping[HeldBack, int] | None = None  # from which position on tenants wait; None: as before
    reached: Sequence[Stretch] | None = None  # what executions have worked on, of a turn that goes on; None: as before
    past_us: int | None = None  # up to when every input has been read, by the event clock the time then; None: a turn goes on
    met: Mapping[bytes, str] | None = (
        None  # tenants of events, by key, that met waits in slices and are not seen yet; None: as before
    )

    @property
    def lives(self) -> int:
        """Tell how many more (or fewer) executions live, watches among them."""
        born = len(self.starts) - [start.state for start in self.starts].count(None)
        return born - [change.state for change in self.changes].count(None) - len(self.discarded)


@dataclass(frozen=True, slots=True)
class StoreMeta:
    """Where the engine stands, as of its last commit."""

    turn: int
    now_us: int
    next_row: int
    open_actions: int
    positions: Mapping[Slot, int]
    incarnation: str
    epoch: int
    sources: Mapping[str, str] = field(default_factory=dict)  # incarnation of each file that the positions belong to
    live: int = 0  # executions that live, watches among them
    past_us: int = 0  # up to when every input had been read behind the last whole turn; under the event clock the time then


class StateStore(Protocol):
    """One engine's durable state. One writer; opening it takes the lock and raises the epoch."""

    def meta(self) -> StoreMeta:
        """Tell where the last commit left off."""
        ...

    def existing(self, ids: Sequence[bytes], *, begun: bool = False) -> set[bytes]:
        """Give those of the execution ids that the store knows, ended ones too; `begun`: but no watches that were discarded."""
        ...

    def load(self, rows: Sequence[int]) -> dict[int, StoredExecution]:
        """Read live executions by row; ended ones are not in the answer."""
        ...

    def program(self, version: str) -> bytes | None:
        """Read a program that an execution is pinned to."""
        ...

    def seen_since(self, at_us: int) -> Iterable[tuple[int, int, bytes]]:
        """Give (shard, at_us, packed event keys) of every turn since a time, oldest first."""
        ...

    def due(self, until_us: int, limit: int) -> list[Timer]:
        """Give the first `limit` timers with due_us <= until_us, in order, without taking them away."""
        ...

    def next_due_us(self) -> int | None:
        """Tell when the next timer falls due."""
        ...

    def deadlines(self, until_us: int, limit: int) -> list[Timer]:
        """Give the first `limit` deadlines with due_us <= until_us, in order, without taking them away."""
        ...

    def next_deadline_us(self) -> int | None:
        """Tell when the next deadline passes."""
        ...

    def waiting(self, keys: Collection[int], most: int | None = None) -> list[Wait]:
        """Give the waits found by any of the keys, sorted; no more are read than `most`."""
        ...

    def waiting_behind(self, keys: Collection[int], place: MetPlace, most: int) -> list[Wait]:
        """Give the first `most` waits of the keys of one event behind a place, in the order in which they are met."""
        ...

    def find(self, ids: Sequence[bytes]) -> dict[bytes, StoredExecution]:
        """Read live executions by public id; ended ones are not in the answer."""
        ...

    def last_verdict_us(self) -> int | None:
        """Give the latest time of what did not come in time: no event behind it is too late for anything."""
        ...

    def verdicts(self, since: Mapping[int, int]) -> Sequence[MissedVerdict]:
        """Give the verdicts of absences and sequences under each of the keys whose latest time is not before that of the key."""
        ...

    def schedules(self) -> Sequence[SchedulePlace]:
        """Give how far each schedule is accounted for."""
        ...

    def windows(self) -> StoredWindows:
        """Give everything that windows hold."""
        ...

    def remembered(self, key: int, since_us: int) -> list[Remembered]:
        """Give the events of a key that came at or after a time, the latest first."""
        ...

    def versions(self) -> list[str]:
        """Name the versions whose programs are stored."""
        ...

    def unpinned(self) -> list[str]:
        """Give the versions whose programs have left, since it was last asked: a new execution brings its program again."""
        ...

    @property
    def limits(self) -> LimitReads:
        """Give what holds, waits for and has spent the limits."""
        ...

    def met(self) -> dict[bytes, str]:
        """Give the events that met waits in slices and are not seen yet: tenants by key."""
        ...

    def reached(self) -> list[Stretch]:
        """Give what executions have worked on and the positions are not behind yet: a turn did not come to its end."""
        ...

    def held_back(self) -> dict[HeldBack, int]:
        """Give from which position on each tenant's rows wait for their share."""
        ...

    def commit(self, turn: TurnCommit) -> None:
        """Make the turn durable (FULL sync). After an error the caller must stop; the file decides what happened."""
        ...

    def close(self) -> None:
        """Let go of the file and its lock."""
        ...
