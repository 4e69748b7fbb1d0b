"""The state of an execution between turns, and its bytes.

State: the values it read from its trigger event and bound since, its parked tokens, and counters. The first byte of the
stored form is its version; a change of layout carries a line in schemas/CHANGES.md and an upgrade test.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

import msgspec

from schemas.errors import StateTooNew

VERSION: Final = 1
_DECIMAL: Final = 1
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class Cause(msgspec.Struct, frozen=True, array_like=True):
    """The event that started an execution, as far as its commands and history name it."""

    event: str
    source: str
    time_us: int
    correlationid: str
    hops: int


ParkedKind = Literal["delay", "deadline", "result", "notice"]


class Parked(NamedTuple):
    """A token that waits: at which step, and until when (its timer's due time).

    delay, notice (a reminder or an escalation of an approval, with a token of its own): timers. deadline: a deadline. result:
    the deadline of an awaited result, which is not set at all under the event clock.
    """

    token: int
    step: int
    due_us: int
    kind: ParkedKind = "delay"


class State(msgspec.Struct, frozen=True, array_like=True):
    """All that an execution is between two turns."""

    cause: Cause
    started_us: int
    env: dict[str, Any]
    parked: tuple[Parked, ...]
    arrived: dict[int, int]  # join step -> arms that have come
    passes: dict[str, int]  # step -> commands issued by it so far
    next_token: int


def pack(state: State) -> bytes:
    """Write a state as bytes."""
    env = {key: value if type(value) in _PLAIN else _freeze(value) for key, value in state.env.items()}
    return _VERSION_BYTE + _encoder.encode(
        (state.cause, state.started_us, env, state.parked, state.arrived, state.passes, state.next_token)
    )


def unpack(data: bytes) -> State:
    """Read a state; raises StateTooNew for bytes of a later version."""
    if data[0] != VERSION:
        msg = f"an execution's state has version {data[0]}, this Millrace reads {VERSION}; start the version that wrote it"
        raise StateTooNew(msg)
    return _decoder.decode(memoryview(data)[1:])


def _freeze(value: Any) -> Any:
    """Mark decimals, which msgpack would write as text and read back as text."""
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
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
