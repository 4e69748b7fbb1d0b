"""HTTP with a signature: the receiver can tell that a command comes from us and is fresh.

The header `X-Millrace-Signature: t=<seconds>,v1=<hex>` holds HMAC-SHA256 of `<seconds>.<body>` under the rule's `secret`; a
receiver compares it in constant time and refuses old times. Promise, settings and costs are those of http, and `secret`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

from schemas.dispatch import Command
from schemas.ports import Clock
from sinks.connectors.http import BadSettings, HttpConnector

HEADER: Final = "X-Millrace-Signature"


def webhook(clock: Clock) -> HttpConnector:
    """Make the webhook connector."""
    return HttpConnector(lambda command: _signature_of(command, clock.now_us() // 1_000_000), name="webhook")


def sign(secret: str, seconds: int, body: bytes) -> str:
    """Give the signature of a body at a time (seconds since 1970).

    >>> sign("k", 1, b"{}")[:20]
    't=1,v1=3dd49b2593d0f'
    """
    digest = hmac.new(secret.encode(), b"%d." % seconds + body, "sha256").hexdigest()
    return f"t={seconds},v1={digest}"


def _signature_of(command: Command, seconds: int) -> Mapping[str, str]:
    secret = command.settings.get("secret")
    if not isinstance(secret, str) or not secret:
        raise BadSettings("it has no secret; add `secret: secrets.<name>` to the settings of its rule")
    return {HEADER: sign(secret, seconds, command.raw)}
