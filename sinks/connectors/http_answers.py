"""What an HTTP answer, or the lack of one, means for a command. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from schemas.ports import Outcome
from schemas.records import Json

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
    """Read an answer: 2xx done · 408, 425, 429, 503 later · other 5xx later if idempotent, else unknown · everything else no."""
    status = answer.status
    if 200 <= status < 300:
        left_out = None if answer.body is not None else f"the answer was over {ANSWER_BYTES_MAX} bytes and is left out"
        return Outcome("delivered", data=_json(answer.body or b""), error=left_out)
    said = f"{request.place} answered {status}: {(answer.body or b'')[:300].decode(errors='replace')}"
    if status in _LATER:
        return Outcome("failed", retry=True, after_us=_retry_after_us(answer.headers), code=_LATER[status], error=said)
    if status >= 500 and request.idempotent:
        return Outcome("unknown", retry=True, after_us=_retry_after_us(answer.headers), code="unavailable", error=said)
    if status >= 500:
        return Outcome("unknown", code="unknown_outcome", error=said)
    return Outcome("failed", code="rejected", error=said, data=_json(answer.body or b""))


def not_sent(request: HttpRequest, why: str) -> Outcome:
    """Judge an attempt of which nothing went out."""
    return Outcome("failed", retry=True, code="unavailable", error=f"cannot connect to {request.place}: {why}")


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
