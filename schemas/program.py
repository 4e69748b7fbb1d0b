"""A compiled flow: pure data that the engine matches and advances, stored with the executions pinned to it.

`steps` is a flat table; `next` and targets are indices into it, END (-1) ends the token that runs there. Compiling is
deterministic: the same canonical form and contracts give the same bytes.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from schemas.expression.template import Template
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.records import Retry

END: Final = -1
FORMAT: Final = 2
NO_STEP: Final = -1  # no handler, no way


class Measure(msgspec.Struct, frozen=True, array_like=True):
    """One aggregate over a window: `value` is None for count()."""

    name: str
    kind: Literal["count", "sum", "min", "max", "mean", "distinct"]
    value: Tree | None
    type: Type


class Window(msgspec.Struct, frozen=True, tag="window"):
    """Events of one key within a stretch of event time; starts by `when` over `window.<measure>`.

    sliding: the last `size_us` up to each event; tumbling: stretches of `size_us` since 1970 UTC; session: until `size_us` pass
    without an event of the key.
    """

    key: Tree
    kind: Literal["sliding", "tumbling", "session"]
    size_us: int
    measures: tuple[Measure, ...]
    when: Tree | None
    fire: Literal["crossing", "every", "close"] = "crossing"
    lateness_us: int = 0
    retract_us: int = 0


class Correlation(msgspec.Struct, frozen=True, array_like=True):
    """One equality that finds a wait: the event's `key` (as in frames: `payment.invoice_id`, `event.correlationid`) equals
    the value of an expression over the execution (None: its own correlation id).
    """

    key: str
    value: Tree | None


class Await(msgspec.Struct, frozen=True):
    """One event that is waited for: found by its correlation, then asked for its conditions.

    It binds `bind` to a record of those parts of the event that are read: `reads` are ways into it (`("payment", "amount")`,
    `("event", "time")`), each with its type.
    """

    event: str
    correlate: tuple[Correlation, ...]
    bind: str
    condition: Tree | None = None
    reads: tuple[tuple[tuple[str, ...], Type], ...] = ()


class Absence(msgspec.Struct, frozen=True, tag="absence"):
    """Start when the time is over and no such event came. `until` True: `time` is a timestamp, else a duration from the event."""

    of: Await
    time: Tree
    until: bool = False
    lateness_us: int = 0
    retract_us: int = 0


class Sequence(msgspec.Struct, frozen=True, tag="sequence"):
    """Start when the events came one after the other within a time; the trigger's own event is the first, these follow."""

    then: tuple[Await, ...]
    within_us: int
    first: str = ""  # what the first event is bound to
    reads: tuple[tuple[tuple[str, ...], Type], ...] = ()  # of the first event
    lateness_us: int = 0


class EventTrigger(msgspec.Struct, frozen=True, tag="event"):
    """Start for each event of a type that meets the condition (None: always). `name` is its `as`, or empty.

    With a window, an absence or a sequence the event does not start the flow but is taken in by it.
    """

    event: str
    condition: Tree | None = None
    name: str = ""
    detail: Window | Absence | Sequence | None = None


class Schedule(msgspec.Struct, frozen=True, tag="schedule"):
    """Start at each slot of a cron expression in each zone; the slot's identity is (flow, zone, local time, fold)."""

    cron: str
    zones: tuple[str, ...]
    missed: Literal["last", "all", "none"] = "last"
    overlap: Literal["skip", "queue", "cancel", "allow"] = "skip"
    jitter_us: int = 0
    inputs: Template | None = None
    name: str = ""


class Manual(msgspec.Struct, frozen=True, tag="manual"):
    """Start by hand, with inputs; `id` is the idempotency key."""

    roles: tuple[str, ...]
    id: Tree | None = None
    name: str = ""


class Webhook(msgspec.Struct, frozen=True, tag="webhook"):
    """What the door needs to turn a request into an event; the flow itself starts by an EventTrigger on that type."""

    path: str
    event: str
    id: Tree | None = None
    scheme: Literal["hmac-sha256", "none"] = "none"
    header: str = ""
    secret: str = ""  # its name
    tolerance_us: int = 300_000_000
    name: str = ""


class After(msgspec.Struct, frozen=True, tag="after"):
    """Start when flows have ended. With several and `join: all`, when the last of them has ended for one key.

    `outputs` says what each of them gives, as far as it was known when this was compiled.
    """

    flows: tuple[str, ...]
    status: Literal["completed", "failed", "cancelled", "any"] = "completed"
    join: Literal["all", "any"] = "any"
    key: Tree | None = None
    within_us: int = 0
    window: Window | None = None
    condition: Tree | None = None
    name: str = ""
    outputs: tuple[Type, ...] = ()


Trigger = EventTrigger | Schedule | Manual | Webhook | After
OnError = Literal["fail", "continue"]


class Compensation(msgspec.Struct, frozen=True):
    """The command that undoes a step; its parameters are fixed when the step's action completes."""

    action: str
    params: Template
    retry: Retry = Retry()
    not_after_us: int = 7 * 86_400_000_000


class Batch(msgspec.Struct, frozen=True):
    """Many commands of one key in one call."""

    key: Tree
    most: int
    wait_us: int


class AtOnce(msgspec.Struct, frozen=True):
    """How many commands of one key may be on their way at a time, over all executions of the tenant."""

    key: Tree
    most: int


class Act(msgspec.Struct, frozen=True, tag="action"):
    """Issue a command. `awaited`: wait for its result, bind it to `name`, go on then.

    In every step `handler` is the first step of where its errors go (its own `on_error` steps, else those of the enclosing
    block within the same frame), NO_STEP if they leave the frame.
    """

    name: str
    action: str
    params: Template
    next: int
    priority: Literal["high", "normal", "low"] = "normal"
    not_after_us: int = 7 * 86_400_000_000
    retry: Retry = Retry()
    idempotency: Template | None = None
    order_key: Tree | None = None
    on_error: OnError = "fail"
    awaited: bool = False
    timeout_us: int = 0  # of an awaited step
    result: Type | None = None  # what an awaited result must be; None: any
    errors: tuple[str, ...] = ()  # codes of its contract
    on_unknown: Literal["ask", "look_up", "compensate"] = "ask"
    compensate: Compensation | None = None
    batch: Batch | None = None
    concurrency: AtOnce | None = None
    handler: int = NO_STEP


class Delay(msgspec.Struct, frozen=True, tag="delay"):
    """Wait: for a duration (`until` False) or up to a timestamp (True); a time that has passed goes on at once."""

    name: str
    time: Tree
    next: int
    until: bool = False
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Set(msgspec.Struct, frozen=True, tag="set"):
    """Bind names to values."""

    name: str
    values: tuple[tuple[str, Template], ...]
    next: int
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Arm(msgspec.Struct, frozen=True, array_like=True):
    """One arm of a branch."""

    when: Tree
    target: int


class Branch(msgspec.Struct, frozen=True, tag="branch"):
    """Go to the first arm that holds, else to `otherwise`."""

    name: str
    arms: tuple[Arm, ...]
    otherwise: int
    on_error: OnError = "fail"  # of the branching itself; its arms have the handler of the block
    handler: int = NO_STEP


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Start one token an arm, in listed order, in a frame of their own; each arm ends at `join`."""

    name: str
    arms: tuple[tuple[str, int], ...]
    join: int
    on_error: OnError = "fail"  # continue: an arm's error ends the frame and the flow goes on behind the join
    handler: int = NO_STEP


class Join(msgspec.Struct, frozen=True, tag="join"):
    """Go on when `need` of the fork's arms have arrived (all of them by default); the others are torn down then."""

    name: str
    arms: int
    next: int
    need: int = 0  # 0: all
    bind: str = ""  # binds a record {winner} where `need` is 1
    handler: int = NO_STEP


class ForEach(msgspec.Struct, frozen=True, tag="for_each"):
    """Run `body` once an item, each in a frame of its own that binds `each`; each ends at EachEnd `end`."""

    name: str
    items: Tree  # a list
    each: str
    body: int
    end: int
    next: int
    most: int = 0  # more items are the error limit_exceeded; 0: the list is literal
    concurrency: int = 1
    failures: Literal["fail", "collect"] = "fail"
    bind: str = ""  # binds {results, errors}
    on_error: OnError = "fail"
    handler: int = NO_STEP


class EachEnd(msgspec.Struct, frozen=True, tag="each_end"):
    """The end of one item: its result, evaluated in the item's frame."""

    name: str
    result: Template | None = None


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Wait for the next event that fits, or one that came up to `look_back_us` before."""

    name: str
    await_: Await
    timeout: Tree  # a duration
    next: int
    on_timeout: Literal["continue", "fail"] | int = "fail"  # or the first step to go on with
    look_back_us: int = 0
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Deciders(msgspec.Struct, frozen=True):
    """Who may decide: a role, or people by name (data, evaluated when the step is entered)."""

    role: Template | None = None
    people: Template | None = None  # a text or a list of texts


class Approve(msgspec.Struct, frozen=True, tag="approve"):
    """Ask people; binds {outcome, by, at, form}."""

    name: str
    title: Template
    by: Deciders
    timeout: Tree  # a duration
    next: int
    on_timeout: Literal["approved", "rejected", "fail"] = "rejected"
    need: int = 1
    excluded: Template | None = None  # a list of people
    show: Template | None = None
    form: Type | None = None
    remind_us: tuple[int, ...] = ()
    escalate_us: int = 0  # 0: never
    escalate_to: Deciders | None = None
    bind: str = ""
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Emit(msgspec.Struct, frozen=True, tag="emit"):
    """Append an event of ours to its topic."""

    name: str
    event: str
    topic: str
    data: Template
    next: int
    key: Tree | None = None  # the event's subject
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Call(msgspec.Struct, frozen=True, tag="call"):
    """Start another flow, its version locked at deploy; `awaited` binds its output to `name` when it ends."""

    name: str
    flow: str
    version: str
    inputs: Template
    next: int
    awaited: bool = True
    timeout_us: int = 0
    result: Type | None = None
    compensate: Compensation | None = None
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Decide(msgspec.Struct, frozen=True, tag="decide"):
    """Ask a decision table (a policy); binds its outputs, notes its version."""

    name: str
    policy: str
    inputs: Template
    next: int
    bind: str = ""
    on_error: OnError = "fail"
    handler: int = NO_STEP


class Fail(msgspec.Struct, frozen=True, tag="fail"):
    """Fail with a code; what is done is undone."""

    name: str
    code: str
    message: Template | None = None
    handler: int = NO_STEP


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the execution well, with a reason; other tokens end with it. `compensate`: undo first."""

    name: str
    reason: str
    compensate: bool = False


Step = Act | Delay | Set | Branch | Fork | Join | ForEach | EachEnd | Wait | Approve | Emit | Call | Decide | Fail | Stop


class Limit(msgspec.Struct, frozen=True):
    """One limit of a flow; `per_us` 0 means how many may live at once, else how many may start in that time."""

    kind: Literal["concurrency", "rate", "quota"]
    most: int
    key: Tree | None = None  # None: the tenant
    per_us: int = 0
    over: Literal["queue", "drop", "cancel_running"] = "queue"


class Program(msgspec.Struct, frozen=True):
    """One version of one flow, ready to run.

    `reads` are the keys of the trigger event that conditions of branches, delays and templates use, with their types: only
    these travel into an execution. Keys of the envelope are `event.id`, `event.time`, ..., of the data `deal.value`;
    `event.data` is the whole record.
    """

    flow: str
    version: str
    tenants: tuple[str, ...]  # empty: all
    triggers: tuple[Trigger, ...]
    reads: tuple[tuple[str, Type], ...]
    steps: tuple[Step, ...]
    entry: int = 0
    timeout_us: int = 400 * 86_400_000_000
    output: Template | None = None
    on_error: int = NO_STEP  # first of the flow's on_error steps
    on_retract: int = NO_STEP
    limits: tuple[Limit, ...] = ()
    inputs: Type | None = None
    policies: tuple[str, ...] = ()  # names of those that conditions and steps read
    priority: Literal["high", "normal", "low"] | None = None  # None: by what starts it
    format: int = FORMAT


def pack(program: Program) -> bytes:
    """Write a program as bytes."""
    return _encoder.encode(program)


def unpack(data: bytes) -> Program:
    """Read a program; raises msgspec.ValidationError for bytes of another format."""
    return _decoder.decode(data)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Program)
