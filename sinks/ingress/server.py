"""The sole writer of ingress.db while `up` runs: one thread, one commit for all that has arrived, locally and over HTTP.

Promise: what is acknowledged is on the disk; a request that is cut short or refused leaves nothing behind. Holds of the event
clock end with their connection. A client that stalls ends alone: a request must go on, and be whole, within its time.
Reads: requests of local clients, HTTP requests. Emits: packs of ingress.db. State: bounded buffers, holds by name. Cost: one FULL
commit a round, whatever the number of clients.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.ports import Append, Clock, LogWriter
from sinks.ingress.framed import FramedSpeaker, Holds
from sinks.ingress.http_speaker import Answerer, HttpSpeaker
from sinks.ingress.protocol import SOCKET, ServerStatus, hold_record
from sinks.ingress.rounds import Line, Round, Speaker
from sinks.unix_socket import listen

ROUND_BYTES: Final = 16 << 20  # requests that one commit takes; further ones wait in their sockets
HELD_BYTES_MAX: Final = 128 << 20  # of parts of requests; above it only the largest may grow
ANSWER_BYTES_MAX: Final = 1 << 20  # a client that does not read its answers is not read either
CONNECTIONS_MAX: Final = 512
STALLED_US: Final = 10_000_000  # without a byte while a request or an answer is on its way
CROWDED_US: Final = 1_000_000  # the same while others wait for its memory
WHOLE_US: Final = 60_000_000  # from a request's first byte to its last
LOOK_US: Final = 100_000
_READ_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """Where HTTP is spoken: a socket that listens, and who answers."""

    listener: socket.socket
    answerer: Answerer


class IngressServer:
    """Serves `ingress.sock` of a home, and HTTP. The writer holds the lock of ingress.db."""

    def __init__(
        self,
        home: Path,
        writer: LogWriter,
        clock: Clock,
        partitions: int,
        stale_holds: Sequence[str] = (),
        http: HttpDoor | None = None,
    ) -> None:
        """Listen. `stale_holds` are names that the control topic still holds from an earlier life: they are released."""
        self._path = home / SOCKET
        self._writer = writer
        self._clock = clock
        self._partitions = partitions
        self._http = http
        self._holds = Holds(clock.now_us)
        self._lines: dict[int, Line] = {}
        self._look_us = 0
        self.commits = self.records = self.record_bytes = self.stalled = 0
        if stale_holds:
            self._append([hold_record(name, held=False, at_us=clock.now_us()) for name in stale_holds])
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[socket.socket, Callable[[Line], Speaker]] = {listen(self._path): self._framed}
        if http is not None:
            self._listeners[http.listener] = lambda line: HttpSpeaker(line, http.answerer)
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)

    def step(self, wait_s: float) -> bool:
        """Take what has arrived, commit it once, answer; wait up to `wait_s` for something. Raises what the writer raises."""
        this_round = Round()
        ready = self._selector.select(wait_s)
        only = self._only_reader()
        for key, events in ready:
            if key.fileobj in self._listeners:
                self._accept(key.fileobj)
                continue
            line = self._lines.get(key.fd)
            if line is None:
                continue  # ended to make room
            if events & selectors.EVENT_WRITE:
                self._send(line)
            if events & selectors.EVENT_READ and not line.ending and only in (None, line):
                self._receive(line, this_round)
        self._end_late(crowded=only)
        self._end_gone(this_round)
        self._finish(this_round)
        return bool(this_round.requests)

    def close(self) -> None:
        """Stop listening, release all holds, end all connections. The writer stays open: it is its owner's."""
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._path.unlink(missing_ok=True)
        for line in self._lines.values():
            line.ending = True
        last = Round()
        self._end_gone(last)
        self._finish(last)
        self._selector.close()

    def status(self) -> ServerStatus:
        """Tell how the server is."""
        held = sorted(self._holds.held)
        return ServerStatus(os.getpid(), len(self._lines), held, self.commits, self.records, self.record_bytes)

    def _framed(self, line: Line) -> Speaker:
        return FramedSpeaker(line, self._holds, self._partitions, self.status)

    def _accept(self, listener: socket.socket) -> None:
        """Take all connections that wait; beyond CONNECTIONS_MAX one that rests makes room, or the new one is ended at once."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # none left, one that broke off, or no descriptor left
                return
            if len(self._lines) >= CONNECTIONS_MAX and not self._make_room():
                connection.close()
                continue
            connection.setblocking(False)
            line = Line(connection, self._clock.now_us())
            line.speaker = self._listeners[listener](line)
            self._lines[connection.fileno()] = line
            self._selector.register(connection, selectors.EVENT_READ)

    def _make_room(self) -> bool:
        """End the connection that has rested longest."""
        rest = [line for line in self._lines.values() if _rests(line) and line.speaker.dispensable]
        if not rest:
            return False
        self._close(min(rest, key=lambda line: line.moved_us))
        return True

    def _only_reader(self) -> Line | None:
        """Keep memory bounded: where parts of requests fill it, only the line with the largest part may send on."""
        if sum(line.speaker.held_bytes for line in self._lines.values()) < HELD_BYTES_MAX:
            return None
        return max(self._lines.values(), key=lambda line: line.speaker.held_bytes)

    def _receive(self, line: Line, this_round: Round) -> None:
        """Read what a peer has sent, up to what a round takes, and put whole requests into the round."""
        while this_round.size_bytes < ROUND_BYTES and not line.ending:
            try:
                data = line.socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                line.ending = True
                break
            this_round.size_bytes += len(data)
            line.moved_us = self._clock.now_us()
            line.speaker.receive(data, this_round)
        line.begun_us = (line.begun_us or line.moved_us) if line.speaker.begun else None

    def _end_late(self, *, crowded: Line | None) -> None:
        """End lines that stall: in the middle of a request, with an answer that they do not read, or at rest for too long."""
        now_us = self._clock.now_us()
        if now_us < self._look_us:
            return
        self._look_us = now_us + LOOK_US
        for line in self._lines.values():
            if not line.ending and _is_late(line, now_us, CROWDED_US if line is crowded else STALLED_US):
                self.stalled += 1
                if line.speaker.begun:
                    line.speaker.late()
                line.ending = True

    def _end_gone(self, this_round: Round) -> None:
        """Release what those held who went away; their last whole requests count."""
        for line in [line for line in self._lines.values() if line.ending]:
            line.speaker.gone(this_round)

    def _finish(self, this_round: Round) -> None:
        """Commit the round, tell everyone, and close what ends."""
        this_round.tell(self._append(this_round.appends))
        for line in list(self._lines.values()):
            if line.outbox or line.ending:
                self._send(line)

    def _append(self, appends: Sequence[Append]) -> list[int]:
        if not appends:
            return []
        bases = self._writer.append(appends, self._clock.now_us())
        self.commits += 1
        self.records += sum(len(item.records) for item in appends)
        self.record_bytes += sum(len(record) for item in appends for record in item.records)
        return bases

    def _send(self, line: Line) -> None:
        """Send what a peer will take; stop reading from one that leaves too much."""
        try:
            while line.outbox:
                del line.outbox[: line.socket.send(line.outbox)]
                line.moved_us = self._clock.now_us()
        except BlockingIOError:
            pass
        except OSError:
            line.ending = True
            line.outbox.clear()
        if line.ending:
            self._close(line)
            return
        reading = selectors.EVENT_READ if len(line.outbox) < ANSWER_BYTES_MAX else 0
        self._selector.modify(line.socket, reading | (selectors.EVENT_WRITE if line.outbox else 0))

    def _close(self, line: Line) -> None:
        last = Round()
        line.speaker.gone(last)
        self._append(last.appends)
        self._selector.unregister(line.socket)
        del self._lines[line.socket.fileno()]
        line.socket.close()


def _rests(line: Line) -> bool:
    return not (line.speaker.begun or line.outbox or line.ending)


def _is_late(line: Line, now_us: int, stalled_us: int) -> bool:
    quiet_us = now_us - line.moved_us
    if _rests(line):
        return line.speaker.rests_us is not None and quiet_us > line.speaker.rests_us
    return quiet_us > stalled_us or (line.begun_us is not None and now_us - line.begun_us > WHOLE_US)
