"""A turn in flight: what it works on, what the store and the catalogue said, and what has come of it so far."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from operators.advance.advance import Runnable
from operators.triggers.admission import Admission
from operators.triggers.lanes import Lane
from operators.turn.emit import Emission
from operators.turn.incoming import Arrivals, Candidate, Input
from operators.turn.live import Live, loaded, shard_of_tenant
from operators.turn.times import Times
from schemas.effects import Abandoned, Called, Ended
from schemas.ids import LIVE
from schemas.limits import LimitChanges, LimitReads
from schemas.ports import Append, ChangedExecution, MissedVerdict, NewExecution, Remembered, StoredExecution, Timer, Wait
from schemas.program import Program
from schemas.records import DeadLetter, Late, Said

NOBODY: Final = Arrivals(())


@dataclass(frozen=True, slots=True)
class Batch:
    """What a turn works on, row by row."""

    times: Times
    next_row: int  # integer key of the next execution
    candidates: Sequence[Candidate] = ()
    dead: Sequence[DeadLetter] = ()
    namespace: str = LIVE
    arrivals: Arrivals = NOBODY
    inputs: Sequence[Input] = ()
    start: int = 0  # of the rows that this part of the turn works on
    end: int = 1 << 62
    first_row: int = 0  # how many rows came before, in the order of all turns: what is remembered is sorted by it
    halfway: bytes = b""  # key of the event of its one row, if only the waits that were read are met and more of it comes behind
    met: Mapping[bytes, str] = field(default_factory=dict)  # events that met waits in transactions halfway: tenants by key


class World(Protocol):
    """What the store and the catalogue say when asked, as of the last commit."""

    def runnable(self, version: str) -> Runnable:
        """Give the program of a version, ready to run."""
        ...

    def deployed(self, version: str) -> Runnable | None:
        """Give the program of a version, None where there is none (any more)."""
        ...

    def connector(self, tenant: str, action: str) -> str:
        """Give the connector that serves an action type of a tenant."""
        ...

    def load(self, row: int) -> StoredExecution | None:
        """Read a live execution by row."""
        ...

    def find(self, identity: bytes) -> StoredExecution | None:
        """Read a live execution by public id."""
        ...

    def exists(self, identity: bytes) -> bool:
        """Tell whether an execution is known, ended ones too."""
        ...

    def seen(self, key: bytes) -> bool:
        """Tell whether a key of a start by hand is in the window of those seen in earlier turns."""
        ...

    def remembered(self, key: int, since_us: int) -> Sequence[Remembered]:
        """Give the events kept under a wait key since a time, the latest first."""
        ...

    def waiting(self, key: int) -> Sequence[Wait]:
        """Give the waits found by a key."""
        ...

    def policies(self, tenant: str, program: Program, now_us: int) -> Mapping[str, Any]:
        """Give the policies that a program reads, as its environment names them, and `policies`: their versions by name."""
        ...

    def startable(self, tenant: str, flow: str) -> Runnable | None:
        """Give the version in force of a flow, of two the newer one."""
        ...

    def lanes(self, tenant: str, flow: str) -> Sequence[Lane]:
        """Give all that starts by the name of a flow."""
        ...

    def shadowed(self, flow: str) -> bool:
        """Tell whether a flow ever ran in shadow: executions of it may have one."""
        ...

    @property
    def any_followed(self) -> bool:
        """Tell whether any flow starts after another."""
        ...

    def followed(self, tenant: str, flow: str) -> bool:
        """Tell whether a flow starts after that one has ended."""
        ...

    @property
    def limits(self) -> LimitReads:
        """Give what holds, waits for and has spent the limits."""
        ...


@dataclass(frozen=True, slots=True)
class Reads:
    """What was read for the batch, all at once."""

    world: World
    due: Sequence[Timer]  # in order; all that this turn is to fire
    executions: Mapping[int, StoredExecution]  # of the due timers, the waits found and the inputs
    seen: Container[bytes]  # those of the events' keys that were seen in earlier turns
    existing: Container[bytes]  # execution ids that the store knows, asked where `seen` cannot know any more
    partitions: int
    deadlines: Sequence[Timer] = ()  # in order, as `due`
    by_id: Mapping[bytes, int] = field(default_factory=dict)  # rows of the executions that inputs name
    waits: Sequence[Wait] = ()  # found by the wait keys of the batch
    verdicts: Sequence[MissedVerdict] = ()  # of absences and sequences in earlier turns, found by the same keys


@dataclass(frozen=True, slots=True)
class TurnResult:
    """Rows and records of one transaction, in order."""

    starts: Sequence[NewExecution]
    changes: Sequence[ChangedExecution]
    timers_set: Sequence[Timer]
    timers_gone: Sequence[Timer]
    seen: Mapping[int, bytes]
    keys: Set[bytes]  # the same, apart
    versions: frozenset[str]  # that executions started in this turn and still wait are pinned to
    emitted: Sequence[Append]
    actions: int
    deadlines_set: Sequence[Timer] = ()
    deadlines_gone: Sequence[Timer] = ()
    waits_set: Sequence[Wait] = ()
    waits_gone: Sequence[Wait] = ()
    remembered: Sequence[Remembered] = ()
    discarded: Sequence[int] = ()
    verdicts: Sequence[MissedVerdict] = ()
    late: Sequence[Late] = ()
    limits: LimitChanges | None = None
    met: Mapping[bytes, str] = field(default_factory=dict)  # events that met waits, to be seen once their rows are done


class Freed(NamedTuple):
    """Somebody has left a limit's key, or the queue of it: the next one may begin."""

    key: int
    now_us: int


class Asks(NamedTuple):
    """A watch has come to its verdict and asks whether the limits of its flow let it begin."""

    row: int
    now_us: int


class TwinAsks(NamedTuple):
    """A shadow may wait for something that is known of the execution beside it."""

    row: int
    now_us: int


class TwinEnded(NamedTuple):
    """An execution that may have a shadow has ended."""

    id: bytes
    now_us: int


class ChildStart(NamedTuple):
    """A flow to be called by an execution, next."""

    parent: Live
    called: Called
    now_us: int


class ChildEnd(NamedTuple):
    """The end of a called flow, to be given to the execution that called it, next."""

    parent: int
    token: int
    ended: Ended
    now_us: int


class ChildGone(NamedTuple):
    """A called flow that nobody waits for any more, to be cancelled next."""

    parent: Live
    abandoned: Abandoned
    now_us: int


@dataclass(slots=True)
class Changes:
    """What one kind of index gains and loses in a turn: what comes and goes within it was never there."""

    made: dict[Any, Any] = field(default_factory=dict)
    gone: dict[Any, None] = field(default_factory=dict)
    void: set[Any] = field(default_factory=set)

    def add(self, one: Any, what: Any = None) -> None:
        """Add one; if it was taken away in this turn, it stays."""
        if self.void:
            self.void.discard(one)
        if not self.gone or self.gone.pop(one, 0) == 0:
            self.made[one] = what

    def drop(self, one: Any) -> None:
        """Take one away."""
        if self.made and self.made.pop(one, 0) != 0:
            self.void.add(one)
        else:
            self.gone[one] = None

    def stands(self, one: Any) -> bool:
        """Tell whether one that was there, or came in this turn, is still there."""
        return one not in self.gone and one not in self.void


@dataclass(slots=True)
class Pending:
    """A turn that has begun. `effects` are what it asks for before it can end (features and scores, when they come)."""

    batch: Batch
    reads: Reads
    said: Emission
    next_row: int
    effects: tuple[()] = ()
    live: dict[int, Live] = field(default_factory=dict)
    by_id: dict[bytes, int] = field(default_factory=dict)  # of executions that began in this turn
    seen: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    seen_now: dict[bytes, int] = field(default_factory=dict)  # the row at which the event had its effect
    met: dict[bytes, str] = field(default_factory=dict)  # events that will be seen once their row is done
    timers: Changes = field(default_factory=Changes)
    deadlines: Changes = field(default_factory=Changes)
    waits: Changes = field(default_factory=Changes)
    due: list[Timer] = field(default_factory=list)  # the first one last, as the next
    passing: list[Timer] = field(default_factory=list)  # deadlines
    agenda: list[tuple[Any, ...]] = field(default_factory=list)  # a heap of (row, phase, rank, execution, token, number, what)
    let_go: int = 0  # how many have left queues of limits by what came in last
    queue: deque[ChildStart | ChildEnd | ChildGone | Freed | Asks | TwinAsks | TwinEnded] = field(default_factory=deque)
    reach: int = 0  # the first row that can meet a wait opened now
    floor: int = 0  # the first row behind all that was worked on: a time that had passed when it was set leads no further back
    number: int = 0
    verdicts: list[tuple[int, MissedVerdict]] = field(default_factory=list)  # with the first row behind each
    late: list[Late] = field(default_factory=list)  # first events of sequences whose time was over when they came
    gathering: dict[int, int] = field(default_factory=dict)  # by key the rows of what gathers ends of flows since this turn
    begun: list[tuple[Live, str]] = field(default_factory=list)  # watches, each with the version in shadow to compare with
    gone: list[Live] = field(default_factory=list)  # shadows that watched and left without a trace
    told: dict[int, list[Said]] = field(default_factory=lambda: defaultdict(list))  # by row what may have a shadow said
    admission: Admission = field(init=False)
    followed: bool = field(init=False)  # whether any flow starts after another

    def __post_init__(self) -> None:
        """Open the admission point."""
        self.admission = Admission(self.reads.world.limits)
        self.followed = self.reads.world.any_followed


def live_of(pending: Pending, row: int) -> Live | None:
    """Give an execution by its row; None if it has ended in an earlier turn, or was discarded."""
    live = pending.live.get(row)
    if live is None:
        stored = pending.reads.executions.get(row) or pending.reads.world.load(row)
        if stored is None:
            return None
        live = pending.live[row] = loaded(stored, pending.reads.world.runnable)
    return live


def see(pending: Pending, key: bytes, tenant: str, row: int) -> None:
    """Remember that an event had an effect, at this row and no other."""
    if key not in pending.seen_now:
        pending.seen_now[key] = row
        pending.seen[shard_of_tenant(tenant)].append(key)


def see_met(pending: Pending, key: bytes, tenant: str, row: int) -> None:
    """Remember that an event met a wait; of a row that is met in slices, once the last of them is done."""
    if key == pending.batch.halfway:
        pending.met[key] = tenant
    else:
        see(pending, key, tenant, row)
