"""What the tests of the doors out share: a receiver over real HTTP, a home of log files, a clock that is set by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import msgspec

from infra.dispatch_store import DispatchFile
from infra.embedded_log import FileReader, IngressLog
from schemas.dispatch import Command, Connector
from schemas.ports import Append
from schemas.records import Action, Cancel, Control, DeadLetter, Json, Result, Retry, decode, encode
from schemas.topics import CANCELS, COMMANDS, CONTROL, DEAD_LETTERS, RESULTS, actions_topic
from sinks.calls import BesideCalls, Calls
from sinks.dispatcher import Dispatcher, DispatchWorld

NOW_US = 1_780_000_000_000_000
TIME = "2026-05-28T20:26:40Z"  # NOW_US
DEADLINE_S = 20.0


def wait_until(met: Callable[[], object]) -> None:
    """Wait until something holds; fail after DEADLINE_S."""
    give_up_s = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < give_up_s, "it did not happen in time"
        threading.Event().wait(0.005)


@dataclass
class HandClock:
    """A clock that is set by hand."""

    us: int = NOW_US

    def now_us(self) -> int:
        return self.us

    def sleep_us(self, us: int) -> None:
        self.us += us


@dataclass
class Answer:
    """How the receiver answers."""

    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    close: bool = False


@dataclass
class Receiver:
    """A service that remembers what it was sent."""

    url: str
    answer: Callable[[Json, int], Answer]
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: list[str] = field(default_factory=list)  # paths of GET
    tell: Callable[[str], Answer] = lambda path: Answer(404)

    @property
    def keys(self) -> list[str]:
        return [headers["idempotency-key"] for headers, _ in self.requests]


@contextmanager
def receiving(answer: Callable[[Json, int], Answer] = lambda body, count: Answer()) -> Iterator[Receiver]:
    """Serve on a free port of 127.0.0.1; `answer` gets the body and how many requests came before with its key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with receiver.lock:
                before = receiver.keys.count(headers["idempotency-key"])
                receiver.requests.append((headers, body))
            self.say(receiver.answer(msgspec.json.decode(body), before))

        def do_GET(self) -> None:
            receiver.asked.append(self.path)
            self.say(receiver.tell(self.path))

        def say(self, said: Answer) -> None:
            if said.hang:
                receiver.release.wait(DEADLINE_S)
            if said.hang or said.close:
                self.close_connection = True
                return
            self.send_response(said.status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(said.body)),
                **said.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook", answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def action(name: str, execution: str = "e1", **changed: Json) -> Action:
    """Make a command; `changed` are other fields."""
    fields: dict[str, Json] = {
        "id": name,
        "source": "/flows/onboarding",
        "type": "create_project",
        "subject": execution,
        "time": TIME,
        "tenant": "acme",
        "correlationid": "c",
        "causationid": "d",
        "hops": 1,
        "flow": "onboarding",
        "version": "v1",
        "step": "project",
        "idempotencykey": name,
        "priority": "normal",
        "notafter": 7 * 86_400_000_000,
        "retry": Retry(attempts=3, wait_us=1_000_000),
        "data": {"template": "basic"},
    }
    return Action(**{**fields, **changed})


def command(name: str, settings: Json = None, **changed: Json) -> Command:
    """Make one attempt at a command."""
    raw = encode(action(name))
    fields: dict[str, Json] = {"tenant": "acme", "type": "create_project", "attempt": 1, "timeout_us": 5_000_000, **changed}
    return Command(id=name, idempotency_key=name, settings=settings or {}, body=decode(dict, raw), raw=raw, **fields)


class Home:
    """The log files around a dispatcher, written by the test in the place of server and engine."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        """`vfs` is the disk of the dispatcher's file."""
        self.path = path
        self.vfs = vfs
        self.clock = HandClock()
        self.ingress = IngressLog(path / "ingress.db")
        self.engine = IngressLog(path / "engine-0.db")

    def rule(self, connector: str, **settings: Json) -> None:
        value = {"connector": connector, "settings": settings}
        self.ingress.append([Append(CONTROL, 0, [encode(Control(key="connector/*/*", value=value))])], self.clock.us)

    def contract(self, kind: str, **says: Json) -> None:
        value = {"action": kind, "params": {}, **says}
        self.ingress.append([Append(CONTROL, 0, [encode(Control(key=f"action/{kind}", value=value))])], self.clock.us)

    def issue(self, *actions: Action, connector: str = "http") -> None:
        self.engine.append([Append(actions_topic(connector), 0, [encode(one) for one in actions])], self.clock.us)

    def issue_raw(self, *records: bytes, connector: str = "http") -> None:
        self.engine.append([Append(actions_topic(connector), 0, records)], self.clock.us)

    def withdraw(self, *wishes: Cancel) -> None:
        self.withdraw_raw(*(encode(one) for one in wishes))

    def withdraw_raw(self, *records: bytes) -> None:
        self.engine.append([Append(CANCELS, 0, records)], self.clock.us)

    def operate(self, record: bytes) -> None:
        self.ingress.append([Append(COMMANDS, 0, [record])], self.clock.us)

    def dispatcher(self, *connectors: Connector, calls: Calls | None = None, **world: Json) -> Dispatcher:
        store = DispatchFile(self.path / "dispatcher-0.db", vfs=self.vfs)
        try:
            positions = store.positions()
        except BaseException:
            store.close()
            raise
        readers = [
            FileReader(self.path / "engine-0.db", lambda topic: topic.startswith("actions.") or topic == CANCELS, positions),
            FileReader(self.path / "ingress.db", COMMANDS.__eq__, positions),
        ]
        control = FileReader(self.path / "ingress.db", CONTROL.__eq__, {})
        outside = DispatchWorld(clock=self.clock, rng=Random(7), secrets={"token": "s3"}.get, partitions=8, **world)
        try:
            return Dispatcher(store, readers, control, connectors, calls or BesideCalls(), outside)
        except BaseException:
            store.close()
            raise

    def results(self) -> list[Result]:
        return [decode(Result, record) for record in self._read(RESULTS)]

    def dead_letters(self) -> list[DeadLetter]:
        return [decode(DeadLetter, record) for record in self._read(DEAD_LETTERS)]

    def _read(self, topic: str) -> list[bytes]:
        reader = FileReader(self.path / "dispatcher-0.db", topic.__eq__, {}, vfs=self.vfs)
        records = [record for chunk in reader.poll(100_000) for record in chunk.records]
        reader.close()
        return records

    def close(self) -> None:
        self.ingress.close()
        self.engine.close()


def work_off(dispatcher: Dispatcher) -> None:
    """Step until nothing is left that could be done now."""
    wait_until(lambda: not dispatcher.step(20_000) and not dispatcher.in_flight)
