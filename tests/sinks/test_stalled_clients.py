import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from infra.embedded_log import FileReader, IngressLog
from sinks.frames import FrameBuffer, frame, receive_frame
from sinks.ingress import server as server_module
from sinks.ingress.http_speaker import Granted, HttpAsk, Reply
from sinks.ingress.protocol import AppendItems, Hold, Item, Ping, Placed, Refused, answers, encoder
from sinks.ingress.server import HttpDoor, IngressServer
from sinks.unix_socket import dial
from tests.sinks.world import HandClock

SECOND_US = 1_000_000
REQUEST = frame(encoder.encode(AppendItems([Item("crm.events", [b"x" * 100], "acme")])))


class Nobody:
    def answer(self, ask: HttpAsk) -> Reply | Granted:
        return Reply(200, {"path": ask.path})

    def refused(self, status: int) -> None:
        pass


class Served:
    """A server that the test steps by hand."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = HandClock()
        self.log = IngressLog(home / "ingress.db")
        listener = socket.create_server(("127.0.0.1", 0))
        self.http = listener.getsockname()
        self.server = IngressServer(home, self.log, self.clock, 8, (), HttpDoor(listener, Nobody()))
        self.opened: list[socket.socket] = []

    def dial(self) -> socket.socket:
        peer = dial(self.home / "ingress.sock", 5.0)
        assert peer is not None
        return self._opened(peer)

    def dial_http(self) -> socket.socket:
        return self._opened(socket.create_connection(self.http, 5.0))

    def _opened(self, peer: socket.socket) -> socket.socket:
        self.opened.append(peer)
        self.work()
        return peer

    def work(self, seconds: float = 0) -> None:
        """Let time pass, and let the server do what there is to do."""
        self.clock.us += int(seconds * SECOND_US)
        for _ in range(8):
            self.server.step(0.002)

    def append(self, peer: socket.socket) -> bool:
        """Append one record; tell whether it was granted."""
        peer.sendall(REQUEST)
        self.work()
        return isinstance(answers.decode(receive_frame(peer, FrameBuffer())), Placed)

    def records(self) -> int:
        reader = FileReader(self.home / "ingress.db", "crm.events".__eq__, {})
        count = sum(len(chunk.records) for chunk in reader.poll(100_000))
        reader.close()
        return count

    def close(self) -> None:
        for peer in self.opened:
            peer.close()
        self.server.close()
        self.log.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.close()


def has_ended(peer: socket.socket) -> bool:
    """Tell whether the other side hung up, reading what it said before."""
    peer.setblocking(False)
    try:
        while peer.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def test_a_request_that_stops_in_the_middle_ends_alone(served: Served) -> None:
    stalled, busy = served.dial(), served.dial()
    stalled.sendall(REQUEST + REQUEST[:50])
    served.work()
    served.work(9)
    assert served.append(busy)
    assert not has_ended(stalled)
    served.work(2)
    assert has_ended(stalled)
    assert served.append(busy)
    assert served.server.stalled == 1
    assert served.records() == 3


def test_the_client_is_told_that_it_was_too_late(served: Served) -> None:
    stalled = served.dial()
    stalled.sendall(REQUEST[:50])
    served.work()
    served.work(11)
    answer = answers.decode(receive_frame(stalled, FrameBuffer()))
    assert isinstance(answer, Refused)
    assert answer.reason == "late"


def test_a_request_that_drips_must_be_whole_within_its_time(served: Served) -> None:
    slow = served.dial()
    for at in range(20):
        if has_ended(slow):
            break
        slow.setblocking(True)
        slow.sendall(REQUEST[at : at + 1])
        served.work(5)
    assert 10 < at < 15
    assert served.records() == 0


def test_one_that_fills_the_memory_and_stops_gives_way_within_a_second(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HELD_BYTES_MAX", 1_000)
    large = frame(encoder.encode(AppendItems([Item("crm.events", [b"x" * 5_000], "acme")])))
    stopped, other = served.dial(), served.dial()
    stopped.sendall(large[:3_000])
    served.work()
    other.sendall(REQUEST)
    served.work()
    assert served.records() == 0
    served.work(1.2)
    served.work()
    assert served.records() == 1
    assert has_ended(stopped)


def test_clients_that_rest_make_room_for_new_ones_but_not_those_who_hold_the_clock(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 4)
    holder = served.dial()
    holder.sendall(frame(encoder.encode(Hold("send"))))
    served.work(1)
    resting = [served.dial() for _ in range(3)]
    for peer in resting[1:]:
        served.work(1)
        assert served.append(peer)
    assert served.append(served.dial())
    assert has_ended(resting[0])
    assert served.append(served.dial())
    assert has_ended(resting[1])
    assert not has_ended(holder)
    assert served.server.status().holds == ["send"]


def test_a_local_client_may_rest_for_ever(served: Served) -> None:
    peer = served.dial()
    served.work(86_400)
    assert served.append(peer)
    peer.sendall(frame(encoder.encode(Ping())))
    served.work(86_400)
    assert not has_ended(peer)


def test_over_http_a_request_has_its_time_and_a_connection_its_rest(served: Served) -> None:
    stalled, resting = served.dial_http(), served.dial_http()
    resting.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    served.work()
    assert resting.recv(1_000).startswith(b"HTTP/1.1 200")
    stalled.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    served.work()
    served.work(11)
    assert stalled.recv(1_000).startswith(b"HTTP/1.1 408")
    assert has_ended(stalled)
    assert not has_ended(resting)
    served.work(55)
    assert has_ended(resting)


def test_one_that_does_not_read_its_answers_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ANSWER_BYTES_MAX", 1_000)
    deaf = served.dial()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    pings = frame(encoder.encode(Ping())) * 20_000
    deaf.setblocking(False)
    with suppress(BlockingIOError):
        deaf.sendall(pings)
    served.work()
    served.work(11)
    served.work()
    assert served.server.stalled == 1
    assert served.append(served.dial())
