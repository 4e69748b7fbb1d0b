"""Reads one plain scalar by the YAML 1.2 core schema, strict: only `true false null` are words, numbers keep their digits."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_INT: Final = re.compile(r"-?(0|[1-9][0-9]*)\Z")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+\Z")
_ODD_NUMBER: Final = re.compile(
    r"[-+]?(0[0-9]+(\.[0-9]*)?|0[xX][0-9a-fA-F_]+|0o[0-7_]+|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"
    r"|([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+|[0-9]+\.|\.[0-9]+|\.(inf|Inf|INF))\Z"
    r"|\+[0-9]+(\.[0-9]+)?\Z|\.(nan|NaN|NAN)\Z"
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_ODD_WORDS: Final = {
    "~": "null",
    "True": "true",
    "TRUE": "true",
    "False": "false",
    "FALSE": "false",
    "Null": "null",
    "NULL": "null",
}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
INT_MAX: Final = 2**63


class OddScalar(ValueError):
    """A plain scalar that two readers would read in two ways."""


def resolve(text: str) -> str | int | Decimal | bool | None:
    """Give the value of a plain scalar; raises OddScalar with what is, what was wanted and what to do."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return whole(text)
    if _DECIMAL.match(text):
        return Decimal(text)
    if not text:
        raise OddScalar("nothing stands here; write null or a value, or take the key away")
    if text in _ODD_WORDS:
        raise OddScalar(
            f"'{text}' is no word of this YAML (true, false, null are); write {_ODD_WORDS[text]}, or quote it: \"{text}\""
        )
    if _ODD_NUMBER.match(text):
        raise OddScalar(
            f"'{text}' is read as different numbers by different readers; write plain digits, or quote it: \"{text}\""
        )
    return text


def whole(text: str) -> int:
    """Read an int of 64 bits; raises OddScalar beyond them."""
    if len(text) > 20 or not -INT_MAX <= int(text) < INT_MAX:
        raise OddScalar(f"'{text[:40]}' does not fit an int of 64 bits; quote it: \"{text[:40]}\"")
    return int(text)


def joined_surrogates(text: str) -> str:
    """Make one character of each surrogate pair; raises OddScalar for half of one."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise OddScalar("half of a surrogate pair stands here; write the character itself or both halves") from error
