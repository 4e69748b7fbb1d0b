"""What an HTTP answer, or the lack of one, means for a command. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from schemas.dispatch import Command, Outcome
from schemas.records import Json
from sinks.connectors.batches import batch_outcome, told_items

ANSWER_BYTES_MAX: Final = 256 << 10  # what is kept of an answer must fit into a result record
RETRY_AFTER_MAX_US: Final = 86_400_000_000
_LATER: Final = {408: "timeout", 425: "unavailable", 429: "rate_limited", 503: "unavailable"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, ready to be sent."""

    scheme: str
    host: str
    port: int
    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    timeout_s: float
    idempotent: bool
    errors: frozenset[str] = frozenset()  # codes that the receiver may refuse with
    members: tuple[Command, ...] = ()  # of a batch
    asks: bool = False  # what became of a command; sends nothing new

    @property
    def origin(self) -> tuple[str, str, int]:
        """Name what a connection leads to."""
        return self.scheme, self.host, self.port

    @property
    def place(self) -> str:
        """Name the receiver without path and query, which may hold secrets."""
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back; `body` is None where it was over ANSWER_BYTES_MAX."""

    status: int
    headers: Mapping[bytes, bytes]  # names in lower case
    body: bytes | None


def judge(request: HttpRequest, answer: HttpAnswer) -> Outcome:
    """Read an answer: 2xx done · 408, 425, 429, 503 later · other 5xx later if idempotent, else unknown · everything else no.

    Where an answer to a batch tells of its members, each has its own end; the others have that of the whole.
    """
    data = _json(answer.body or b"")
    whole = _judged(request, answer, data)
    if request.asks:
        return _as_found(whole, answer.status)
    told = told_items(request.members, data)
    if not told or not 200 <= answer.status < 300:
        return whole
    untold = unanswered(request, "unavailable", "answered the batch, but not for this command")
    return batch_outcome([_item(request, told[one.id]) if one.id in told else untold for one in request.members])


def _judged(request: HttpRequest, answer: HttpAnswer, data: Json) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        left_out = None if answer.body is not None else f"the answer was over {ANSWER_BYTES_MAX} bytes and is left out"
        return Outcome("delivered", data=data, error=left_out)
    said = f"{request.place} answered {status}: {(answer.body or b'')[:300].decode(errors='replace')}"
    if status in _LATER:
        return Outcome("failed", retry=True, after_us=_retry_after_us(answer.headers), code=_LATER[status], error=said)
    if status >= 500 and request.idempotent:
        return Outcome("unknown", retry=True, after_us=_retry_after_us(answer.headers), code="unavailable", error=said)
    if status >= 500:
        return Outcome("unknown", code="unknown_outcome", error=said)
    return Outcome("failed", code=_code(request, data), error=said, data=data)


def _code(request: HttpRequest, data: Json) -> str:
    """Give the code that the receiver refuses with, if its contract knows it.

    It may say so as `{"error": "out_of_stock"}`, `{"code": ...}` or `{"error": {"code": ...}}`.
    """
    said = data if isinstance(data, Mapping) else {}
    error = said.get("error")
    told = (error, said.get("code"), error.get("code") if isinstance(error, Mapping) else None)
    return next((code for code in told if isinstance(code, str) and code in request.errors), "rejected")


def _item(request: HttpRequest, told: Mapping[str, Json]) -> Outcome:
    """Judge one member of a batch as if it had been answered alone; without a `status` it is 200, or 400 with an error."""
    status = told.get("status", 400 if "error" in told else 200)
    body = msgspec.json.encode({"error": told["error"]} if "error" in told else told.get("data"))
    whole = _judged(request, HttpAnswer(status if isinstance(status, int) else 500, {}, body), told.get("data"))
    return replace(whole, code=_code(request, told)) if whole.code == "rejected" else whole


def _as_found(whole: Outcome, status: int) -> Outcome:
    """Read the answer to a question: 2xx carried out, 404 not, or refused with a code of its contract; else unknown."""
    if status == 404:
        return Outcome("failed", retry=True, code="unavailable", error=f"not carried out: {whole.error}")
    if whole.status == "delivered" or (whole.status == "failed" and whole.code not in ("rejected", *_LATER.values())):
        return whole
    return Outcome("unknown", code="unknown_outcome", error=f"its end could not be looked up: {whole.error}")


def not_sent(request: HttpRequest, why: str) -> Outcome:
    """Judge an attempt of which nothing went out; a question that could not be asked has no answer."""
    said = f"cannot connect to {request.place}: {why}"
    if request.asks:
        return Outcome("unknown", code="unknown_outcome", error=said)
    return Outcome("failed", retry=True, code="unavailable", error=said)


def unanswered(request: HttpRequest, code: str, why: str) -> Outcome:
    """Judge an attempt that may have been carried out: again under the same key, or never again."""
    said = f"{request.place} {why}"
    if request.idempotent:
        return Outcome("unknown", retry=True, code=code, error=said)
    return Outcome("unknown", code="unknown_outcome", error=said)


def _json(body: bytes) -> Json:
    """Give the answer as JSON, as text where it is something else, None where there is none."""
    if not body.strip():
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", errors="replace")


def _retry_after_us(headers: Mapping[bytes, bytes]) -> int:
    """Read Retry-After: seconds, or a date measured against the answer's own Date (our clock may differ)."""
    text = headers.get(b"retry-after", b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return min(int(text) * 1_000_000, RETRY_AFTER_MAX_US)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get(b"date", b"").decode("latin-1"))
    except (ValueError, TypeError):
        return 0
    return min(max(0, int(wait.total_seconds() * 1_000_000)), RETRY_AFTER_MAX_US)
