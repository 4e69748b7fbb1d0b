"""HTTP/1.1 to many receivers at once on one thread: sockets that do not block, parsed by h11, as httpx does.

Promise: every request submitted ends in one call of its `done`, within its time. Until the first byte has gone out an attempt
was surely not carried out; after it, nobody knows but the receiver.
State: at most CONNECTIONS connections, kept alive when idle. Cost: 0.15 ms of CPU a request (httpx.Client 0.7-1.2 ms, its
connections on 16 threads 0.5-0.9 ms, as threads fight for the interpreter: measured).
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import h11

from schemas.dispatch import Outcome
from sinks.connectors.http_answers import ANSWER_BYTES_MAX, HttpAnswer, HttpRequest, judge, not_sent, unanswered

CONNECTIONS: Final = 256
AN_ORIGIN: Final = 32
NEW_AN_ORIGIN: Final = 4  # without an answer yet: many servers queue five connections, and lose more for a second
IDLE_S: Final = 30.0
CONNECT_S: Final = 10.0
LOOK_S: Final = 0.05  # how late a timeout may be noticed
RESOLVERS: Final = 4
_READ_BYTES: Final = 1 << 16
_WAIT_READ: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)
Done = Callable[[Outcome], None]
Origin = tuple[str, str, int]
Address = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class _Exchange:
    """One request on its way."""

    request: HttpRequest
    done: Done
    deadline_s: float = 0.0  # set when it is sent; waiting for a connection costs it nothing
    begun: bool = False  # bytes have gone out
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    parts: list[bytes] | None = field(default_factory=list)
    size: int = 0


@dataclass(slots=True, eq=False)
class _Connection:
    """One connection: being made, in use, or idle (`exchange` None)."""

    origin: Origin
    exchange: _Exchange | None
    addresses: list[Address] = field(default_factory=list)
    socket: socket.socket | None = None
    protocol: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    step: Callable[[_Connection], None] | None = None  # what to do when the socket is ready
    outbox: memoryview = field(default_factory=lambda: memoryview(b""))
    connect_by_s: float = 0.0
    idle_since_s: float = 0.0
    new: bool = True  # no answer has come over it yet


class Wire:
    """Carries requests on a thread of its own."""

    def __init__(self, tls: ssl.SSLContext, name: str) -> None:
        self._tls = tls
        self._selector = selectors.DefaultSelector()
        self._submitted: deque[tuple[HttpRequest, Done]] = deque()
        self._resolved: deque[tuple[_Connection, Future[list[Address]]]] = deque()
        self._waiting: dict[Origin, deque[_Exchange]] = {}
        self._hungry: set[Origin] = set()  # origins whose waiting requests may go on
        self._idle: dict[Origin, list[_Connection]] = {}
        self._count: Counter[Origin] = Counter()
        self._new: Counter[Origin] = Counter()
        self._all: set[_Connection] = set()
        self._stopping = False
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix=f"{name}-resolve")
        self._thread = threading.Thread(target=self._run, name=f"{name}-wire", daemon=True)
        self._thread.start()

    def submit(self, request: HttpRequest, done: Done) -> None:
        """Send a request; `done` is called on the wire's thread."""
        self._submitted.append((request, done))
        self._ring()

    def close(self) -> None:
        """Wait for what is on its way, then end the connections."""
        self._stopping = True
        self._ring()
        self._thread.join()
        self._resolvers.shutdown()
        self._bell.close()
        self._ear.close()
        self._selector.close()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._bell.send(b"!")

    def _run(self) -> None:
        looked_s = 0.0
        while not (self._stopping and not self._busy()):
            for key, _ in self._selector.select(LOOK_S):
                if key.fileobj is self._ear:
                    self._ear.recv(4096)
                elif key.data in self._all:
                    self._go_on(key.data)
            self._take_in()
            now_s = time.monotonic()
            if now_s - looked_s >= LOOK_S:
                looked_s = now_s
                self._end_late(now_s)
        for connection in list(self._all):
            self._drop(connection)

    def _busy(self) -> bool:
        waits = any(self._waiting.values()) or bool(self._submitted) or bool(self._resolved)
        return waits or any(connection.exchange for connection in self._all)

    def _take_in(self) -> None:
        """Take in what other threads have left: requests and addresses."""
        while self._submitted:
            request, done = self._submitted.popleft()
            exchange = _Exchange(request, done)
            self._waiting.setdefault(request.origin, deque()).append(exchange)
            self._hungry.add(request.origin)
        while self._resolved:
            connection, found = self._resolved.popleft()
            if connection in self._all:
                self._have_addresses(connection, found)
        while self._hungry:
            self._serve(self._hungry.pop())

    def _serve(self, origin: Origin) -> None:
        """Put requests that wait on connections: idle ones, or new ones while there may be more."""
        waiting = self._waiting.get(origin)
        while waiting:
            idle = self._idle.get(origin)
            if idle:
                self._send(idle.pop(), waiting.popleft())
            elif self._may_open(origin):
                self._open(waiting.popleft())
            else:
                return
        self._waiting.pop(origin, None)

    def _may_open(self, origin: Origin) -> bool:
        if self._count[origin] >= AN_ORIGIN or self._new[origin] >= NEW_AN_ORIGIN:
            return False
        if len(self._all) >= CONNECTIONS:
            spare = min((c for idle in self._idle.values() for c in idle), key=lambda c: c.idle_since_s, default=None)
            if spare is None:
                return False
            self._drop(spare)
        return True

    def _open(self, exchange: _Exchange) -> None:
        connect_by_s = time.monotonic() + min(CONNECT_S, exchange.request.timeout_s)
        connection = _Connection(exchange.request.origin, exchange, connect_by_s=connect_by_s)
        self._all.add(connection)
        self._count[connection.origin] += 1
        self._new[connection.origin] += 1
        _, host, port = connection.origin
        future = self._resolvers.submit(_resolve, host, port)
        future.add_done_callback(lambda found: self._came_back(connection, found))

    def _came_back(self, connection: _Connection, found: Future[list[Address]]) -> None:
        self._resolved.append((connection, found))
        self._ring()

    def _have_addresses(self, connection: _Connection, found: Future[list[Address]]) -> None:
        failure = found.exception()
        if failure is not None:
            self._fail(connection, str(failure))
            return
        connection.addresses = found.result()
        self._connect(connection, "no address")

    def _connect(self, connection: _Connection, why: str) -> None:
        """Try the next address; where none is left the request was not sent."""
        self._forget_socket(connection)
        if not connection.addresses:
            self._fail(connection, why)
            return
        family, kind, proto, _, address = connection.addresses.pop(0)
        try:
            connection.socket = socket.socket(family, kind, proto)
            connection.socket.setblocking(False)
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.socket.connect_ex(address)
        except OSError as error:
            self._connect(connection, str(error))
            return
        connection.step = self._connected
        self._selector.register(connection.socket, selectors.EVENT_WRITE, connection)

    def _connected(self, connection: _Connection) -> None:
        assert connection.socket is not None
        code = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._connect(connection, os.strerror(code))
            return
        if connection.origin[0] == "https":
            self._selector.unregister(connection.socket)
            plain = connection.socket
            host = connection.origin[1]
            connection.socket = self._tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            self._selector.register(connection.socket, selectors.EVENT_WRITE, connection)
            connection.step = self._shake_hands
            self._shake_hands(connection)
            return
        self._ready(connection)

    def _shake_hands(self, connection: _Connection) -> None:
        assert isinstance(connection.socket, ssl.SSLSocket)
        try:
            connection.socket.do_handshake()
        except ssl.SSLWantReadError:
            self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
        except ssl.SSLWantWriteError:
            self._selector.modify(connection.socket, selectors.EVENT_WRITE, connection)
        else:
            self._ready(connection)

    def _ready(self, connection: _Connection) -> None:
        exchange, connection.exchange = connection.exchange, None
        assert exchange is not None
        connection.addresses = []
        self._send(connection, exchange)

    def _send(self, connection: _Connection, exchange: _Exchange) -> None:
        """Begin an exchange on a connection that is made."""
        request = exchange.request
        connection.exchange = exchange
        exchange.deadline_s = time.monotonic() + request.timeout_s
        try:
            head = h11.Request(method=request.method, target=request.target, headers=list(request.headers))
            parts = [connection.protocol.send(event) for event in (head, h11.Data(data=request.body), h11.EndOfMessage())]
        except h11.LocalProtocolError as error:
            outcome = Outcome("failed", code="rejected", error=f"not HTTP: {error}; correct the rule's headers")
            self._end(connection, outcome, keep=False)
            return
        connection.outbox = memoryview(b"".join(part or b"" for part in parts))
        connection.step = self._write
        self._go_on(connection)

    def _write(self, connection: _Connection) -> None:
        assert connection.socket is not None
        assert connection.exchange is not None
        connection.exchange.begun = True
        try:
            while connection.outbox:
                connection.outbox = connection.outbox[connection.socket.send(connection.outbox) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._selector.modify(connection.socket, selectors.EVENT_WRITE | selectors.EVENT_READ, connection)
            return
        connection.step = self._read
        self._selector.modify(connection.socket, selectors.EVENT_READ, connection)

    def _read(self, connection: _Connection) -> None:
        """Read what has come; an idle connection that becomes readable was closed by the receiver."""
        assert connection.socket is not None
        while connection in self._all and connection.step == self._read:
            try:
                data = connection.socket.recv(_READ_BYTES)
            except _WAIT_READ:
                return
            if connection.exchange is None:
                self._drop(connection)
                return
            connection.protocol.receive_data(data)
            self._take_events(connection, connection.exchange)
            if not isinstance(connection.socket, ssl.SSLSocket):
                return

    def _take_events(self, connection: _Connection, exchange: _Exchange) -> None:
        while True:
            event = connection.protocol.next_event()
            if isinstance(event, h11.Response):
                exchange.status = event.status_code
                exchange.headers = dict(event.headers)
            elif isinstance(event, h11.Data):
                if not _keep(exchange, bytes(event.data)):
                    self._answered(connection, exchange, keep=False)
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._answered(connection, exchange, keep=True)
                return
            elif isinstance(event, h11.ConnectionClosed):
                self._fail(connection, "closed the connection before it answered")
                return
            elif event in (h11.NEED_DATA, h11.PAUSED):
                return

    def _answered(self, connection: _Connection, exchange: _Exchange, *, keep: bool) -> None:
        body = None if exchange.parts is None else b"".join(exchange.parts)
        self._end(connection, judge(exchange.request, HttpAnswer(exchange.status, exchange.headers, body)), keep=keep)

    def _go_on(self, connection: _Connection) -> None:
        """Do what is next on a connection; every error ends its exchange."""
        assert connection.step is not None
        try:
            connection.step(connection)
        except (OSError, h11.RemoteProtocolError) as error:
            if connection.exchange is not None and not connection.exchange.begun and connection.addresses:
                self._connect(connection, str(error))
                return
            self._fail(connection, f"broke off: {error}")

    def _fail(self, connection: _Connection, why: str) -> None:
        exchange = connection.exchange
        if exchange is None:
            self._drop(connection)
            return
        request = exchange.request
        outcome = unanswered(request, "unavailable", why) if exchange.begun else not_sent(request, why)
        self._end(connection, outcome, keep=False)

    def _end(self, connection: _Connection, outcome: Outcome, *, keep: bool) -> None:
        """Tell how an exchange ended, and keep the connection for the next where that may be."""
        exchange, connection.exchange = connection.exchange, None
        assert exchange is not None
        done = (connection.protocol.our_state, connection.protocol.their_state) == (h11.DONE, h11.DONE)
        self._grown(connection)
        if keep and done and connection.socket is not None:
            connection.protocol.start_next_cycle()
            connection.idle_since_s = time.monotonic()
            self._idle.setdefault(connection.origin, []).append(connection)
        else:
            self._drop(connection)
        exchange.done(outcome)
        self._hungry.update((connection.origin,) if len(self._all) < CONNECTIONS - 1 else self._waiting)

    def _end_late(self, now_s: float) -> None:
        """End what has had its time: exchanges, connection attempts, idle connections."""
        for connection in list(self._all):
            if connection.exchange is not None:
                self._end_late_exchange(connection, connection.exchange, now_s)
            elif now_s - connection.idle_since_s > IDLE_S:
                self._drop(connection)

    def _end_late_exchange(self, connection: _Connection, exchange: _Exchange, now_s: float) -> None:
        if exchange.begun and now_s > exchange.deadline_s:
            why = f"did not answer within {exchange.request.timeout_s:g} s"
            self._end(connection, unanswered(exchange.request, "timeout", why), keep=False)
        elif not exchange.begun and now_s > connection.connect_by_s:
            self._end(connection, not_sent(exchange.request, "no connection within its time"), keep=False)

    def _drop(self, connection: _Connection) -> None:
        if connection not in self._all:
            return
        self._all.remove(connection)
        self._grown(connection)
        self._count[connection.origin] -= 1
        if not self._count[connection.origin]:
            del self._count[connection.origin], self._new[connection.origin]
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)
        self._forget_socket(connection)

    def _grown(self, connection: _Connection) -> None:
        """Count a connection as new no longer: it has had its first answer, or its end."""
        self._new[connection.origin] -= connection.new
        connection.new = False

    def _forget_socket(self, connection: _Connection) -> None:
        if connection.socket is not None:
            self._selector.unregister(connection.socket)
            connection.socket.close()
            connection.socket = None


def _resolve(host: str, port: int) -> list[Address]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _keep(exchange: _Exchange, data: bytes) -> bool:
    """Keep a part of an answer; False once there is more than is kept."""
    exchange.size += len(data)
    if exchange.size > ANSWER_BYTES_MAX or exchange.parts is None:
        exchange.parts = None
        return False
    exchange.parts.append(data)
    return True
