"""The one door to HTTP: sends commands as structured CloudEvents with an Idempotency-Key and reads the answer.

Promise: `delivered` means that the receiver said 2xx. With `idempotent: true` (the default, unless the action's contract says
false) an attempt without an answer is made again under the same key, and the receiver is the one who dedupes; with `false` it
ends as unknown and is never repeated.
A batch is one request in CloudEvents batch format under the batch's own key. Redirects are not followed: 3xx is an answer of the
wrong kind. What became of a command is looked up with GET where the rule says so: 2xx it was carried out, 404 it was not.
TLS, addresses and limits: http_wire.

settings: url (required), method (POST), headers {}, idempotent (true), look_up (a URL with {key} in it).
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Final
from urllib.parse import quote

import httpx

from schemas.dispatch import Command, Outcome
from schemas.errors import MillraceError
from schemas.records import Json
from sinks.connectors.batches import batch_outcome
from sinks.connectors.http_answers import HttpRequest
from sinks.connectors.http_wire import Wire

CONTENT_TYPE: Final = "application/cloudevents+json"
BATCH_TYPE: Final = "application/cloudevents-batch+json"
AGAIN: Final = Outcome("unknown", retry=True, code="timeout", error="no outcome was written before the stop")
_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_USUAL: Final = {"Content-Type": CONTENT_TYPE, "Accept": "application/json", "User-Agent": "millrace"}
_OF_A_BODY: Final = (b"Content-Type", b"Content-Length")
_PORTS: Final = {"http": 80, "https": 443}
Sign = Callable[[Command], Mapping[str, str]]


class BadSettings(MillraceError):
    """The settings of a rule cannot be used; the message says what is wanted."""


class HttpConnector:
    """Sends each command to the `url` of its rule."""

    at_once = 1

    def __init__(self, sign: Sign | None = None, name: str = "http", tls: SSLContext | None = None) -> None:
        """`sign` gives further headers for a command. By default TLS trusts the certificates of the certifi package."""
        self.name = name
        self._sign = sign
        self._wire = Wire(tls or httpx.create_ssl_context(), name)

    def begin(self, command: Command, done: Callable[[Outcome], None]) -> None:
        """Send a command; `done` is called once, perhaps on another thread, perhaps at once."""
        try:
            request = _request(command, self._sign(command) if self._sign else {})
        except (BadSettings, ValueError) as error:  # ValueError: texts that no encoding takes (IDNA, surrogates)
            done(Outcome("failed", code="rejected", error=f"connector {self.name} for {command.type}: {error}"))
            return
        self._wire.submit(request, done)

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        """Send the commands at once and wait for all."""
        ended: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        for at, command in enumerate(commands):
            self.begin(command, lambda outcome, at=at: ended.put((at, outcome)))  # type: ignore[misc]
        outcomes = dict(ended.get() for _ in commands)
        return [outcomes[at] for at in range(len(commands))]

    def resolve(self, command: Command) -> Outcome | None:
        """Look it up where the rule says how; ask for another attempt under the same key where the receiver honours it.

        Else nobody can tell.
        """
        again = AGAIN if command.settings.get("idempotent", True) is True else None
        if command.settings.get("look_up") is None:
            return again
        found = batch_outcome([self._look_up(one) for one in command.members or (command,)])
        return again or found if found.status == "unknown" and not found.items else found

    def _look_up(self, command: Command) -> Outcome:
        """Ask the receiver, and wait for what it says."""
        ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        try:
            self._wire.submit(_question(command), ended.put)
        except (BadSettings, ValueError) as error:
            return Outcome("unknown", code="unknown_outcome", error=f"connector {self.name} for {command.type}: {error}")
        return ended.get()

    def close(self) -> None:
        """Wait for what is on its way, and close the connections."""
        self._wire.close()


def _request(command: Command, signature: Mapping[str, str]) -> HttpRequest:
    """Make the request of a command. Raises BadSettings for settings that cannot be used."""
    settings = command.settings
    url = _url(settings.get("url"))
    method = str(settings.get("method", "POST")).upper()
    if method not in _METHODS:
        raise BadSettings(f"method {method!r}, wanted one of {', '.join(sorted(_METHODS))}")
    return HttpRequest(
        scheme=url.scheme,
        host=url.raw_host.decode("ascii"),
        port=url.port or _PORTS[url.scheme],
        method=method,
        target=url.raw_path,
        headers=_headers(command, url, signature),
        body=command.raw,
        timeout_s=max(0.001, command.timeout_us / 1_000_000),
        idempotent=settings.get("idempotent", True) is True,
        errors=command.errors,
        members=command.members,
    )


def _question(command: Command) -> HttpRequest:
    """Make the request that asks what became of a command. Raises BadSettings for settings that cannot be used."""
    place = command.settings.get("look_up")
    if not isinstance(place, str) or "{key}" not in place:
        raise BadSettings(f"look_up {place!r}; wanted a URL with {{key}} in it, where the idempotency key goes")
    url = _url(place.replace("{key}", quote(command.idempotency_key, safe="")))
    headers = [(name, value) for name, value in _headers(command, url, {}) if name not in _OF_A_BODY]
    return HttpRequest(
        scheme=url.scheme,
        host=url.raw_host.decode("ascii"),
        port=url.port or _PORTS[url.scheme],
        method="GET",
        target=url.raw_path,
        headers=headers,
        body=b"",
        timeout_s=max(0.001, command.timeout_us / 1_000_000),
        idempotent=False,
        errors=command.errors,
        asks=True,
    )


def _headers(command: Command, url: httpx.URL, signature: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    more = command.settings.get("headers") or {}
    if not isinstance(more, Mapping) or not all(isinstance(value, str) for value in more.values()):
        raise BadSettings("headers must be a record of texts, such as {X-Api-Key: secrets.crm_key}")
    headers: dict[str, tuple[str, str]] = {}  # names are one whatever their case
    usual = {**_USUAL, "Content-Type": BATCH_TYPE} if command.members else _USUAL
    length = str(len(command.raw))
    ours = {"Host": url.netloc.decode(), "Idempotency-Key": command.idempotency_key, "Content-Length": length}
    for some in (usual, more, signature, ours):
        headers |= {name.lower(): (name, value) for name, value in some.items()}
    headers.pop("transfer-encoding", None)  # the length is known
    try:
        return [(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.values()]
    except UnicodeEncodeError as error:
        raise BadSettings(f"a header's name must be ASCII: {error.object!r}") from error


def _url(text: Json) -> httpx.URL:
    if not isinstance(text, str) or not text:
        raise BadSettings("it has no url; add `url: https://...` to the settings of its rule")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise BadSettings(f"url {text!r}: {error}") from error
    if url.scheme not in _PORTS or not url.host:
        raise BadSettings(f"url {text!r}: wanted http:// or https:// and a host")
    return url
