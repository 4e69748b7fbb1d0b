"""Regular expressions in the subset that Python and polars (Rust's regex) read alike.

Each pattern is read once and written anew for both engines: classes are ASCII, `$` is the end of the text, every literal
sign is written by its number. Refused: look-around, back-references, flags, named groups, set operations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
import polars as pl

from schemas.expression.findings import ExpressionError

_COUNT_MAX: Final = 1000
_BACKTRACK_BYTES_MAX: Final = 1000
_SETS: Final = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\x09-\x0d\x20"}
_SIGNS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class Pattern(msgspec.Struct, frozen=True):
    """One pattern for two engines; `linear` says that Python's backtracking cannot run away on it."""

    python: str
    rust: str
    linear: bool


@lru_cache(maxsize=4096)
def read_pattern(text: str) -> Pattern:
    """Read a pattern; raises ExpressionError bad-pattern with the offset inside the pattern."""
    reader = _Reader(text)
    reader.alternatives(0)
    if reader.place < len(text):
        raise reader.bad("')' closes nothing; write \\)")
    python, rust = "".join(one for one, _ in reader.out), "".join(two for _, two in reader.out)
    try:
        re.compile(python)
        pl.select(pl.lit("").str.contains(rust))
    except (re.error, pl.exceptions.ComputeError, RecursionError, OverflowError) as error:
        raise ExpressionError("bad-pattern", f"the pattern {text!r} is too large or malformed; write a simpler one") from error
    return Pattern(python, rust, reader.repeats <= 1)


@lru_cache(maxsize=4096)
def searcher(text: str) -> Callable[[str], bool]:
    """Give the function that looks for a pattern in a text, in time linear in the text."""
    pattern = read_pattern(text)
    search, rust, linear = re.compile(pattern.python).search, pattern.rust, pattern.linear

    def found(value: str) -> bool:
        if linear and len(value) <= _BACKTRACK_BYTES_MAX:
            return search(value) is not None
        # Python's engine backtracks: (a+)+$ on 40 letters takes years. Rust's never does.
        return bool(pl.Series([value], dtype=pl.String).str.contains(rust)[0])

    return found


def _literal(char: str) -> str:
    return char if (char.isascii() and char.isalnum()) or ord(char) > 127 else f"\\x{ord(char):02x}"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.repeats = 0
        self.out: list[tuple[str, str]] = []

    def bad(self, why: str) -> ExpressionError:
        return ExpressionError("bad-pattern", f"in the pattern {self.text!r} at {self.place}: {why}", self.place)

    def _peek(self) -> str:
        return self.text[self.place : self.place + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise self.bad("it ends too early")
        self.place += 1
        return char

    def _put(self, python: str, rust: str | None = None) -> None:
        self.out.append((python, python if rust is None else rust))

    def alternatives(self, depth: int) -> None:
        """Read up to the end or an unmatched bracket."""
        if depth > 20:
            raise self.bad("brackets nest more than 20 deep")
        while self._peek() not in ("", ")"):
            if self._peek() == "|":
                self._put(self._take())
            elif self._piece(depth):
                self._repeat()

    def _piece(self, depth: int) -> bool:
        """Read one piece; tell whether it can be repeated."""
        char = self._take()
        if char in "^$":
            self._put(*(("^", "^") if char == "^" else (r"\Z", r"\z")))
            return False
        if char == "\\":
            return self._escape()
        if char == "(":
            self._group(depth)
        elif char == "[":
            self._class()
        elif char == ".":
            self._put(".")
        elif char in "*+?{":
            raise self.bad(f"'{char}' repeats nothing; write \\{char} for the sign")
        else:
            self._put(_literal(char))
        return True

    def _group(self, depth: int) -> None:
        if self._peek() == "?":
            if self.text[self.place : self.place + 2] != "?:":
                raise self.bad("look-around, flags and names are not read; write ( or (?:")
            self.place += 2
        self._put("(?:")
        self.alternatives(depth + 1)
        if self._peek() != ")":
            raise self.bad("a bracket is not closed")
        self._put(self._take())

    def _escape(self) -> bool:
        char = self._take()
        if char in "bB":
            self._put(f"(?a:\\{char})", f"(?-u:\\{char})")
            return False
        if char.lower() in _SETS and char.isascii():
            self._put(f"[{'^' if char.isupper() else ''}{_SETS[char.lower()]}]")
        else:
            self._put(_literal(self._sign(char)))
        return True

    def _sign(self, char: str) -> str:
        if char in _SIGNS:
            return _SIGNS[char]
        if char.isalnum() or not char.isascii():
            raise self.bad(f"'\\{char}' has no meaning in both engines; there are \\d \\w \\s \\b \\n \\t and signs like \\.")
        return char

    def _repeat(self) -> None:
        char = self._peek()
        if char not in ("*", "+", "?", "{") or not char:
            return
        text = self._bounds() if char == "{" else self._take()
        self.repeats += text != "?" and not re.fullmatch(r"\{\d+\}", text)
        if self._peek() == "?":
            text += self._take()
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise self.bad("two repeats follow each other; put brackets around the first")
        self._put(text)

    def _bounds(self) -> str:
        found = re.compile(r"\{(\d{1,4})(?:(,)(\d{1,4})?)?\}", re.ASCII).match(self.text, self.place)
        if found is None:
            raise self.bad("'{' begins no count; write \\{ for the sign")
        least, most = int(found[1]), int(found[3] or found[1])
        if least > most or most > _COUNT_MAX:
            raise self.bad(f"a count runs from few to many, at most {_COUNT_MAX}")
        self.place = found.end()
        return found[0]

    def _class(self) -> None:
        negated = "^" if self._peek() == "^" else ""
        self.place += len(negated)
        body = ""
        while self._peek() != "]" or not body:
            body += self._range()
        self._take()
        self._put(f"[{negated}{body}]")

    def _range(self) -> str:
        low = self._take()
        if low == "[":
            raise self.bad("'[' inside a class; write \\[")
        if low == "\\":
            low = self._take()
            if low in _SETS:
                return _SETS[low]
            low = self._sign(low)
        if self._peek() != "-" or self.text[self.place + 1 : self.place + 2] in ("]", ""):
            return _literal(low)
        self._take()
        high = self._take()
        high = self._sign(self._take()) if high == "\\" else high
        if high < low:
            raise self.bad(f"the range {low}-{high} runs backwards")
        return f"{_literal(low)}-{_literal(high)}"
