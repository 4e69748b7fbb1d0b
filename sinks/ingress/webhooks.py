"""A request to a webhook → an event: its signature checked, its body read by the event's contract, its id made. Pure.

The header that the trigger names holds `t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>` under the shared secret, just
what the webhook connector sends. The time is signed, so an old request cannot be sent again later.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import msgspec

from schemas.contracts import EventContract
from schemas.errors import BadRecord, InvalidInput
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_duration_us, parse_timestamp_us, print_timestamp
from schemas.expression.rows import Row, compile_row
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.ids import key_text
from schemas.json_columns import exact_decimal
from schemas.json_types import json_type
from schemas.program import Webhook
from schemas.records import Json

WANTED: Final = "wanted t=<seconds since 1970>,v1=<hex of HMAC-SHA256 over '<seconds>.<body>'>"
SENT_ID: Final = "idempotency-key"


def check_signature(webhook: Webhook, headers: Mapping[str, str], body: bytes, secret: str, now_us: int) -> None:
    """Check that a request comes from who has the secret, and is fresh. Raises BadRecord: unsigned, bad-signature, too-old."""
    said = headers.get(webhook.header.lower())
    if said is None:
        raise BadRecord("unsigned", f"there is no header {webhook.header}; {WANTED}")
    parts = dict(part.strip().partition("=")[::2] for part in said.split(","))
    seconds, proof = parts.get("t", ""), parts.get("v1", "")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 12):
        raise BadRecord("bad-signature", f"{webhook.header} has no time; {WANTED}")
    right = hmac.new(secret.encode(), seconds.encode() + b"." + body, "sha256").hexdigest()
    if not hmac.compare_digest(right.encode(), proof.encode()):
        raise BadRecord("bad-signature", f"{webhook.header} does not fit the body; {WANTED}")
    if abs(now_us - int(seconds) * 1_000_000) > webhook.tolerance_us:
        most = webhook.tolerance_us // 1_000_000
        raise BadRecord("too-old", f"it was signed at {seconds}, more than {most} s from now; sign each attempt anew")


def event_of(webhook: Webhook, contract: EventContract, tenant: str, headers: Mapping[str, str], body: bytes) -> dict[str, Json]:
    """Make the event that a body becomes, all but its time. Raises BadRecord: malformed-json, wrong-schema."""
    _check_body(body, contract.data)
    data = msgspec.json.decode(body)
    return {
        "specversion": "1.0",
        "id": _id_of(webhook, contract, headers, body),
        "source": f"/hooks/{webhook.path}",
        "type": contract.event,
        "tenant": tenant,
        "data": data,
    }


def record_of(event: Mapping[str, Json], body: bytes, now_us: int) -> bytes:
    """Write the event with its body as it came, no digit changed."""
    return msgspec.json.encode({**event, "time": print_timestamp(now_us), "data": msgspec.Raw(body)})


def _check_body(body: bytes, kind: Type) -> None:
    try:
        msgspec.json.decode(body, type=_body_type(kind))
    except msgspec.ValidationError as error:
        raise BadRecord("wrong-schema", f"{error}; the event's contract wants it so") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("malformed-json", f"{error}; wanted one JSON object") from error


def _id_of(webhook: Webhook, contract: EventContract, headers: Mapping[str, str], body: bytes) -> str:
    """Make the event's id: by the trigger's expression, else the sender's own key, else a hash of the body."""
    if webhook.id is None:
        return headers.get(SENT_ID) or sha256(body).hexdigest()[:32]
    try:
        data = _typed(msgspec.json.Decoder(float_hook=Decimal).decode(body), contract.data)
    except (InvalidInput, ExpressionError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise BadRecord("wrong-schema", f"{error}; the event's contract wants it otherwise") from error
    found = key_text(_row(webhook.id)(_environment(data)))
    if found is None or not found:
        raise BadRecord("no-id", "the trigger's id has no value; the fields that make it must be given")
    return found


def _environment(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name every field by its way from the top."""
    named: dict[str, Any] = {}
    for name, value in data.items():
        named[prefix + name] = value
        if isinstance(value, dict):
            named |= _environment(value, f"{prefix}{name}.")
    return named


def _typed(value: Any, kind: Type) -> Any:
    """Give a JSON value as rows hold one of its contract's type."""
    if value is None or kind.name == "any":
        return value
    match kind.name:
        case "record":
            return {name: _typed(value.get(name), part) for name, part in kind.fields}
        case "list":
            assert kind.item is not None
            return [_typed(item, kind.item) for item in value]
        case "decimal" | "money":
            return exact_decimal(msgspec.json.encode(value).decode() if isinstance(value, str) else str(value), kind)
        case "float":
            return float(value)
        case "timestamp":
            return parse_timestamp_us(value)
        case "duration":
            return parse_duration_us(value)
        case _:
            return value


@lru_cache(maxsize=1_024)
def _body_type(kind: Type) -> Any:
    return json_type(kind)


@lru_cache(maxsize=1_024)
def _row(tree: Tree) -> Row:
    return compile_row(tree)
