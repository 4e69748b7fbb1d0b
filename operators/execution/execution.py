"""The state of an execution between inputs, and its bytes.

State: the values it read from its trigger event and bound since, its waiting tokens, and counters; what few executions have
(frames, compensations, approvals, a closing) lies apart in `rest`, so that a plain wait stays small. The first byte of the
stored form is its version; a change of layout carries a line in schemas/CHANGES.md.
"""

from __future__ import annotations

from copy import copy
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from schemas.errors import StateTooNew
from schemas.records import Json

VERSION: Final = 3
_DECIMAL: Final = 1
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})

ParkedKind = Literal["delay", "deadline", "result", "notice"]
EndStatus = Literal["completed", "failed", "cancelled"]
ROOT: Final = 0  # the frame of the whole execution
NOWHERE: Final = -1  # the step of a timer that belongs to no step


class Cause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The event that started an execution, as far as its commands and history name it."""

    event: str
    source: str
    time_us: int
    correlationid: str
    hops: int


class Parked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A token that waits: at which step, and until when (its timer's due time).

    delay, notice (a reminder or an escalation of an approval, with a token of its own): timers. deadline: a deadline. result:
    the deadline of an awaited result, which is not set at all under the event clock. `about` is what it waits for: the pass of
    an action, a call or an approval, the key of a wait.
    """

    token: int
    step: int
    due_us: int
    kind: ParkedKind = "delay"
    frame: int = ROOT
    about: int | None = None


class Loop(msgspec.Struct, array_like=True):
    """How far a for_each has come. Results and errors are by item."""

    items: list[Any]
    next: int = 0
    results: dict[int, Any] = {}
    errors: dict[int, tuple[str, str]] = {}


class Frame(msgspec.Struct, array_like=True):
    """An instance of a block: the arms of a parallel, the items of a for_each, or one of these items with names of its own.

    `open` tells which arm or item each of its tokens is; `owner` is the token that goes on behind the block.
    """

    parent: int
    owner: int
    step: int
    open: dict[int, int]
    arrived: int = 0
    names: dict[str, Any] | None = None
    loop: Loop | None = None


class Undo(msgspec.Struct, frozen=True, array_like=True):
    """A completed step that can be undone; `params` were fixed when it completed (None: they could not be)."""

    step: int
    occurrence: int
    params: Json


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """An awaited command or call that no token waits for any more. `unknown`: its outcome is known to be unknown."""

    step: int
    occurrence: int
    unknown: bool = False
    unwanted: bool = False  # it was told to be cancelled
    names: dict[str, Any] | None = None  # of the frames it was sent from, where it can be undone


class Vote(msgspec.Struct, frozen=True, array_like=True):
    """One approval among those needed."""

    by: str
    at: int
    form: Json


class Ballot(msgspec.Struct, array_like=True):
    """An open approval: who may decide, who has, and which notice comes next."""

    occurrence: int
    since_us: int
    roles: list[str]
    people: list[str]
    excluded: list[str]
    votes: list[Vote] = []
    notices: int = 0  # how many have been given
    notice: int = NOWHERE  # token of the next one
    title: str = ""  # what was asked, for whoever is to decide
    show: Json = None


class Closing(msgspec.Struct, array_like=True):
    """An execution on its way to its end: first outcomes, then undoing, then the flow's on_error steps."""

    status: EndStatus
    code: str
    step: str
    message: str
    phase: Literal["outcomes", "undo", "handlers"] = "outcomes"
    undone: list[str] = []
    current: Undo | None = None
    attempt: int = 0  # of undoing it
    stuck: bool = False  # it failed: an operator must say how to go on


class Watch(msgspec.Struct, frozen=True, array_like=True):
    """An execution that has not begun: what its trigger waits for. `reached` counts the events of a sequence that came."""

    trigger: int
    key: int | None
    time_us: int  # an event counts up to this time of its own
    due_us: int
    reached: int = 0
    last_us: int = 0  # event time of the one before
    beside: str = ""  # the version in shadow with which it is compared once it has begun


class Hidden(msgspec.Struct, frozen=True, array_like=True):
    """What may disprove the verdict that started an execution, and until when it is looked for."""

    token: int
    trigger: int
    key: int | None
    time_us: int
    until_us: int


class Queueing(msgspec.Struct, frozen=True, array_like=True):
    """An execution that has not begun, for a limit keeps it waiting: for which key, in which class, and until when at least."""

    key: int
    rank: int
    limit: str  # its kind
    due_us: int | None = None


class Rest(msgspec.Struct, array_like=True):
    """What most executions do not have."""

    frames: dict[int, Frame] = {}
    done: list[Undo] = []
    sent: list[Sent] = []
    ballots: dict[int, Ballot] = {}
    policies: dict[str, str] = {}
    closing: Closing | None = None
    watch: Watch | None = None
    hidden: Hidden | None = None
    over: EndStatus | Literal[""] = ""  # how it has ended, while its verdict may still be disproved
    queued: Queueing | None = None

    def holds_values(self) -> bool:
        """Tell whether values of expressions may be in it, which may be decimals."""
        if self.done or self.sent or self.ballots or self.closing is not None:
            return True
        return any(frame.names is not None or frame.loop is not None for frame in self.frames.values())

    def is_empty(self) -> bool:
        """Tell whether nothing is in it."""
        return not (
            self.frames
            or self.done
            or self.sent
            or self.ballots
            or self.policies
            or self.closing
            or self.watch
            or self.hidden
            or self.queued
        )


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that an execution is between two inputs."""

    cause: Cause
    started_us: int
    env: dict[str, Any]
    parked: tuple[Parked, ...]
    passes: dict[str, int]  # step -> how often it was passed so far
    next_token: int  # of tokens and frames
    rest: Rest | None = None
    used: tuple[bytes, ...] = ()  # keys of the events that it has met, the last ones


def copy_rest(rest: Rest) -> Rest:
    """Copy what an input may change; most of it is empty."""
    copied = Rest(watch=rest.watch, hidden=rest.hidden, over=rest.over, queued=rest.queued)
    if rest.frames:
        copied.frames = {name: _copy_frame(frame) for name, frame in rest.frames.items()}
    if rest.ballots:
        copied.ballots = {token: _copy_ballot(ballot) for token, ballot in rest.ballots.items()}
    if rest.done or rest.sent:
        copied.done, copied.sent = rest.done[:], rest.sent[:]
    if rest.policies:
        copied.policies = rest.policies.copy()
    if rest.closing is not None:
        copied.closing = copy(rest.closing)
        copied.closing.undone = rest.closing.undone[:]
    return copied


def _copy_frame(frame: Frame) -> Frame:
    if frame.names is None and frame.loop is None:
        return Frame(frame.parent, frame.owner, frame.step, frame.open.copy(), frame.arrived)
    loop = frame.loop
    if loop is not None:
        loop = Loop(loop.items, loop.next, dict(loop.results), dict(loop.errors))
    names = None if frame.names is None else dict(frame.names)
    return Frame(frame.parent, frame.owner, frame.step, frame.open.copy(), frame.arrived, names, loop)


def _copy_ballot(ballot: Ballot) -> Ballot:
    return msgspec.structs.replace(ballot, roles=list(ballot.roles), people=list(ballot.people), votes=list(ballot.votes))


def pack(state: State) -> bytes:
    """Write a state as bytes."""
    env = _freeze(state.env)
    rest: Any = state.rest
    if rest is not None and rest.holds_values():
        rest = _freeze(msgspec.to_builtins(rest, builtin_types=(bytes, Decimal)))
    return _VERSION_BYTE + _encoder.encode(
        (state.cause, state.started_us, env, state.parked, state.passes, state.next_token, rest, state.used)
    )


def unpack(data: bytes) -> State:
    """Read a state; raises StateTooNew for bytes of another version."""
    if data[0] != VERSION:
        start = "start the version that wrote it"
        msg = f"an execution's state has version {data[0]}, this Millrace reads {VERSION}; {start}"
        raise StateTooNew(msg)
    return _decoder.decode(memoryview(data)[1:])


def _freeze(value: Any) -> Any:
    """Mark decimals, which msgpack would write as text and read back as text."""
    if isinstance(value, dict):
        if _PLAIN.issuperset(map(type, value.values())):
            return value
        return {key: item if type(item) in _PLAIN else _freeze(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, list | tuple):
        return [_freeze(item) for item in value]
    return value


def _thaw(code: int, data: memoryview) -> Any:
    if code != _DECIMAL:
        msg = f"an execution's state holds an extension of type {code}; this Millrace knows only {_DECIMAL}"
        raise StateTooNew(msg)
    return Decimal(bytes(data).decode())


_VERSION_BYTE: Final = bytes([VERSION])
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State, ext_hook=_thaw)
