"""What the tests of the door share: a home with a server on a thread, flows in force, and a client."""

from __future__ import annotations

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec

from infra.embedded_log import FileReader, IngressLog
from schemas.contracts import EventContract, encode_contract
from schemas.expression.tree import Field
from schemas.expression.types import Type
from schemas.ports import Append
from schemas.program import EventTrigger, Manual, Program, Webhook, pack
from schemas.records import Control, Decision, OperatorCommand, decode, encode
from sinks.connectors.webhook import sign
from sinks.ingress.doors import DoorKeys, Doors
from sinks.ingress.server import HttpDoor, IngressServer
from tests.sinks.world import HandClock

SECRET = "hush"
LINKS = b"l" * 32
API = "a" * 64
TEXT = Type("string")
RETURN = Type(
    "record",
    fields=(
        ("id", TEXT),
        ("amount", Type("money", currency="GBP")),
        ("note", Type("string", optional=True)),
        ("at", Type("timestamp", optional=True)),
    ),
)
CONTRACT = EventContract(
    event="return.requested", topic="returns.events", data=Type("record", fields=(("return", RETURN),)), schema_id=1
)
SIGNED = Webhook(
    "shop/returns", CONTRACT.event, Field("return.id", (), TEXT), "hmac-sha256", "X-Signature", "shop_hook", 300_000_000, "shop"
)
OPEN = Webhook("open", CONTRACT.event)
BODY: Mapping[str, Any] = {"return": {"id": "R7", "amount": 12.5}}


INPUTS = Type("record", fields=(("invoice_id", TEXT), ("pieces", Type("int", optional=True))))


def program(flow: str, *triggers: Any) -> Program:
    inputs = INPUTS if any(isinstance(one, Manual) for one in triggers) else None
    return Program(flow, f"v-{flow}", (), triggers, (), (), inputs=inputs)


def controls(tenant: str, one: Program) -> list[bytes]:
    value = {"flow": {}, "program": b64encode(pack(one)).decode()}
    return [
        encode(Control(key=f"version/{tenant}/{one.flow}/{one.version}", value=value)),
        encode(Control(key=f"active/{tenant}/{one.flow}", value={"version": one.version})),
    ]


@dataclass
class World:
    """A server that is stepped by a thread of its own."""

    home: Path
    clock: HandClock
    log: IngressLog
    doors: Doors
    server: IngressServer
    url: str
    client: httpx.Client
    stopping: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.is_set():
            if not self.paused.is_set():
                self.server.step(0.005)

    def post(self, path: str, body: object = None, *, key: str | None = API, **headers: str) -> httpx.Response:
        """Post JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return self.client.post(self.url + path, content=content, headers=headers)

    def hook(self, body: object = BODY, path: str = "/hooks/acme/shop/returns", **headers: str) -> httpx.Response:
        """Post a body with its signature."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        signature = {"X-Signature": sign(SECRET, self.clock.us // 1_000_000, content)}
        return self.client.post(self.url + path, content=content, headers={**signature, **headers})

    def records(self, topic: str) -> list[bytes]:
        reader = FileReader(self.home / "ingress.db", topic.__eq__, {})
        found = [record for chunk in reader.poll(100_000) for record in chunk.records]
        reader.close()
        return found

    def events(self) -> list[Any]:
        return [msgspec.json.decode(record) for record in self.records(CONTRACT.topic)]

    def decisions(self) -> list[Decision]:
        return [decode(Decision, record) for record in self.records("decisions")]

    def commands(self) -> list[OperatorCommand]:
        return [decode(OperatorCommand, record) for record in self.records("commands")]

    def nothing_was_appended(self) -> bool:
        return not (self.events() or self.decisions() or self.commands())


@contextmanager
def serving(home: Path, secrets: Mapping[str, str] | None = None) -> Iterator[World]:
    """Serve a home with the flow `returns` of acme, `open` of zeta, and `collection` of all, which is started by hand."""
    clock = HandClock()
    log = IngressLog(home / "ingress.db")
    deployed = [
        encode(Control(key=f"contract/{CONTRACT.event}", value=msgspec.json.decode(encode_contract(CONTRACT)))),
        b"{broken",
        *controls("acme", program("returns", SIGNED, EventTrigger(CONTRACT.event))),
        *controls("zeta", program("open", OPEN, EventTrigger(CONTRACT.event))),
        *controls("*", program("collection", Manual(("finance",), Field("inputs.invoice_id", (), TEXT)))),
        *controls("*", program("report", Manual(("finance", "support")))),
    ]
    log.append([Append("control", 0, deployed)], clock.us)
    names = map("start-{}".format, count(1))
    keys = DoorKeys(LINKS, API, (secrets if secrets is not None else {"shop_hook": SECRET}).get)
    doors = Doors(keys, FileReader(home / "ingress.db", "control".__eq__, {}), clock, 8, lambda: next(names))
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = IngressServer(home, log, clock, 8, (), HttpDoor(listener, doors))
    with httpx.Client(timeout=20) as client:
        world = World(home, clock, log, doors, server, url, client)
        thread = threading.Thread(target=world.run)
        thread.start()
        try:
            yield world
        finally:
            world.stopping.set()
            thread.join()
            server.close()
            log.close()
