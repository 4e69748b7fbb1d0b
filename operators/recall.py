"""Events that a wait may look back to: what of a turn is kept for later, and what came before a wait was opened.

Reads: the turn's events under wait keys that look back, and those the store kept. Emits: records to keep; events, the latest
first. State: none. Cost: one encoding an event kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from operators.pending import Batch, Pending
from schemas.effects import MetEvent, Waiting
from schemas.ports import Remembered

_DECIMAL: Final = 1


def remember(batch: Batch) -> list[Remembered]:
    """Give what is kept of a turn."""
    kept: list[Remembered] = []
    for arrived in batch.arrivals.all if batch.last else ():  # parts of a turn look back into all of its rows
        if not arrived.look_back:
            continue
        for at, keys in enumerate(arrived.keys):
            wanted = [key for key in keys if key in arrived.look_back]
            if wanted:
                event = pack_event(arrived.event(at))
                kept.extend(Remembered(key, arrived.nows[at], batch.first_row + arrived.rows[at], event) for key in wanted)
    return kept


def remembered(pending: Pending, waiting: Waiting) -> Iterator[MetEvent]:
    """Give the events that came before a wait was opened, since its time, the latest first."""
    for row, arrived, at in reversed(pending.batch.arrivals.of(waiting.key)):
        if row < pending.reach and arrived.nows[at] >= waiting.since_us:
            yield arrived.event(at)
    for one in pending.reads.world.remembered(waiting.key, waiting.since_us):
        yield unpack_event(one.event)


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
