"""Writes one scalar so that the strict loader reads back the same value: plain where that is safe, else quoted."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from flows.language.nodes import Scalar
from flows.language.scalars import OddScalar, resolve

KEY_MAX: Final = 1_000  # readers look no further than 1024 characters for the colon of a key
_FIRST: Final = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`=]|[-?:](?=[^\s,\[\]{}])")
_UNSAFE: Final = re.compile(r":(?=\s|\Z)|\s#|[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_UNSAFE_INSIDE: Final = re.compile(r"[,\[\]{}?]|:(?=[,\[\]{}]|\Z)")  # of braces or brackets
_BREAK: Final = re.compile(r"[\u2028\u2029]")
_ESCAPED: Final = re.compile(r"[\"\\\x00-\x1f\x7f-\xa0\ud800-\udfff\u2028\u2029\ufeff\ufffe\uffff]")
_NAMES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_BLOCK_LINE: Final = re.compile(r"[\x21-\x7e\xa1-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff ]*\Z")


def scalar_text(node: Scalar, *, inside: bool = False) -> str:
    """Write a scalar on one line. `inside`: between brackets, where a comma ends it."""
    match node.value:
        case None:
            return "null"
        case bool():
            return "true" if node.value else "false"
        case int() | Decimal():
            return format(node.value, "f") if isinstance(node.value, Decimal) else str(node.value)
        case str() as text:
            return text if _plain(text, inside=inside) else quoted(text)


def quoted(text: str) -> str:
    """Put a text into quotes: double ones, or single ones where those save escapes."""
    simple = not re.search(r"[^\x20-\x7e\xa1-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]", text)
    if simple and not _BREAK.search(text) and ("\\" in text or '"' in text) and "'" not in text:
        return f"'{text}'"
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def block_lines(text: str) -> list[str] | None:
    """Give the lines of a literal block (its header first) for a text of several lines; None where a block cannot hold it."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    if len(lines) < 2 or not lines[0].strip() or lines[0][0] == " " or not lines[-1].strip():
        return None
    if any(not _BLOCK_LINE.match(line) or _BREAK.search(line) or (line and line != line.rstrip()) for line in lines):
        return None
    return ["|" if text.endswith("\n") else "|-", *lines]


def _plain(text: str, *, inside: bool) -> bool:
    if not _FIRST.match(text) or _UNSAFE.search(text) or _BREAK.search(text) or text != text.strip() or "{{" in text:
        return False  # a text with an expression in it is always quoted: it must be where it starts with one
    if (inside and (_UNSAFE_INSIDE.search(text) or text[0] in "-:")) or text.startswith(("---", "...")):
        return False
    try:
        return resolve(text) == text and isinstance(resolve(text), str)
    except OddScalar:
        return False


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    return _NAMES.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
