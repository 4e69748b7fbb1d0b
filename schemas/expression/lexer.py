"""Text to tokens. Every token carries its offset; the last one is always `end`."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from schemas.expression.findings import ExpressionError
from schemas.expression.literals import INT_MAX, parse_decimal, parse_duration_us
from schemas.expression.words import RESERVED

Kind = Literal["money", "duration", "decimal", "int", "string", "name", "word", "sign", "end"]


class Token(NamedTuple):
    """One word: its kind, its text (of a string: its value) and its offset."""

    kind: Kind
    text: str
    at: int


_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_CURRENCY = re.compile(r" [A-Z]{3}(?![A-Za-z0-9_])", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_SIGN = re.compile(r"==|!=|<=|>=|[<>()\[\],.*+/-]")
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
_HINTS = {
    "=": "'=' compares nothing; write ==",
    "&": "'&' is not a word here; write and",
    "|": "'|' is not a word here; write or",
    "!": "'!' is not a word here; write not, or != between two values",
    "%": "there is no '%'; write floor(a / b) and subtract",
}


def tokens(text: str) -> list[Token]:
    """Split an expression into tokens; raises ExpressionError at the first character that fits nothing."""
    found: list[Token] = []
    at = _skip(text, 0)
    while at < len(text):
        token, at = _next(text, at)
        found.append(token)
        at = _skip(text, at)
    found.append(Token("end", "", len(text)))
    return found


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _next(text: str, at: int) -> tuple[Token, int]:
    if text[at] in "\"'":
        return _string(text, at)
    if number := _NUMBER.match(text, at):
        return _number(text, at, number)
    if name := _NAME.match(text, at):
        return Token("word" if name[0] in RESERVED else "name", name[0], at), name.end()
    if sign := _SIGN.match(text, at):
        return Token("sign", sign[0], at), sign.end()
    raise _unknown(text, at)


def _unknown(text: str, at: int) -> ExpressionError:
    if text[at] in "{}":
        inner = re.sub(r"\{\{\s*|\s*\}\}", "", text).strip()
        return ExpressionError(
            "template-in-expression", f"an expression stands here already; write {inner}, without {{{{ }}}}", at
        )
    hint = _HINTS.get(text[at], f'{text[at]!r} is no part of an expression; quote text, and write odd names as ["..."]')
    return ExpressionError("bad-expression", hint, at)


def _number(text: str, at: int, number: re.Match[str]) -> tuple[Token, int]:
    digits, end = number[0], number.end()
    if word := _WORD.match(text, end):
        return _duration(text, at, word.end())
    if _CURRENCY.match(text, end):
        _checked(digits, at)
        return Token("money", text[at : end + 4], at), end + 4
    if "." in digits:
        _checked(digits, at)
        return Token("decimal", digits, at), end
    if int(digits[:40]) > INT_MAX + 1:
        raise ExpressionError("bad-number", f"{digits} is more than an int holds (9223372036854775807); write it with .0", at)
    return Token("int", digits, at), end


def _checked(digits: str, at: int) -> None:
    try:
        parse_decimal(digits)
    except ExpressionError as error:
        raise ExpressionError(error.name, error.message, at) from error


def _duration(text: str, at: int, end: int) -> tuple[Token, int]:
    word = text[at:end]
    try:
        parse_duration_us(word)
    except ExpressionError as error:
        raise ExpressionError(error.name, error.message, at) from error
    return Token("duration", word, at), end


def _string(text: str, at: int) -> tuple[Token, int]:
    quote, here, out = text[at], at + 1, []
    while here < len(text) and text[here] != quote:
        piece, here = _escape(text, here) if text[here] == "\\" else (text[here], here + 1)
        out.append(piece)
    if here >= len(text):
        raise ExpressionError("bad-string", f"the text that begins here never ends; close it with {quote}", at)
    value = "".join(out).encode("utf-16-le", "surrogatepass")
    try:
        return Token("string", value.decode("utf-16-le"), at), here + 1  # joins the halves of \\uD83D\\uDE00
    except UnicodeDecodeError as error:
        raise ExpressionError("bad-string", "half of a surrogate pair is no character; write both halves", at) from error


def _escape(text: str, at: int) -> tuple[str, int]:
    after = text[at + 1 : at + 2]
    if after in _ESCAPES:
        return _ESCAPES[after], at + 2
    digits = text[at + 2 : at + 6]
    if after == "u" and re.fullmatch(r"[0-9A-Fa-f]{4}", digits):
        return chr(int(digits, 16)), at + 6
    raise ExpressionError("bad-string", f"'\\{after}' is no escape; there are \\\\ \\\" \\' \\n \\t \\uXXXX", at)
