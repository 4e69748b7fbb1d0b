"""Messages on a stream: 4 bytes of length (big endian), then so many bytes. Both sockets of a home speak it.

A length above the limit is skipped and reported, so that the stream stays in step; one that no honest peer would send
(HTTP or a TLS greeting read as a length) is garbage, and the connection ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from socket import socket
from typing import Final

from schemas.errors import BadRecord, Retryable

FRAME_BYTES_MAX: Final = 20 << 20  # a record of 16 MiB and what is around it
SKIP_BYTES_MAX: Final = 256 << 20
_LENGTH: Final = struct.Struct(">I")
_READ_BYTES: Final = 1 << 18


@dataclass(slots=True)
class FrameBuffer:
    """Cuts what arrives into frames. State: the bytes of the frame that is not whole yet."""

    most_bytes: int = FRAME_BYTES_MAX
    _data: bytearray = field(default_factory=bytearray)
    _skip: int = 0

    @property
    def size_bytes(self) -> int:
        """Tell how much is held."""
        return len(self._data)

    @property
    def begun(self) -> bool:
        """Tell whether a frame has begun and is not whole yet."""
        return bool(self._data) or bool(self._skip)

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Give each frame that is whole now, None for one that was too long. Raises BadRecord for garbage."""
        self._data += data
        while True:
            if not self._drop_skipped():
                return
            if len(self._data) < _LENGTH.size:
                return
            (length,) = _LENGTH.unpack_from(self._data)
            if length > SKIP_BYTES_MAX:
                raise BadRecord("garbage", f"a frame of {length} bytes, over {self.most_bytes}: another protocol")
            if length > self.most_bytes:
                self._skip = _LENGTH.size + length
                yield None
                continue
            if len(self._data) < _LENGTH.size + length:
                return
            frame = bytes(memoryview(self._data)[_LENGTH.size : _LENGTH.size + length])
            del self._data[: _LENGTH.size + length]
            yield frame

    def _drop_skipped(self) -> bool:
        """Throw away what belongs to a frame that was too long; False while more of it is to come."""
        dropped = min(self._skip, len(self._data))
        del self._data[:dropped]
        self._skip -= dropped
        return not self._skip


def frame(message: bytes) -> bytes:
    """Put the length before a message."""
    return _LENGTH.pack(len(message)) + message


def send_frame(peer: socket, message: bytes) -> None:
    """Send one message. Raises Retryable where the peer has gone."""
    try:
        peer.sendall(frame(message))
    except OSError as error:
        raise Retryable(f"the connection broke while sending ({error}); is `up` still running? send it again") from error


def receive_frame(peer: socket, buffer: FrameBuffer) -> bytes:
    """Wait for the next message, as long as the socket's timeout. Raises Retryable where none comes, BadRecord for garbage."""
    while True:
        try:
            data = peer.recv(_READ_BYTES)
        except TimeoutError as error:
            raise Retryable(f"no answer within {peer.gettimeout()} s; is `up` stopped or very busy? try again") from error
        except OSError as error:
            raise Retryable(f"the connection broke while waiting for the answer ({error}); is `up` still running?") from error
        if not data:
            raise Retryable("the other side closed the connection before it answered; is `up` still running?")
        for message in buffer.feed(data):
            if message is None:
                raise BadRecord("too-large", f"the answer is over {buffer.most_bytes} bytes; ask for less")
            return message
