import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.embedded_log import FileReader, IngressLog
from schemas.errors import HomeLocked, InvalidInput
from schemas.ports import Append
from schemas.records import Control, decode
from schemas.topics import partition_of
from sinks.frames import frame
from sinks.ingress.client import SocketIngress, connect, held
from sinks.ingress.protocol import AppendItems, Item, Ping, answers, encoder
from sinks.ingress.server import IngressServer
from sinks.unix_socket import dial
from tests.sinks.world import wait_until

CLOCK = SystemClock()


class Slow:
    """A log whose commits wait until the test lets them go: what arrives meanwhile must share the next one."""

    def __init__(self, log: IngressLog) -> None:
        self.log = log
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def append(self, batch: Sequence[Append], now_us: int) -> list[int]:
        self.entered.set()
        self.go.wait(20)
        self.sizes.append(len(batch))
        return self.log.append(batch, now_us)

    def close(self) -> None:
        self.log.close()


class Serving:
    """A server on a thread."""

    def __init__(self, home: Path, stale: tuple[str, ...] = ()) -> None:
        self.home = home
        self.writer = Slow(IngressLog(home / "ingress.db"))
        self.server = IngressServer(home, self.writer, CLOCK, 8, stale)
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.stopping:
            self.server.step(0.01)

    def client(self) -> SocketIngress:
        found = connect(self.home, lambda: IngressLog(self.home / "ingress.db"), CLOCK)
        assert isinstance(found, SocketIngress)
        return found

    def stop(self) -> None:
        self.writer.go.set()
        self.stopping = True
        self.thread.join()
        self.server.close()
        self.writer.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path)
    yield serving
    serving.stop()


def dialled(serving: Serving) -> socket.socket:
    """Connect, and wait until the server has taken the connection."""
    peer = dial(serving.home / "ingress.sock", 20.0)
    assert peer is not None
    peer.sendall(frame(encoder.encode(Ping())))
    assert peer.recv(1 << 16)
    return peer


def read(home: Path, topic: str) -> list[bytes]:
    reader = FileReader(home / "ingress.db", topic.__eq__, {})
    records = [record for chunk in reader.poll(1_000_000) for record in chunk.records]
    reader.close()
    return records


def holds(home: Path) -> list[tuple[str, object]]:
    controls = [decode(Control, record) for record in read(home, "control")]
    return [(control.key, control.value) for control in controls]


def test_an_answer_means_that_the_records_are_in_the_file_at_that_place(serving: Serving) -> None:
    client = serving.client()
    first = client.append([Item("crm.events", [b"a", b"b"], "acme"), Item("orders.events", [b"c"], partition=3)])
    second = client.append([Item("crm.events", [b"d"], "acme")])
    home = partition_of("acme", 8)
    assert [(place.partition, place.base) for place in first] == [(home, 0), (3, 0)]
    assert [(place.partition, place.base) for place in second] == [(home, 2)]
    assert read(serving.home, "crm.events") == [b"a", b"b", b"d"]
    client.close()


def test_requests_that_arrive_during_a_commit_share_the_next(serving: Serving) -> None:
    request = frame(encoder.encode(AppendItems([Item("crm.events", [b"x"], "acme")])))
    with ExitStack() as stack:
        peers = [stack.enter_context(dialled(serving)) for _ in range(8)]
        serving.writer.go.clear()
        peers[0].sendall(request)
        wait_until(serving.writer.entered.is_set)
        for peer in peers[1:]:
            peer.sendall(request)
        serving.writer.go.set()
        bases = [answers.decode(peer.recv(1 << 16)[4:]).places[0].base for peer in peers]
    assert sorted(bases) == list(range(8))
    assert serving.writer.sizes == [1, 7]


def test_the_socket_is_its_owners_alone(serving: Serving) -> None:
    assert (serving.home / "ingress.sock").stat().st_mode & 0o777 == 0o600


def test_refused_requests_leave_nothing_and_the_connection_goes_on(serving: Serving) -> None:
    client = serving.client()
    for item in (
        Item("crm.events", [b"x" * ((16 << 20) + 1)]),
        Item("crm.events", [b"x" * (21 << 20)]),
        Item("crm.events", [b"x"], partition=8),
        Item("", [b"x"]),
    ):
        with pytest.raises(InvalidInput, match="refused"):
            client.append([Item("crm.events", [b"neighbour"]), item])
    assert client.append([Item("crm.events", [b"y" * (16 << 20)])])[0].base >= 0
    assert all(record in (b"neighbour", b"y" * (16 << 20)) for record in read(serving.home, "crm.events"))
    client.close()


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", frame(b"\xc1\xc1"), frame(b"\x80")])
def test_garbage_is_answered_with_a_refusal_and_hurts_nobody_else(serving: Serving, garbage: bytes) -> None:
    other = serving.client()
    peer = dial(serving.home / "ingress.sock", 10.0)
    assert peer is not None
    peer.sendall(garbage)
    said = peer.recv(1 << 16)
    assert answers.decode(said[4:]).reason in ("garbage", "malformed")
    peer.close()
    assert other.append([Item("crm.events", [b"x"], "acme")])[0].base == 0
    other.close()


def test_a_client_that_dies_in_the_middle_of_a_request_leaves_nothing(serving: Serving) -> None:
    peer = dial(serving.home / "ingress.sock", 10.0)
    assert peer is not None
    peer.sendall(frame(b"x" * 1000)[:500])
    peer.shutdown(socket.SHUT_RDWR)
    peer.close()
    client = serving.client()
    wait_until(lambda: client.status().connections == 1)
    assert client.status().records == 0
    client.close()


def test_holds_end_with_their_connection_and_are_counted_by_name(serving: Serving) -> None:
    one, two = serving.client(), serving.client()
    one.hold("send")
    two.hold("send")
    one.close()
    wait_until(lambda: two.status().connections == 1)
    assert two.status().holds == ["send"]
    assert holds(serving.home) == [("clock/hold/send", True)]
    two.close()
    last = serving.client()
    wait_until(lambda: last.status().holds == [])
    assert holds(serving.home) == [("clock/hold/send", True), ("clock/hold/send", None)]
    with held(last, "demo"):
        assert last.status().holds == ["demo"]
    assert last.status().holds == []
    last.close()


def test_a_new_server_releases_what_a_dead_one_held(tmp_path: Path) -> None:
    serving = Serving(tmp_path, stale=("send",))
    try:
        assert holds(tmp_path) == [("clock/hold/send", None)]
    finally:
        serving.stop()


def test_without_a_server_the_client_takes_the_lock_and_writes_itself(tmp_path: Path) -> None:
    (tmp_path / "ingress.sock").touch()  # left by a server that was killed
    (tmp_path / "ingress.sock").unlink()
    client = connect(tmp_path, lambda: IngressLog(tmp_path / "ingress.db"), CLOCK)
    assert client.append([Item("crm.events", [b"a"], "acme")])[0].base == 0
    with pytest.raises(InvalidInput, match="too-large"):
        client.append([Item("crm.events", [b"x" * ((16 << 20) + 1)])])
    with pytest.raises(HomeLocked):
        IngressLog(tmp_path / "ingress.db")
    client.close()
    IngressLog(tmp_path / "ingress.db").close()
    assert read(tmp_path, "crm.events") == [b"a"]


def test_a_long_path_has_a_socket_too(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    home.mkdir()
    serving = Serving(home)
    try:
        client = serving.client()
        assert client.append([Item("crm.events", [b"a"], "acme")])[0].base == 0
        client.close()
    finally:
        serving.stop()


def test_large_appends_are_cut_into_requests_and_keep_their_order(serving: Serving) -> None:
    client = serving.client()
    records = [bytes([at % 251]) * 200_000 for at in range(60)]
    place = client.append([Item("crm.events", records, "acme"), Item("crm.events", [b"end"], "acme")])
    assert [one.base for one in place] == [0, 60]
    assert read(serving.home, "crm.events") == [*records, b"end"]
    client.close()
