"""Links by which somebody decides: a token that says what is decided and by whom, and a proof that this home made it.

A token holds no secret; whoever has it may decide what it names, as the person or with the roles that it names. It ends with the
approval: what is decided is decided once.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from schemas.errors import MillraceError

KEY_FILE: Final = "links.key"
TOKEN_MAX: Final = 4_096  # characters


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a token names. `by` empty: whoever uses it says who it is."""

    tenant: str
    execution: str
    step: str
    occurrence: int = 0
    by: str = ""
    roles: tuple[str, ...] = ()


class BadToken(MillraceError):
    """A token that this home did not make; `claim` is what it pretends, where that can be read."""

    def __init__(self, claim: Claim | None) -> None:
        """Take what the token pretends."""
        self.claim = claim
        super().__init__(
            "the link was not made by this home, or was changed; ask for a new one: `millrace approvals list --links`"
        )


def token(key: bytes, claim: Claim) -> str:
    """Write a token: what it names, and the HMAC-SHA256 of that under the home's key.

    >>> read_token(b"k", token(b"k", Claim("acme", "00", "approval"))).step
    'approval'
    """
    said = _base64(msgspec.json.encode(claim))
    return f"{said}.{_base64(_proof(key, said))}"


def read_token(key: bytes, text: str) -> Claim:
    """Read a token. Raises BadToken."""
    said, _, proof = text.partition(".")
    claim = _claim(said) if len(text) <= TOKEN_MAX else None
    if claim is None or not hmac.compare_digest(_base64(_proof(key, said)).encode(), proof.encode()):
        raise BadToken(claim)
    return claim


def _claim(said: str) -> Claim | None:
    try:
        return _claims.decode(urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None


def _proof(key: bytes, said: str) -> bytes:
    return hmac.digest(key, said.encode(), "sha256")


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


_claims = msgspec.json.Decoder(Claim)
