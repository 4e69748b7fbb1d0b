"""The records that Millrace writes on topics, as JSON, each with a leading version (contracts.md sections 7 and 9).

Commands are structured CloudEvents: a downstream service reads them with any CloudEvents library.
Times named `time` are RFC 3339 in UTC; times named `at` or `*_us` are int microseconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

import msgspec

Json = Any  # a JSON value; the one place where records are open
T = TypeVar("T")
Status = Literal["running", "waiting", "closing", "completed", "failed", "cancelled", "watching", "discarded"]
ActionStatus = Literal["pending", "delivered", "failed", "unknown", "cancelled", "dead"]
HOPS_MAX: Final = 64
RECORD_BYTES_MAX: Final = 1 << 20  # decoding sets larger ones aside
APPEND_BYTES_MAX: Final = 16 << 20  # `send` refuses larger ones


class Retry(msgspec.Struct, frozen=True):
    """How often and how far apart a call is tried; full jitter between the waits."""

    attempts: int = 5
    wait_us: int = 1_000_000
    factor: float = 2.0
    most_us: int = 300_000_000
    attempt_timeout_us: int = 30_000_000
    codes: tuple[str, ...] = ("unavailable", "timeout", "rate_limited")  # only these are tried again


class BatchWith(msgspec.Struct, frozen=True):
    """Which commands may travel together: those of one tenant, type and key, at most so many, for so long."""

    key: str
    most: int
    wait_us: int


class AtOnceWith(msgspec.Struct, frozen=True):
    """How many commands of one tenant and key may be on their way at a time."""

    key: str
    most: int


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One command on an action topic. `id` is the idempotency key unless the flow set another."""

    v: int = 1
    specversion: str = "1.0"
    id: str
    source: str  # /flows/<flow>
    type: str
    subject: str  # the execution
    time: str
    tenant: str
    correlationid: str
    causationid: str
    hops: int
    flow: str
    version: str
    step: str
    idempotencykey: str
    priority: Literal["high", "normal", "low"]
    notafter: int  # microseconds of wall time after the commit of this record; then it is not sent any more
    orderkey: str | None = None
    retry: Retry = Retry()
    awaited: bool = False  # the execution waits for the result
    timeout: int = 0  # of an awaited command with all its attempts, microseconds after the commit of this record
    onunknown: Literal["ask", "look_up", "compensate"] = "ask"
    batch: BatchWith | None = None
    concurrency: AtOnceWith | None = None
    undoes: str | None = None  # the id of the command that this one compensates
    secrets: tuple[tuple[tuple[str | int, ...], str], ...] = ()  # where in data a reference to which secret stands
    data: Json  # the parameters


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one command. A dispatcher writes exactly one record with `final` per command, and one more a redrive."""

    v: int = 1
    action: str
    execution: str
    tenant: str
    flow: str
    step: str
    type: str
    connector: str
    status: Literal["delivered", "failed", "unknown", "cancelled", "dead"]
    attempts: int
    at: int  # microseconds; under the event clock the action's own time
    wall: int  # microseconds of wall time
    first: bool = True  # false: the outcome of a redriven command that had one before
    awaited: bool = False  # as in its action: the engine looks for the execution of an awaited one only
    code: str | None = None  # an error code of flow-language section 5
    error: str | None = None
    data: Json = None  # what the receiver answered


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's wish on the topic `cancels`: do not carry a command out, if that is still possible.

    The dispatcher answers with the command's one final result: cancelled where nothing was sent, unknown where an attempt may
    have been carried out, else what came of it. With `hurry` the contrary: what waits for its next attempt is to have it now.
    """

    v: int = 1
    action: str
    execution: str
    tenant: str
    connector: str
    at: int
    hurry: bool = False
    flow: str = ""  # these say what it was, where the command itself could not be read
    step: str = ""
    type: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided, on the topic `decisions`. One that the door has refused is written too, for the audit alone."""

    v: int = 1
    tenant: str
    execution: str  # hex
    step: str
    occurrence: int = 0  # which pass of the step
    outcome: Literal["approved", "rejected", ""]  # empty: it could not be read, of one that the door refused
    by: str
    roles: list[str] = []
    form: Json = None
    at: int
    via: Literal["cli", "http", "link", "test"] = "cli"
    refused: str = ""  # why the door refused it


Origin = tuple[str, str, int, str, int]  # of an execution: event id, source, time in microseconds, correlation id, hops


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as it stood when it came to a step: what caused it, what it had bound (schemas/exact_json.py).

    `used` are keys of events that it had met (hex), `changed` the names that whoever forks it has set to other values.
    """

    cause: Origin
    bound: dict[str, Json]
    used: list[str] = []
    changed: list[str] = []


class OperatorCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator wants of an execution, or the start of a flow by hand, on the topic `commands`.

    cancel: the execution. skip and retry: the step that failed or waits. resume: a step whose outcome is unknown; `outcome` says
    what became of it. migrate: go on in the version that is in force then, if it can. start: `flow` with `inputs`; `id` is the
    idempotency key. fork: another execution of `flow` in `version`, from `step` on, out of what this one had bound there.
    """

    v: int = 1
    command: Literal["cancel", "skip", "retry", "resume", "migrate", "start", "fork"]
    tenant: str
    execution: str = ""  # hex
    flow: str = ""
    step: str = ""
    occurrence: int = 0
    outcome: Literal["", "done", "not_done"] = ""
    inputs: Json = None
    id: str = ""
    version: str = ""
    folded: Folded | None = None
    by: str = ""
    roles: list[str] = []
    at: int


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """An event that came too late for a window, an absence or a sequence, on the topic `late`."""

    v: int = 1
    tenant: str
    flow: str
    event: str  # its CloudEvents id
    time: int
    appended_at: int
    key: str


class Mistyped(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of a minute a flow's trigger read as missing what was there, but of another type than it wants."""

    v: int = 1
    tenant: str
    flow: str
    version: str
    minute: int  # its begin, µs
    events: int


Kind = Literal[
    "started",
    "entered",
    "completed",
    "issued",
    "waiting",
    "stopped",
    "failed",
    "ended",
    "met",
    "timed_out",
    "answered",
    "requested",
    "decided",
    "refused",
    "reminded",
    "escalated",
    "called",
    "emitted",
    "cancelled",
    "closing",
    "retracted",
    "skipped",
    "retried",
    "resumed",
    "migrated",
    "used",
    "forked",
]


class Transition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened to an execution. `step` is empty where the whole execution is meant.

    started · entered, completed (a step; detail says what it gave) · issued (detail: the action's id, and its type) · waiting
    (detail: until, microseconds) · stopped · failed (detail: code and message) · ended (detail: status) · met (detail: the event)
    · timed_out · answered (detail: status and attempts of an awaited action) · requested, decided, refused, reminded, escalated
    (an approval) · called (detail: the flow; `awaited` false where nobody waits for its end) · emitted (detail: the event)
    · cancelled · closing (detail: code)
    · retracted · skipped, retried, resumed, migrated (by an operator) · used (detail: policies and their versions)
    · forked (detail: from which execution and step). The verb `compensation` marks what undoes.
    Tests name them by verb and kind: `approval.decided`, `compensation.completed`.
    """

    at: int
    kind: Kind
    step: str
    verb: str  # action delay until set branch parallel stop for_each wait approval emit call decide fail compensation, or empty
    detail: Json = None


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1, gc=False):
    """What one execution did in one turn, in order. Fields that say the usual are left out of the bytes.

    `bound` are the values that it has had since this turn (schemas/exact_json.py); of the turn in which it started those that
    it took along from its cause, and `cause` too. So a history says all that an execution knew, at each of its steps.
    """

    tenant: str
    execution: str
    flow: str
    version: str
    event: str  # CloudEvents id of the event that started it
    namespace: str = "live"
    status: Status
    waiting_on: str | None = None
    wait_until: int | None = None
    started: int = 0  # when the execution started
    parent: str | None = None  # the execution that called this one
    cause: Origin | None = None
    bound: dict[str, Json] = {}
    transitions: list[Transition]


class Muted(msgspec.Struct, frozen=True):
    """A command that a shadow would have sent. Its id is the one that the execution's own command at that place has."""

    action: str
    step: str
    type: str
    params: Json


class Said(msgspec.Struct, frozen=True):
    """An event that was emitted, or a flow that was called. Its id is the same on both sides for the same step and pass."""

    id: str
    kind: Literal["event", "call"]
    step: str
    type: str  # of the event, or the flow
    about: str | None  # the subject of the event, or the version of the flow
    params: Json


class Shadowed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """What the shadow of an execution did in one turn, on the topic `shadows`; `absent`: it did not start where that one did.

    Without a history it tells what the execution beside it has said, to compare it with.
    """

    beside: str  # the execution that it runs beside, or would, had that one started
    tenant: str = ""  # where there is no history
    history: History | None = None  # in namespace `shadow`
    muted: list[Muted] = []
    said: list[Said] = []
    absent: bool = False


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record or a command that was set aside, with all that is needed to send it again."""

    v: int = 1
    kind: Literal["event", "control", "result", "action", "hops", "poison", "decision", "command", "limit", "after"]
    tenant: str | None
    source: str = ""  # the file (or cluster) of the topic; empty for what stands in none
    topic: str = ""
    partition: int = 0
    position: int = 0
    reason: str  # a short name: malformed-json, wrong-schema, unknown-event, no-tenant, too-large, bad-time, ...
    detail: str
    payload: bytes  # the record's own bytes (base64 in JSON)
    at: int
    id: str = ""  # the action's id where kind is action


class Redrive(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's wish on the commands topic: send a command that was set aside again, with the key it had."""

    v: int = 1
    redrive: str  # the action's id
    tenant: str
    connector: str
    payload: bytes  # the action record (base64 in JSON)
    at: int = 0


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what is deployed. A value of None takes the key away.

    keys: version/<tenant>/<flow>/<hash> · active/<tenant>/<flow> · contract/<event type> · schema/<id> ·
    action/<action type> · connector/<tenant>/<type pattern> · policy/<tenant>/<name>; the tenant `*` means all.
    """

    v: int = 1
    key: str
    value: Json = None
    at: int = 0


def decode(kind: type[T], data: bytes) -> T:
    """Decode a record of one kind; raises msgspec.DecodeError or msgspec.ValidationError."""
    return msgspec.json.decode(data, type=kind)


# Encodes a record as JSON with exact digits; a decimal is a number.
encode: Final[Callable[[msgspec.Struct], bytes]] = msgspec.json.Encoder(decimal_format="number").encode
