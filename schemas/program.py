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
FORMAT: Final = 1


class EventTrigger(msgspec.Struct, frozen=True):
    """Start for each event of a type that meets the condition (None: always). `name` is its `as`, or empty."""

    event: str
    condition: Tree | None = None
    name: str = ""


class Act(msgspec.Struct, frozen=True, tag="action"):
    """Issue a command."""

    name: str
    action: str
    params: Template
    next: int
    priority: Literal["high", "normal", "low"] = "normal"
    not_after_us: int = 7 * 86_400_000_000
    retry: Retry = Retry()
    idempotency: Template | None = None
    order_key: Tree | None = None
    on_error: Literal["fail", "continue"] = "fail"


class Delay(msgspec.Struct, frozen=True, tag="delay"):
    """Wait: for a duration (`until` False) or up to a timestamp (True); a time that has passed goes on at once."""

    name: str
    time: Tree
    next: int
    until: bool = False
    on_error: Literal["fail", "continue"] = "fail"


class Set(msgspec.Struct, frozen=True, tag="set"):
    """Bind names to values."""

    name: str
    values: tuple[tuple[str, Template], ...]
    next: int
    on_error: Literal["fail", "continue"] = "fail"


class Arm(msgspec.Struct, frozen=True, array_like=True):
    """One arm of a branch."""

    when: Tree
    target: int


class Branch(msgspec.Struct, frozen=True, tag="branch"):
    """Go to the first arm that holds, else to `otherwise`."""

    name: str
    arms: tuple[Arm, ...]
    otherwise: int
    on_error: Literal["fail", "continue"] = "fail"


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Start one token an arm, in listed order; each arm ends at `join`."""

    name: str
    arms: tuple[tuple[str, int], ...]
    join: int


class Join(msgspec.Struct, frozen=True, tag="join"):
    """Go on when all arms of the fork have arrived."""

    name: str
    arms: int
    next: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the execution well, with a reason; other tokens end with it."""

    name: str
    reason: str


Step = Act | Delay | Set | Branch | Fork | Join | Stop


class Program(msgspec.Struct, frozen=True):
    """One version of one flow, ready to run.

    `reads` are the keys of the trigger event that conditions of branches, delays and templates use, with their types: only
    these travel into an execution. Keys of the envelope are `event.id`, `event.time`, ..., of the data `deal.value`;
    `event.data` is the whole record.
    """

    flow: str
    version: str
    tenants: tuple[str, ...]  # empty: all
    triggers: tuple[EventTrigger, ...]
    reads: tuple[tuple[str, Type], ...]
    steps: tuple[Step, ...]
    entry: int = 0
    timeout_us: int = 400 * 86_400_000_000
    output: Template | None = None
    format: int = FORMAT


def pack(program: Program) -> bytes:
    """Write a program as bytes."""
    return _encoder.encode(program)


def unpack(data: bytes) -> Program:
    """Read a program; raises msgspec.ValidationError for bytes of another format."""
    return _decoder.decode(data)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Program)
