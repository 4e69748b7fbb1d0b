"""What an execution wants beyond commands and transitions, and what the world tells it: between the core and a turn."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from schemas.records import Json

WaitKind = Literal["wait", "watch", "retract"]


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A token that an event can meet, found by `key` (ids.wait_key). At one row: `retract` first, then the others.

    With `look_back_us` > 0 the events of that key remembered from `since_us` on are tried first, the latest of them first.
    """

    key: int
    token: int
    event: str
    look_back_us: int = 0
    since_us: int = 0
    kind: WaitKind = "wait"


class MetEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that may meet a wait: `data` is a nested record of those parts that the wait reads (Await.reads)."""

    id: str
    source: str
    time_us: int
    correlationid: str
    data: dict[str, Any]
    key: bytes  # ids.event_key
    hops: int = 0


class Emitted(msgspec.Struct, frozen=True):
    """An event that an execution says. `internal`: one of ours about an approval, not one of the flow's."""

    id: str
    source: str
    type: str
    topic: str
    subject: str | None
    time_us: int
    correlationid: str
    causationid: str
    hops: int
    data: Json
    internal: bool = False
    step: str = ""


class Called(msgspec.Struct, frozen=True):
    """Another flow to be started now; `awaited`: the end of it goes to `child_ended` with this token."""

    flow: str
    version: str
    inputs: Json
    token: int
    step: str
    occurrence: int
    awaited: bool


class Unwanted(msgspec.Struct, frozen=True):
    """A command whose outcome is still open and that need not be carried out any more; `hurry`: that is to be tried now."""

    action: str  # its id
    type: str
    step: str
    hurry: bool = False


class Abandoned(msgspec.Struct, frozen=True):
    """A called flow that is to be cancelled; its end still goes to `child_ended` with this token."""

    token: int
    step: str
    occurrence: int


class Ended(msgspec.Struct, frozen=True):
    """The end of an execution; `code` and `message` say why it failed or was cancelled, or the reason of a stop.

    `step` is where it failed, `undone` what was undone for it: what handlers see as error.step and error.compensated.
    """

    status: Literal["completed", "failed", "cancelled"]
    output: Json = None
    code: str = ""
    message: str = ""
    step: str = ""
    undone: tuple[str, ...] = ()
