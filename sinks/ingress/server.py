"""The sole writer of ingress.db while `up` runs: one thread, one commit for all that has arrived.

Promise: what is acknowledged is on the disk; a request that is cut short or refused leaves nothing behind. Holds of the event
clock end with their connection.
Reads: requests of local clients. Emits: packs of ingress.db. State: bounded buffers, holds by name. Cost: one FULL commit
a round, whatever the number of clients.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import BadRecord
from schemas.ports import Append, Clock, LogWriter
from sinks.frames import FrameBuffer, frame
from sinks.ingress.protocol import (
    SOCKET,
    Answer,
    AppendItems,
    Hold,
    Ping,
    Place,
    Placed,
    Refused,
    Release,
    Request,
    ServerStatus,
    checked_name,
    encoder,
    hold_record,
    placed_item,
    requests,
)
from sinks.unix_socket import listen

ROUND_BYTES: Final = 16 << 20  # requests that one commit takes; further ones wait in their sockets
HELD_BYTES_MAX: Final = 128 << 20  # of parts of requests; above it only the largest may grow
ANSWER_BYTES_MAX: Final = 1 << 20  # a client that does not read its answers is not read either
CONNECTIONS_MAX: Final = 512
_READ_BYTES: Final = 1 << 18


@dataclass(slots=True, eq=False)
class _Peer:
    """One connection: what came in part, what has to go out, what it holds."""

    socket: socket.socket
    inbox: FrameBuffer = field(default_factory=FrameBuffer)
    outbox: bytearray = field(default_factory=bytearray)
    holds: Counter[str] = field(default_factory=Counter)
    ending: bool = False


@dataclass(slots=True)
class _Round:
    """What one commit takes: items to append, and who hears of which of them."""

    appends: list[Append] = field(default_factory=list)
    waiting: list[tuple[_Peer, int | None, int, Answer | None]] = field(default_factory=list)  # peer, first item, count, answer
    size_bytes: int = 0

    def refuse(self, peer: _Peer, reason: str, detail: str) -> None:
        self.waiting.append((peer, None, 0, Refused(reason, detail)))

    def take(self, peer: _Peer, appends: Sequence[Append]) -> None:
        self.waiting.append((peer, len(self.appends), len(appends), None))
        self.appends.extend(appends)


class IngressServer:
    """Serves `ingress.sock` of a home. The writer holds the lock of ingress.db."""

    def __init__(self, home: Path, writer: LogWriter, clock: Clock, partitions: int, stale_holds: Sequence[str] = ()) -> None:
        """Listen. `stale_holds` are names that the control topic still holds from an earlier life: they are released."""
        self._path = home / SOCKET
        self._writer = writer
        self._clock = clock
        self._partitions = partitions
        self._held: Counter[str] = Counter()
        self._peers: dict[int, _Peer] = {}
        self.commits = self.records = self.record_bytes = 0
        if stale_holds:
            self._append([hold_record(name, held=False, at_us=clock.now_us()) for name in stale_holds])
        self._listener = listen(self._path)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def step(self, wait_s: float) -> bool:
        """Take what has arrived, commit it once, answer; wait up to `wait_s` for something. Raises what the writer raises."""
        this_round = _Round()
        ready = self._selector.select(wait_s)
        only = self._only_reader()
        for key, events in ready:
            if key.fileobj is self._listener:
                self._accept()
                continue
            peer = self._peers[key.fd]
            if events & selectors.EVENT_WRITE:
                self._send(peer)
            if events & selectors.EVENT_READ and not peer.ending and only in (None, peer):
                self._receive(peer, this_round)
        self._end_gone(this_round)
        self._finish(this_round)
        return bool(this_round.waiting)

    def close(self) -> None:
        """Stop listening, release all holds, end all connections. The writer stays open: it is its owner's."""
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for peer in self._peers.values():
            peer.ending = True
        last = _Round()
        self._end_gone(last)
        self._finish(last)
        self._selector.close()

    def status(self) -> ServerStatus:
        """Tell how the server is."""
        held = sorted(self._held)
        return ServerStatus(os.getpid(), len(self._peers), held, self.commits, self.records, self.record_bytes)

    def _accept(self) -> None:
        """Take all connections that wait; beyond CONNECTIONS_MAX they are ended at once."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            if len(self._peers) >= CONNECTIONS_MAX:
                connection.close()
                continue
            connection.setblocking(False)
            self._peers[connection.fileno()] = _Peer(connection)
            self._selector.register(connection, selectors.EVENT_READ)

    def _only_reader(self) -> _Peer | None:
        """Keep memory bounded: where parts of requests fill it, only the peer with the largest part may send on."""
        if sum(peer.inbox.size_bytes for peer in self._peers.values()) < HELD_BYTES_MAX:
            return None
        return max(self._peers.values(), key=lambda peer: peer.inbox.size_bytes)

    def _receive(self, peer: _Peer, this_round: _Round) -> None:
        """Read what a peer has sent, up to what a round takes, and put whole requests into the round."""
        while this_round.size_bytes < ROUND_BYTES and not peer.ending:
            try:
                data = peer.socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                peer.ending = True
                return
            this_round.size_bytes += len(data)
            self._take_frames(peer, data, this_round)

    def _take_frames(self, peer: _Peer, data: bytes, this_round: _Round) -> None:
        try:
            for message in peer.inbox.feed(data):
                if message is None:
                    this_round.refuse(peer, "too-large", f"over {peer.inbox.most_bytes} bytes: send fewer records at once")
                else:
                    self._take(peer, message, this_round)
        except BadRecord as error:
            this_round.refuse(peer, error.reason, error.detail)
            peer.ending = True

    def _take(self, peer: _Peer, message: bytes, this_round: _Round) -> None:
        """Put one request into the round; a bad one is refused and the connection goes on."""
        try:
            self._put(peer, requests.decode(message), this_round)
        except msgspec.DecodeError as error:
            this_round.refuse(peer, "malformed", f"{error}; wanted append, hold, release or ping as msgpack")
        except BadRecord as error:
            this_round.refuse(peer, error.reason, error.detail)

    def _put(self, peer: _Peer, request: Request, this_round: _Round) -> None:
        match request:
            case AppendItems(items):
                this_round.take(peer, [placed_item(item, self._partitions) for item in items])
            case Hold(name):
                peer.holds[checked_name(name)] += 1
                this_round.take(peer, self._change_hold(name, 1))
            case Release(name):
                if not peer.holds[name]:
                    raise BadRecord("not-held", f"{name!r} is not held by this connection")
                peer.holds[name] -= 1
                this_round.take(peer, self._change_hold(name, -1))
            case Ping():
                this_round.waiting.append((peer, None, 0, self.status()))

    def _change_hold(self, name: str, by: int) -> list[Append]:
        """Count who holds a name; give the control record where the first takes it or the last lets go."""
        before = self._held[name]
        self._held[name] += by
        held = self._held[name] > 0
        if not held:
            del self._held[name]
        return [hold_record(name, held=held, at_us=self._clock.now_us())] if held != (before > 0) else []

    def _end_gone(self, this_round: _Round) -> None:
        """Release what those held who went away; their last whole requests count."""
        for peer in [peer for peer in self._peers.values() if peer.ending]:
            for name in list(peer.holds.elements()):
                this_round.appends.extend(self._change_hold(name, -1))
            peer.holds.clear()

    def _finish(self, this_round: _Round) -> None:
        """Commit the round, tell everyone, and close what ends."""
        bases = self._append(this_round.appends)
        for peer, first, count, answer in this_round.waiting:
            said = answer
            if first is not None:
                taken = zip(this_round.appends[first : first + count], bases[first : first + count], strict=True)
                said = Placed([Place(item.partition, base) for item, base in taken])
            peer.outbox += frame(encoder.encode(said))
        for peer in list(self._peers.values()):
            if peer.outbox or peer.ending:
                self._send(peer)

    def _append(self, appends: Sequence[Append]) -> list[int]:
        if not appends:
            return []
        bases = self._writer.append(appends, self._clock.now_us())
        self.commits += 1
        self.records += sum(len(item.records) for item in appends)
        self.record_bytes += sum(len(record) for item in appends for record in item.records)
        return bases

    def _send(self, peer: _Peer) -> None:
        """Send what a peer will take; stop reading from one that leaves too much."""
        try:
            while peer.outbox:
                del peer.outbox[: peer.socket.send(peer.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            peer.ending = True
            peer.outbox.clear()
        if peer.ending:
            self._close(peer)
            return
        reading = selectors.EVENT_READ if len(peer.outbox) < ANSWER_BYTES_MAX else 0
        self._selector.modify(peer.socket, reading | (selectors.EVENT_WRITE if peer.outbox else 0))

    def _close(self, peer: _Peer) -> None:
        for name in list(peer.holds.elements()):
            self._append(self._change_hold(name, -1))
        peer.holds.clear()
        self._selector.unregister(peer.socket)
        del self._peers[peer.socket.fileno()]
        peer.socket.close()
