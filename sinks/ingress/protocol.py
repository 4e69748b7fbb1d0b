"""What is said on `ingress.sock`: msgpack messages in frames, one answer to each request, in order.

An acknowledgement (`Placed`) means: on the disk. No answer means: it may be there or not; send it again, events are known by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.errors import BadRecord
from schemas.ports import Append
from schemas.records import APPEND_BYTES_MAX, Control, encode
from schemas.topics import CONTROL, partition_of

HOLD_PREFIX: Final = "clock/hold/"
SOCKET: Final = "ingress.sock"


class Item(msgspec.Struct, frozen=True, array_like=True):
    """Records for one topic. Without a partition they go to that of the tenant."""

    topic: str
    records: Sequence[bytes]
    tenant: str | None = None
    partition: int | None = None


class AppendItems(msgspec.Struct, frozen=True, tag="append"):
    """Append all items in one transaction, in order."""

    items: list[Item]


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Keep the event clock from jumping until `Release`, or until this connection ends."""

    name: str


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Let the event clock jump again."""

    name: str


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Ask how the server is."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where the records of an item are: from position `base` on."""

    partition: int
    base: int


class Placed(msgspec.Struct, frozen=True, tag="placed"):
    """The records are durable; one place an item."""

    places: list[Place]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Nothing of the request was done."""

    reason: str
    detail: str


class ServerStatus(msgspec.Struct, frozen=True, tag="status"):
    """How the server is; counts since its start."""

    pid: int
    connections: int
    holds: list[str]
    commits: int
    records: int
    record_bytes: int


Request = AppendItems | Hold | Release | Ping
Answer = Placed | Refused | ServerStatus
encoder: Final = msgspec.msgpack.Encoder()
requests: Final = msgspec.msgpack.Decoder(Request)
answers: Final = msgspec.msgpack.Decoder(Answer)


def placed_item(item: Item, partitions: int) -> Append:
    """Give the place of an item. Raises BadRecord for one that must not be appended."""
    for record in item.records:
        if len(record) > APPEND_BYTES_MAX:
            raise BadRecord("too-large", f"{len(record)} bytes for {item.topic}; the most is {APPEND_BYTES_MAX}: split it")
    if not item.topic or not item.topic.isprintable() or len(item.topic) > 249:
        raise BadRecord("bad-topic", f"topic {item.topic[:60]!r}: wanted 1 to 249 printable characters, such as crm.events")
    partition = item.partition
    if item.topic == CONTROL:
        partition = 0
    if partition is None:
        partition = partition_of(item.tenant, partitions)
    if not 0 <= partition < partitions:
        raise BadRecord("bad-partition", f"partition {partition} of {item.topic}: there are {partitions}, from 0")
    return Append(item.topic, partition, item.records)


def hold_record(name: str, *, held: bool, at_us: int) -> Append:
    """Make the control record that holds or releases the event clock."""
    return Append(CONTROL, 0, [encode(Control(key=HOLD_PREFIX + name, value=held or None, at=at_us))])


def checked_name(name: str) -> str:
    """Give the name of a hold back. Raises BadRecord for one that would not make a control key."""
    if not name or "/" in name or not name.isprintable() or len(name) > 100:
        raise BadRecord("bad-name", f"hold name {name[:60]!r}: wanted 1 to 100 printable characters without '/'")
    return name
