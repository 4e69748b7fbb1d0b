"""HTTP/1.1 on one connection, parsed by h11: whole requests in, answers out, one after the other.

Promise: an answer that grants something goes out only after what it grants is on the disk. A head or a body that is too large, or
not HTTP, is answered as such and the connection ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import h11
import msgspec

from schemas.ports import Append
from schemas.records import Json
from sinks.ingress.rounds import Line, Round

HEAD_BYTES_MAX: Final = 16 << 10
BODY_BYTES_MAX: Final = (1 << 20) - (16 << 10)  # a record of 1 MiB less what is put around the body
RESTS_US: Final = 60_000_000
HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HttpAsk:
    """One whole request; names of headers in lower case, the path decoded, without its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; a text is HTML, everything else JSON."""

    status: int
    body: Json
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """What is appended, and what is answered when that is on the disk."""

    appends: Sequence[Append]
    reply: Reply


class Answerer(Protocol):
    """Decides about requests."""

    def answer(self, ask: HttpAsk) -> Reply | Granted:
        """Give the answer to a request, or what must be appended before it."""
        ...

    def refused(self, status: int) -> None:
        """Count a request that was refused before it was whole."""
        ...


@dataclass(slots=True)
class _Request:
    head: h11.Request
    parts: list[bytes] = field(default_factory=list)
    size: int = 0


class HttpSpeaker:
    """One HTTP client."""

    rests_us = RESTS_US
    dispensable = True

    def __init__(self, line: Line, answerer: Answerer) -> None:
        """Speak on a line."""
        self._line = line
        self._answerer = answerer
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._request: _Request | None = None
        self._answering = False

    @property
    def held_bytes(self) -> int:
        """Tell how much is held of a request that is not whole yet."""
        return self._request.size if self._request else 0

    @property
    def begun(self) -> bool:
        """Tell whether a request has begun and is not whole yet."""
        return not self._answering and (self._request is not None or bool(self._protocol.trailing_data[0]))

    def receive(self, data: bytes, this_round: Round) -> None:
        """Take bytes in; put a whole request into the round."""
        self._protocol.receive_data(data)
        self._go_on(this_round)

    def late(self) -> None:
        """Say that the request did not come in time."""
        if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._end(Reply(408, problem("late", "the request did not come whole in time; send it again")))

    def gone(self, this_round: Round) -> None:
        """Nothing is held."""

    def _go_on(self, this_round: Round) -> None:
        """Take what has come, up to the end of a request."""
        while not self._answering and not self._line.ending:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint
                self._end(Reply(status, problem("malformed", f"{error}; wanted HTTP/1.1")))
                return
            if not self._take(event, this_round):
                return

    def _take(self, event: object, this_round: Round) -> bool:
        """Take one event; False where nothing more can be done now."""
        if isinstance(event, h11.Request):
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._grow(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            self._ask(this_round)
        elif isinstance(event, h11.ConnectionClosed):
            self._line.ending = True
        else:
            return False
        return True

    def _begin(self, head: h11.Request) -> None:
        self._request = _Request(head)
        length = dict(head.headers).get(b"content-length", b"0")
        if length.isdigit() and int(length) > BODY_BYTES_MAX:
            self._too_large()
        elif self._protocol.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))

    def _grow(self, data: bytes) -> None:
        if self._request is None:
            return
        self._request.parts.append(data)
        self._request.size += len(data)
        if self._request.size > BODY_BYTES_MAX:
            self._too_large()

    def _too_large(self) -> None:
        self._end(Reply(413, problem("too-large", f"the body is over {BODY_BYTES_MAX} bytes; send less at once")))

    def _ask(self, this_round: Round) -> None:
        request, self._request = self._request, None
        assert request is not None
        answer = self._answerer.answer(_ask_of(request))
        self._answering = True
        appends, reply = (answer.appends, answer.reply) if isinstance(answer, Granted) else ((), answer)
        this_round.take(appends, lambda _: self._answer(reply))

    def _answer(self, reply: Reply) -> None:
        """Answer; then the next request may come. One that was sent ahead of this answer is not read: the connection ends."""
        ahead = bool(self._protocol.trailing_data[0])
        self._respond(Reply(reply.status, reply.body, (*reply.headers, ("Connection", "close"))) if ahead else reply)
        self._answering = False
        if ahead or self._protocol.our_state is not h11.DONE:
            self._line.ending = True
        else:
            self._protocol.start_next_cycle()

    def _end(self, reply: Reply) -> None:
        """Answer, and end the connection."""
        self._answerer.refused(reply.status)
        if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._respond(Reply(reply.status, reply.body, (("Connection", "close"),)))
        self._request = None
        self._line.ending = True

    def _respond(self, reply: Reply) -> None:
        text = isinstance(reply.body, str)
        body = reply.body.encode() if text else msgspec.json.encode(reply.body)
        headers = [
            ("Content-Type", HTML if text else "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),  # a path may hold a token
            *reply.headers,
        ]
        self._write(h11.Response(status_code=reply.status, headers=headers))
        self._write(h11.Data(data=body))
        self._write(h11.EndOfMessage())

    def _write(self, event: h11.Event) -> None:
        self._line.outbox += self._protocol.send(event) or b""


def problem(name: str, message: str) -> Json:
    """Make the body of an answer that refuses."""
    return {"error": name, "message": message}


def _ask_of(request: _Request) -> HttpAsk:
    head = request.head
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
    path = head.target.decode("latin-1").partition("?")[0]
    return HttpAsk(head.method.decode("latin-1"), path, headers, b"".join(request.parts))
