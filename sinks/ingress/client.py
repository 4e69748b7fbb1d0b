"""How records get into ingress.db: through the server where one runs, else by taking the file's lock and writing.

Promise: `append` returns when all items are on the disk. A connection that breaks raises Retryable: the last request may be
there or not; whoever sends it again relies on the engine, which knows events by (tenant, source, id).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

from schemas.errors import BadRecord, HomeLocked, InvalidInput
from schemas.ports import Clock, LogWriter
from sinks.frames import FrameBuffer, receive_frame, send_frame
from sinks.ingress.protocol import (
    SOCKET,
    Answer,
    AppendItems,
    Hold,
    Item,
    Ping,
    Place,
    Placed,
    Refused,
    Release,
    Request,
    ServerStatus,
    answers,
    checked_name,
    encoder,
    hold_record,
    placed_item,
)
from sinks.unix_socket import dial

T = TypeVar("T")
ANSWER_S: Final = 60.0
REQUEST_BYTES: Final = 4 << 20  # what goes into one request, unless a single record is larger
CONNECT_US: Final = 10_000_000  # a server that starts holds the file's lock before it listens
CONNECT_PAUSE_US: Final = 20_000


class PartitionedWriter(LogWriter, Protocol):
    """A LogWriter that knows how many partitions a topic has."""

    partitions: int


class Ingress(Protocol):
    """A way into ingress.db."""

    def append(self, items: Sequence[Item]) -> list[Place]:
        """Append durably, in order; give the first place of each item. Raises InvalidInput for what is refused."""
        ...

    def hold(self, name: str) -> None:
        """Keep the event clock from jumping."""
        ...

    def release(self, name: str) -> None:
        """Let the event clock jump again."""
        ...

    def close(self) -> None:
        """Let go, also of holds."""
        ...


class SocketIngress:
    """Speaks with the server over one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = FrameBuffer()

    def append(self, items: Sequence[Item]) -> list[Place]:
        """Append durably, in order; large calls are sent in parts, each of them one transaction."""
        places: list[Place | None] = [None] * len(items)
        for part, owners in _parts(items):
            answer = self._ask(AppendItems(part))
            assert isinstance(answer, Placed)
            for owner, place in zip(owners, answer.places, strict=True):
                places[owner] = places[owner] or place
        return [place or Place(0, 0) for place in places]

    def hold(self, name: str) -> None:
        """Keep the event clock from jumping until `release`, `close`, or the end of this process."""
        self._ask(Hold(name))

    def release(self, name: str) -> None:
        """Let the event clock jump again."""
        self._ask(Release(name))

    def status(self) -> ServerStatus:
        """Ask how the server is."""
        answer = self._ask(Ping())
        assert isinstance(answer, ServerStatus)
        return answer

    def close(self) -> None:
        """End the connection, and with it the holds."""
        self._socket.close()

    def _ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer. Raises InvalidInput where it is refused, Retryable where none comes."""
        send_frame(self._socket, encoder.encode(request))
        answer: Answer = answers.decode(receive_frame(self._socket, self._buffer))
        if isinstance(answer, Refused):
            raise InvalidInput(f"refused ({answer.reason}): {answer.detail}")
        return answer


class FileIngress:
    """Writes ingress.db itself; no server runs, and none can start meanwhile."""

    def __init__(self, writer: PartitionedWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._holds: list[str] = []

    def append(self, items: Sequence[Item]) -> list[Place]:
        """Append durably, in order, in one transaction."""
        appends = _checked(lambda: [placed_item(item, self._writer.partitions) for item in items])
        bases = self._writer.append(appends, self._clock.now_us())
        return [Place(item.partition, base) for item, base in zip(appends, bases, strict=True)]

    def hold(self, name: str) -> None:
        """Keep the event clock from jumping until `release` or `close`; after a crash, until a server starts."""
        now_us = self._clock.now_us()
        self._writer.append([hold_record(_checked(lambda: checked_name(name)), held=True, at_us=now_us)], now_us)
        self._holds.append(name)

    def release(self, name: str) -> None:
        """Let the event clock jump again."""
        now_us = self._clock.now_us()
        self._holds.remove(name)
        self._writer.append([hold_record(name, held=False, at_us=now_us)], now_us)

    def close(self) -> None:
        """Release what is held and let go of the file."""
        for name in list(self._holds):
            self.release(name)
        self._writer.close()


def connect(home: Path, open_writer: Callable[[], PartitionedWriter], clock: Clock) -> Ingress:
    """Connect to the server of a home, or take the file's lock where none runs.

    Raises HomeLocked where another process writes the file and does not answer within 10 s.
    """
    give_up_us = clock.now_us() + CONNECT_US
    while True:
        connection = dial(home / SOCKET, ANSWER_S)
        if connection is not None:
            return SocketIngress(connection)
        try:
            return FileIngress(open_writer(), clock)
        except HomeLocked:
            if clock.now_us() >= give_up_us:
                raise
            clock.sleep_us(CONNECT_PAUSE_US)


@contextmanager
def held(ingress: Ingress, name: str) -> Iterator[None]:
    """Hold the event clock while the body runs."""
    ingress.hold(name)
    try:
        yield
    finally:
        ingress.release(name)


def _parts(items: Sequence[Item]) -> Iterator[tuple[list[Item], list[int]]]:
    """Cut items into requests of about REQUEST_BYTES, with the index of the item that each part is of."""
    part: list[Item] = []
    owners: list[int] = []
    size = 0
    for owner, item in enumerate(items):
        start = 0  # of the part of this item that goes into the next request
        for at, record in enumerate(item.records):
            if size and size + len(record) > REQUEST_BYTES:
                if at > start:
                    part.append(Item(item.topic, item.records[start:at], item.tenant, item.partition))
                    owners.append(owner)
                yield part, owners
                part, owners, size, start = [], [], 0, at
            size += len(record)
        part.append(Item(item.topic, item.records[start:], item.tenant, item.partition))
        owners.append(owner)
    if part:
        yield part, owners


def _checked(check: Callable[[], T]) -> T:
    """Run a check of what a person sent. Raises InvalidInput."""
    try:
        return check()
    except BadRecord as error:
        raise InvalidInput(f"refused ({error.reason}): {error.detail}") from error
