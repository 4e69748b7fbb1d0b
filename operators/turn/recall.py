"""Events that a wait may look back to: what of a turn is kept for later, and what came before a wait was opened.

Reads: the turn's events under wait keys that look back, and those the store kept. Emits: records to keep; events, the latest
first. State: none. Cost: one encoding an event kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from operators.turn.incoming import Arrived
from operators.turn.pending import Pending
from schemas.effects import MetEvent, Waiting
from schemas.ports import Remembered

_DECIMAL: Final = 1
EARLIER: Final = -1  # the row of an event of an earlier turn


def remember(pending: Pending) -> list[Remembered]:
    """Give what is kept of a turn, or of a part of it."""
    kept: list[Remembered] = []
    for arrived in pending.batch.arrivals.all:
        if arrived.look_back:
            kept.extend(_kept(pending, arrived))
    return kept


def _kept(pending: Pending, arrived: Arrived) -> Iterator[Remembered]:
    batch = pending.batch
    for at, row in enumerate(() if batch.halfway else arrived.rows):
        wanted = [key for key in arrived.keys[at] if key in arrived.look_back] if batch.start <= row < batch.end else ()
        if wanted and is_new(pending, arrived.events[at], row):
            event = pack_event(arrived.event(at))
            yield from (Remembered(key, arrived.nows[at], batch.first_row + row, event) for key in wanted)


def remembered(pending: Pending, waiting: Waiting) -> Iterator[tuple[int, MetEvent]]:
    """Give (row, event) of what came before a wait was opened, since its time, the latest first."""
    batch = pending.batch
    for row, arrived, at in reversed(batch.arrivals.between(waiting.key, batch.start, min(batch.end, pending.reach))):
        if arrived.nows[at] >= waiting.since_us and is_new(pending, arrived.events[at], row):
            yield row, arrived.event(at)
    for one in pending.reads.world.remembered(waiting.key, waiting.since_us):
        yield EARLIER, unpack_event(one.event)


def is_new(pending: Pending, key: bytes, row: int) -> bool:
    """Tell whether an event has had no effect at an earlier place: else this is a duplicate."""
    return key not in pending.reads.seen and pending.seen_now.get(key, row) == row


def pack_event(event: MetEvent) -> bytes:
    """Write an event as bytes."""
    return _encoder.encode(msgspec.structs.replace(event, data=_freeze(event.data)))


def unpack_event(data: bytes) -> MetEvent:
    """Read an event."""
    return _decoder.decode(data)


def _freeze(value: Any) -> Any:
    """Mark decimals, which msgpack would write as text."""
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_freeze(item) for item in value]
    return value


def _thaw(_: int, data: memoryview) -> Any:
    return Decimal(bytes(data).decode())


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(MetEvent, ext_hook=_thaw)
