"""What the dispatcher asks of its store and of connectors, as records and Protocols: infra and sinks implement them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from schemas.ports import Append, Slot
from schemas.records import Cancel, Json


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a connector's call came to. `retry` asks for another attempt, no earlier than `after_us` from now."""

    status: str  # delivered | failed | unknown
    retry: bool = False
    after_us: int = 0
    code: str | None = None
    error: str | None = None
    data: Json = None
    items: tuple[Outcome, ...] = ()  # of a batch: one a member, in order; empty: all of them ended like this


@dataclass(frozen=True, slots=True)
class Command:
    """One attempt at one action, or at a batch of them (`members`), as a connector sees it.

    A batch has an id and a key of its own, and as `raw` a JSON array of its members' records.
    """

    id: str
    tenant: str
    type: str
    idempotency_key: str
    attempt: int
    timeout_us: int
    settings: Mapping[str, Json]  # of the connector rule; secrets are resolved
    body: Mapping[str, Json]  # the whole action record
    raw: bytes
    errors: frozenset[str] = frozenset()  # the codes that its contract lets a receiver answer
    members: tuple[Command, ...] = ()


class Connector(Protocol):
    """Carries commands out. Raises nothing: every end is an Outcome."""

    name: str
    at_once: int  # the most commands that a call should get

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands of different executions, at once; one outcome each, in order."""
        ...

    def resolve(self, command: Command) -> Outcome | None:
        """Say what became of an attempt that was started and has no outcome; None: nobody can tell."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


@runtime_checkable
class StreamConnector(Connector, Protocol):
    """A connector that needs no thread of the caller's for what is on its way."""

    def begin(self, command: Command, done: Callable[[Outcome], None]) -> None:
        """Carry a command out; `done` is called once with its outcome, perhaps on another thread, perhaps at once."""
        ...


class Gathering(NamedTuple):
    """Commands of one lane wait for each other: until there are `most`, or the first of them has waited `wait_us`."""

    lane: str  # tenant, connector, type, key, key of places, and `most`
    most: int
    wait_us: int


class Places(NamedTuple):
    """At most so many commands of one lane are on their way at a time."""

    lane: str  # tenant and key
    most: int


class Withdrawal(NamedTuple):
    """A command that shall not be carried out any more, if it still can be stopped; `hurry`: one to be tried now."""

    id: str
    execution: str
    hurry: bool = False
    partition: int = 0  # the command's, as its own
    wish: Cancel | None = None  # the record, for one that could not be read


@dataclass(frozen=True, slots=True)
class QueuedAction:
    """A command as it arrives at its dispatcher. It starts when no earlier one is left in its lanes and its time has come."""

    id: str
    tenant: str
    connector: str
    lane: str  # the execution
    order_lane: str | None  # tenant and order key
    rank: int  # 0 high, 1 normal, 2 low
    due_us: int
    expires_us: int
    first: bool  # false: redriven
    slot: Slot
    position: int
    raw: bytes
    gathering: Gathering | None = None
    places: Places | None = None


@dataclass(frozen=True, slots=True)
class StoredAction:
    """A command in the store, as it was taken out to be sent. `doubt`: an earlier attempt may have been carried out.

    With `members` it is a batch: one call, with an id of its own; attempts are the batch's.
    """

    row: int
    id: str
    tenant: str
    connector: str
    attempts: int  # this one included
    doubt: bool
    expires_us: int
    first: bool
    slot: Slot
    position: int
    raw: bytes
    cancelled: bool = False  # not to be sent: withdrawn before its (next) attempt
    members: tuple[StoredAction, ...] = ()


class Postponed(NamedTuple):
    """An attempt that is over without an outcome: again at `due_us`. A member of a batch leaves it and gathers anew."""

    row: int
    due_us: int
    doubt: bool


class Taking(NamedTuple):
    """What to take out to be sent: at most `most` commands due by `now_us`, and at most `tenant_most` of a tenant in flight."""

    now_us: int
    most: int
    tenant_most: int
    busy: Mapping[str, int]  # commands in flight by tenant


@dataclass(frozen=True, slots=True)
class DispatchCommit:
    """Everything that one step of a dispatcher changes, in one transaction; what is postponed comes before what is done."""

    now_us: int
    positions: Mapping[Slot, int] = field(default_factory=dict)
    done: Sequence[int] = ()  # rows with an outcome
    postponed: Sequence[Postponed] = ()
    arrived: Sequence[QueuedAction] = ()
    withdrawn: Sequence[Withdrawal] = ()
    lost: Sequence[Slot] = ()  # where commands could not be read
    emitted: Sequence[Append] = ()
    taking: Taking | None = None
    sources: Mapping[str, str] = field(default_factory=dict)  # incarnations of the files read; the first one stored stays


class DispatchStore(Protocol):
    """One dispatcher's durable state: commands without an outcome, positions, and the topics it emits. One writer."""

    def positions(self) -> dict[Slot, int]:
        """Give the next position to read of every slot."""
        ...

    def sources(self) -> dict[str, str]:
        """Give the incarnation of each file that the positions belong to."""
        ...

    def started(self) -> list[StoredAction]:
        """Give the commands whose attempt was started and has no outcome, in order of arrival."""
        ...

    def lost(self) -> dict[Slot, bool]:
        """Give the slots in which commands could not be read, and whether the engine counts these as ended already."""
        ...

    def unheard(self, withdrawn: Sequence[Withdrawal]) -> list[Withdrawal]:
        """Give those that name a command which is neither here nor has an outcome; a look at all results that are kept."""
        ...

    def open_actions(self) -> int:
        """Tell how many commands are without an outcome."""
        ...

    def next_due_us(self) -> int | None:
        """Tell when the next command may start, were there room."""
        ...

    def commit(self, change: DispatchCommit) -> list[StoredAction]:
        """Make a step durable (FULL sync); give the commands taken, marked as started unless they have expired or are cancelled.

        After an error the caller must stop; the file decides what happened.
        """
        ...

    def close(self) -> None:
        """Let go of the file and its lock."""
        ...
