"""The demo's records as bytes: Avro frames and JSON lines as producers write them, and what goes wrong with some.

Reads made records and the registered contracts. Emits bytes with the tenant that a sender would know, in the same order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flows.demo.generator import Flaw, Made
from flows.demo.stories import Happening
from schemas.contracts import EventContract
from schemas.events import encode_events, to_json

Contracts = Mapping[str, EventContract]
UNKNOWN_SCHEMA: Final = 999_999
FRAME_BYTES: Final = 5


class Encoded(NamedTuple):
    """One record to append. Without a tenant it goes to partition 0."""

    topic: str
    tenant: str | None
    record: bytes


def encode(records: Sequence[Made], contracts: Contracts) -> list[Encoded]:
    """Write n records, in order."""
    frames = _frames([made for made in records if made.form == "avro"], contracts)
    return [_encoded(made, contracts, frames) for made in records]


def _encoded(made: Made, contracts: Contracts, frames: Mapping[int, bytes]) -> Encoded:
    happening = made.happening
    tenant: str | None = happening.tenant
    if made.flaw is None:
        record = frames[id(made)] if made.form == "avro" else to_json(contracts[happening.type], _event(happening))
    else:
        record = frames[id(made)] if made.form == "avro" else b""
        record = FLAWS[made.flaw](happening, contracts[happening.type], record)
        tenant = None if made.flaw in UNREADABLE else tenant
    return Encoded(happening.topic, tenant, record)


def _frames(records: Sequence[Made], contracts: Contracts) -> dict[int, bytes]:
    """Write Avro frames type by type; give them by the identity of their record."""
    by_type: dict[str, list[Made]] = defaultdict(list)
    for made in records:
        by_type[made.happening.type].append(made)
    frames: dict[int, bytes] = {}
    for event, group in by_type.items():
        written = encode_events(contracts[event], [_event(made.happening) for made in group])
        frames.update(zip(map(id, group), written, strict=True))
    return frames


def _event(happening: Happening, **changes: Any) -> dict[str, Any]:
    event = {
        "id": happening.id,
        "source": happening.source,
        "type": happening.type,
        "subject": happening.subject,
        "time": happening.time_us,
        "tenant": happening.tenant,
        "data": happening.data,
    }
    return {**event, **changes}


def _broken_json(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del frame
    return to_json(contract, _event(happening))[:-7]


def _not_an_object(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del contract, frame
    return f'["{happening.id}"]'.encode()


def _no_tenant(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del frame
    return to_json(contract, _event(happening, tenant=None))


def _unknown_event(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del frame
    return to_json(contract, _event(happening, type="ghost.seen"))


def _not_a_number(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del frame
    return to_json(contract, _event(happening)).replace(b'"data":{', b'"data":{"score":NaN,', 1)


def _before_1970(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del frame
    return to_json(contract, _event(happening, time=-447_000_000_000_000))


def _wrong_type(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del frame
    ((root, body),) = happening.data.items()
    first = next(iter(body))
    return to_json(contract, _event(happening, data={root: {**body, first: [17]}}))


def _avro_truncated(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del happening, contract
    return frame[: len(frame) // 2]


def _avro_unknown_schema(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del happening, contract
    return b"\0" + UNKNOWN_SCHEMA.to_bytes(4, "big") + frame[FRAME_BYTES:]


def _avro_garbage(happening: Happening, contract: EventContract, frame: bytes) -> bytes:
    del happening, contract
    return frame[:FRAME_BYTES] + b"\xff" * 24


UNREADABLE: Final[frozenset[Flaw]] = frozenset({"broken-json", "not-an-object", "no-tenant"})
FLAWS: Final[Mapping[Flaw, Callable[[Happening, EventContract, bytes], bytes]]] = {
    "broken-json": _broken_json,
    "not-an-object": _not_an_object,
    "no-tenant": _no_tenant,
    "unknown-event": _unknown_event,
    "not-a-number": _not_a_number,
    "before-1970": _before_1970,
    "wrong-type": _wrong_type,
    "avro-truncated": _avro_truncated,
    "avro-unknown-schema": _avro_unknown_schema,
    "avro-garbage": _avro_garbage,
}
