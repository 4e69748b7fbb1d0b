"""Reads JSON strictly and with places: the same nodes as from YAML, duplicate keys and odd numbers refused.

The standard library's reader keeps no places and takes NaN, duplicate keys and halves of surrogate pairs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from decimal import Decimal
from typing import Final, NoReturn

from flows.language.nodes import Mapping, Node, Scalar, Sequence
from flows.language.report import Report
from flows.language.scalars import OddScalar, joined_surrogates, resolve
from flows.language.yaml_text import DEPTH_MAX

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_BARE: Final = re.compile(r"[^\s,:\[\]{}\"]+")
_WORD: Final = re.compile(r"(?:-?[0-9].*|true|false|null)\Z", re.DOTALL)


class _NotJson(Exception):
    def __init__(self, at: int, name: str, message: str) -> None:
        self.at = at
        self.name = name
        super().__init__(message)


def read_json(text: str, report: Report) -> list[Node]:
    """Read one document, or each item of an array of them; what cannot be read is reported."""
    reader = _Reader(text, report)
    try:
        node = reader.whole()
    except _NotJson as error:
        report.add(reader.place(error.at), error.name, str(error))
        return []
    return list(node.items) if isinstance(node, Sequence) else [node]


class _Reader:
    """Walks the text once; `_at` is the place of the next character."""

    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._at = 1 if text.startswith("\ufeff") else 0
        self._lines = [0] + [found.end() for found in re.finditer("\n", text)]

    def place(self, at: int) -> Scalar:
        line = bisect_right(self._lines, at)
        return Scalar(None, line, at - self._lines[line - 1] + 1)

    def whole(self) -> Node:
        node = self._node(0)
        self._skip()
        if self._at < len(self._text):
            self._fail("one value was wanted and more follows; put documents into an array")
        return node

    def _skip(self) -> str:
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._text[self._at : self._at + 1]

    def _fail(self, message: str, name: str = "bad-json") -> NoReturn:
        raise _NotJson(self._at, name, message)

    def _expect(self, wanted: str) -> None:
        found = self._skip()
        if found != wanted:
            self._fail(f"{_shown(found)} stands where '{wanted}' was wanted")
        self._at += 1

    def _node(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            self._fail(f"lists and objects nest over {DEPTH_MAX} deep; move a part into a flow and call it", "too-deep")
        match self._skip():
            case "{":
                return self._mapping(depth)
            case "[":
                return self._sequence(depth)
            case '"':
                return self._string()
        return self._bare()

    def _sequence(self, depth: int) -> Sequence:
        place = self.place(self._at)
        items: list[Node] = []
        self._at += 1
        while self._skip() != "]" or items:
            items.append(self._node(depth + 1))
            if self._skip() == "]":
                break
            self._expect(",")
        self._at += 1
        return Sequence(tuple(items), place.line, place.column)

    def _mapping(self, depth: int) -> Mapping:
        place = self.place(self._at)
        items: dict[str, tuple[Scalar, Node]] = {}
        first = True
        self._at += 1
        while self._skip() != "}" or not first:
            first = False
            self._entry(items, depth)
            if self._skip() == "}":
                break
            self._expect(",")
        self._at += 1
        return Mapping(tuple(items.values()), place.line, place.column)

    def _entry(self, items: dict[str, tuple[Scalar, Node]], depth: int) -> None:
        if self._skip() != '"':
            self._fail(f"{_shown(self._text[self._at : self._at + 1])} stands where a key in double quotes was wanted")
        key = self._string()
        self._expect(":")
        value = self._node(depth + 1)
        if key.text in items:
            self._report.add(key, "duplicate-key", f"'{key.text}' stands at line {items[key.text][0].line} already; keep one")
        else:
            items[key.text] = (key, value)

    def _string(self) -> Scalar:
        place = self.place(self._at)
        found = _STRING.match(self._text, self._at)
        if not found:
            self._fail("this text does not end, or holds a control character or an unknown escape; write \\n, \\t or \\u0000")
        self._at = found.end()
        raw = found[1]
        text = _ESCAPE.sub(_unescape, raw) if "\\" in raw else raw
        try:
            text = joined_surrogates(text)
        except OddScalar as error:
            self._report.add(place, "bad-scalar", str(error))
            return Scalar("", place.line, place.column, "", None)
        return Scalar(text, place.line, place.column, text, 1 if len(text) == len(raw) else None)

    def _bare(self) -> Scalar:
        place = self.place(self._at)
        found = _BARE.match(self._text, self._at)
        if not found:
            self._fail(f"{_shown(self._text[self._at : self._at + 1])} stands where a value was wanted")
        word = found[0]
        try:
            value: str | int | Decimal | bool | None = resolve(word)
            if not _WORD.match(word) or isinstance(value, str):
                self._fail(f"'{word[:40]}' is no JSON value; write \"{word[:40]}\", a number, true, false or null")
        except OddScalar as error:
            self._report.add(place, "bad-scalar", str(error))
            value = None
        self._at = found.end()
        return Scalar(value, place.line, place.column, word)


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2])


def _shown(character: str) -> str:
    return f"'{character}'" if character else "the end of the text"
