"""The demo's receiver: an HTTP server that honours idempotency keys as a good API does, in a process of its own.

Promise: 201 is answered after the command is on the disk (one line a command, fsync before the answer); the same key again
gets 200 and the first answer, and is noted as `again`; the same key with another body gets 422. Now and then, by seed and key,
it is slow or answers 503 or 429, and then it has accepted nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from flows.roles.process import die_with_parent

Fault = Literal["none", "unavailable", "too_many", "slow"]
FILE: Final = "received.jsonl"
BODY_BYTES_MAX: Final = 1 << 20
GROUP_S: Final = 0.002  # what is accepted within this time shares one fsync
SLOW_S: Final = 0.2
STEADY: Final = frozenset({"send_reminder", "hand_to_collector"})  # their flow waits half a minute before a retry: most of a demo
_UNAVAILABLE, _TOO_MANY, _SLOW = 100, 150, 250  # of 10,000 first requests, each added to the one before
_REASONS: Final = {
    200: "OK",
    201: "Created",
    400: "Bad Request",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Unavailable",
}


class Received(msgspec.Struct, frozen=True):
    """One line of the file. `what`: accepted, again (the same key), conflict (the same key, another body) or refused."""

    what: Literal["accepted", "again", "conflict", "refused"]
    key: str
    at: int  # nanoseconds of the machine's monotonic clock
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Head(msgspec.Struct, frozen=True):
    type: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with."""

    status: int
    body: bytes
    retry_after_s: int | None = None

    def encode(self) -> bytes:
        """Write the answer as HTTP/1.1."""
        later = "" if self.retry_after_s is None else f"retry-after: {self.retry_after_s}\r\n"
        head = f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\ncontent-type: application/json\r\n"
        return f"{head}{later}content-length: {len(self.body)}\r\n\r\n".encode() + self.body


def fault_of(seed: int, key: str, request: int) -> Fault:
    """Choose what goes wrong with the n-th request of a key (n from 1): the same for the same seed, whenever it comes."""
    if request > 2:
        return "none"
    draw = int.from_bytes(blake2b(f"{seed}:{key}:{request}".encode(), digest_size=8).digest(), "big") % 10_000
    if draw < _UNAVAILABLE:
        return "unavailable"
    if draw < _TOO_MANY:
        return "too_many"
    return "slow" if draw < _SLOW else "none"


class Recorder:
    """What was accepted, in memory and on the disk."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Open the file of the folder."""
        self._seed = seed
        self._accepted: dict[str, asyncio.Future[Answer]] = {}
        self._bodies: dict[str, bytes] = {}
        self._requests: dict[str, int] = {}
        self._lines: list[bytes] = []
        self._waiting: list[tuple[asyncio.Future[Answer], Answer]] = []
        self._file: BinaryIO = (folder / FILE).open("ab")

    async def take(self, key: str | None, body: bytes) -> Answer:
        """Take one request and give its answer, when it may be given."""
        if not key:
            return Answer(400, b'{"error":"no Idempotency-Key header; send one, so that a retry is not a second command"}')
        if key in self._accepted:
            return await self._again(key, body)
        request = self._requests[key] = self._requests.get(key, 0) + 1
        fault = "none" if _is_steady(body) else fault_of(self._seed, key, request)
        if fault in ("unavailable", "too_many"):
            self._note(Received("refused", key, time.monotonic_ns()))
            return Answer(503, b'{"error":"unavailable"}') if fault == "unavailable" else Answer(429, b'{"error":"slow down"}', 1)
        return await self._accept(key, body, wait_s=SLOW_S if fault == "slow" else 0.0)

    async def _accept(self, key: str, body: bytes, wait_s: float) -> Answer:
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._accepted[key], self._bodies[key] = done, blake2b(body, digest_size=16).digest()
        await asyncio.sleep(wait_s)
        answer = Answer(201, msgspec.json.encode({"receipt": blake2b(key.encode(), digest_size=8).hexdigest()}))
        self._note(Received("accepted", key, time.monotonic_ns(), msgspec.Raw(body)))
        self._waiting.append((done, answer))
        return await asyncio.shield(done)

    async def _again(self, key: str, body: bytes) -> Answer:
        same = self._bodies[key] == blake2b(body, digest_size=16).digest()
        self._note(Received("again" if same else "conflict", key, time.monotonic_ns()))
        first = await asyncio.shield(self._accepted[key])
        return Answer(200, first.body) if same else Answer(422, b'{"error":"this key came with another body before"}')

    def _note(self, line: Received) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(GROUP_S, self.flush)
        self._lines.append(msgspec.json.encode(line) + b"\n")

    def flush(self) -> None:
        """Write what was noted, sync it, and let the answers go that waited for it."""
        self._file.write(b"".join(self._lines))
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._lines.clear()
        waiting, self._waiting = self._waiting, []
        for done, answer in waiting:
            done.set_result(answer)

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        self._file.close()


async def serve(recorder: Recorder, port: int, stop: asyncio.Event) -> None:
    """Listen on 127.0.0.1 (port 0: any free one), print the port, and answer until `stop` is set."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                key, body = await _request(reader)
                writer.write((await recorder.take(key, body)).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


def _is_steady(body: bytes) -> bool:
    """Tell whether a command is of a type that never meets a fault."""
    try:
        return _heads.decode(body).type in STEADY
    except msgspec.DecodeError:
        return False


async def _request(reader: asyncio.StreamReader) -> tuple[str | None, bytes]:
    """Read one request; ValueError where it is none that we take."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    size = int(headers.get("content-length", "0"))
    if not 0 <= size <= BODY_BYTES_MAX:
        raise ValueError(f"a body of {size} bytes")
    return headers.get("idempotency-key"), await reader.readexactly(size)


async def _run(folder: Path, seed: int, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    recorder = Recorder(folder, seed)
    await serve(recorder, port, stop)
    recorder.close()


def main() -> None:
    """Run the recorder; the first line on stdout is its port."""
    parser = argparse.ArgumentParser(description="Accept commands, each once.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    die_with_parent()
    asyncio.run(_run(given.folder, given.seed, given.port))


_heads = msgspec.json.Decoder(_Head)


if __name__ == "__main__":
    main()
