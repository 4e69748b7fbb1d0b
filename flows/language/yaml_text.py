"""Reads YAML 1.2 as a small, strict subset: nodes with places, no anchors, tags, merge keys, duplicate keys or tabs.

PyYAML gives the events; what a scalar means is decided in flows/language/scalars.py, never by PyYAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from flows.language.nodes import Mapping, Node, Scalar, Sequence
from flows.language.report import Report
from flows.language.scalars import OddScalar, joined_surrogates, resolve

DEPTH_MAX: Final = 128  # of lists and mappings; steps have their own limit
_NO_MARK: Final = yaml.Mark("", 0, 0, 0, "", 0)
_OPEN_TEMPLATE: Final = re.compile(r"^[^\"'#]*?[:\-,\[{]\s+\{\{")


def read_yaml(text: str, report: Report) -> list[Node]:
    """Read the documents of a file; what cannot be read is reported and left out."""
    try:
        return _Reader(text, report).documents()
    except yaml.MarkedYAMLError as error:
        _syntax_error(error, text, report)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Scalar(None, before.count("\n") + 1, error.position - before.rfind("\n"))
        report.add(place, "bad-character", f"the character {_code(error.character)} may not stand in a definition; take it out")
    except _TooDeep as error:
        report.add(error.place, "too-deep", f"lists and mappings nest over {DEPTH_MAX} deep; move a part into a flow and call it")
    return []


def _code(character: object) -> str:
    number = ord(character) if isinstance(character, str) and character else character
    return f"U+{number:04X}" if isinstance(number, int) else str(number)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines() or [""]
    row = lines[min(line, len(lines) - 1)]
    found = _OPEN_TEMPLATE.match(row)
    if found:
        place = Scalar(None, line + 1, found.end() - 1)
        report.add(
            place,
            "unquoted-template",
            f"a value that starts with {{{{ is a YAML mapping; quote it: {_quoted(row[found.end() - 2 :])}",
        )
        return
    place = Scalar(None, line + 1, column + 1)
    if "'\\t'" in str(error.problem) or "\t" in row[: len(row) - len(row.lstrip())]:
        report.add(place, "tab", "a tab stands where YAML counts spaces; indent with spaces")
        return
    context = f" ({error.context})" if error.context else ""
    report.add(place, "bad-yaml", f"{error.problem or 'not YAML'}{context}; correct the text here")


def _quoted(text: str) -> str:
    return '"' + text.strip().replace("\\", "\\\\").replace('"', "'") + '"'


class PlainLoader(yaml.SafeLoader):
    """PyYAML ends a plain scalar at `?` between braces; YAML 1.2 (and libyaml) does not: `{email: string?}`."""

    _inside_plain = False

    def scan_plain(self) -> yaml.ScalarToken:
        self._inside_plain = True
        try:
            return super().scan_plain()
        finally:
            self._inside_plain = False

    def peek(self, index: int = 0) -> str:
        character: str = super().peek(index)
        return "_" if character == "?" and self._inside_plain else character


def _events(text: str) -> list[yaml.Event]:
    """Scan with libyaml (15 times faster) where it is there and accepts the text, else with PyYAML's own scanner.

    Only the latter joins surrogate pairs, and its messages are the ones shown; a law holds that both give the same nodes.
    """
    if yaml.__with_libyaml__:
        try:
            return list(yaml.parse(text, Loader=yaml.CSafeLoader))
        except yaml.YAMLError:
            return list(yaml.parse(text, Loader=PlainLoader))
    return list(yaml.parse(text, Loader=PlainLoader))


@dataclass(slots=True)
class _TooDeep(Exception):
    place: Node


class _Reader:
    """Builds nodes from events."""

    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._events: Iterator[yaml.Event] = iter(_events(text))

    def documents(self) -> list[Node]:
        found: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.tags:
                    self._report.add(_place(event), "tag", "a %TAG directive stands here; definitions have no tags, take it away")
                found.append(self._node(next(self._events), 0))
        return found

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise _TooDeep(_place(event))
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_extras(event)
            return self._scalar(event)
        if isinstance(event, yaml.CollectionStartEvent):
            self._refuse_extras(event)
            return self._mapping(event, depth) if isinstance(event, yaml.MappingStartEvent) else self._sequence(event, depth)
        place = _place(event)
        if isinstance(event, yaml.AliasEvent):
            self._report.add(place, "alias", f"the alias *{event.anchor} stands here; write the value out")
        return place

    def _refuse_extras(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor:
            message = f"the anchor &{event.anchor} stands here; a definition has none, take it away"
            self._report.add(_place(event), "anchor", message)
        if event.tag:
            self._report.add(_place(event), "tag", f"the tag {event.tag} stands here; a definition has none, take it away")

    def _sequence(self, start: yaml.Event, depth: int) -> Sequence:
        items: list[Node] = []
        while type(event := next(self._events)) is not yaml.SequenceEndEvent:
            items.append(self._node(event, depth + 1))
        mark = mark_of(start.start_mark)
        return Sequence(tuple(items), mark.line + 1, mark.column + 1)

    def _mapping(self, start: yaml.Event, depth: int) -> Mapping:
        items: dict[str, tuple[Scalar, Node]] = {}
        while type(event := next(self._events)) is not yaml.MappingEndEvent:
            before = len(self._report.problems)
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                del self._report.problems[before:]
                self._refuse_key(key, event)
            elif self._good_key(key, event):
                first, _ = items.setdefault(key.text, (key, value))
                if first is not key:
                    self._report.add(key, "duplicate-key", f"'{key.value}' stands at line {first.line} already; keep one")
        mark = mark_of(start.start_mark)
        return Mapping(tuple(items.values()), mark.line + 1, mark.column + 1)

    def _refuse_key(self, key: Mapping | Sequence, event: yaml.Event) -> None:
        start = mark_of(event.start_mark).index
        if isinstance(event, yaml.MappingStartEvent) and self._text.startswith("{", start) and self._text[:start].endswith("{"):
            end = self._text.find("}}", start)
            whole = self._text[start - 1 : end + 2 if end >= 0 else start + 40]
            place = Scalar(None, key.line, key.column - 1)
            self._report.add(
                place, "unquoted-template", f"a value that starts with {{{{ is a YAML mapping; quote it: {_quoted(whole)}"
            )
            return
        self._report.add(key, "bad-key", "a list or mapping stands where a key was wanted; write a word")

    def _good_key(self, key: Scalar, event: yaml.Event) -> bool:
        if key.value == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style:
            self._report.add(key, "merge-key", "'<<' merges a mapping in other readers; write the keys out")
            return False
        if not isinstance(key.value, str):
            if key.value is not None or key.text == "null":
                self._report.add(key, "want-string", f'{key.text} is {_sort(key)} and a key is a string; quote it: "{key.text}"')
            return False
        return True

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        mark, end = mark_of(event.start_mark), mark_of(event.end_mark)
        text, style = event.value, event.style or None  # libyaml says ""
        quotes = 2 if style else 0
        exact = mark.line == end.line and end.index - mark.index == len(text) + quotes
        line, column = mark.line + 1, mark.column + 1
        try:
            whole = joined_surrogates(text)
            value = resolve(whole) if style is None and not event.tag else whole
            return Scalar(value, line, column, whole, quotes // 2 if exact else None)
        except OddScalar as error:
            place = Scalar(text, line, column, text, quotes // 2 if exact else None)
            self._report.add(place, "bad-scalar" if text else "empty-value", str(error))
            return Scalar(None, line, column, text, None)


def _sort(scalar: Scalar) -> str:
    if scalar.value is None:
        return "nothing"
    return "a bool" if isinstance(scalar.value, bool) else "a number"


def _place(event: yaml.Event) -> Scalar:
    mark = mark_of(event.start_mark)
    return Scalar(None, mark.line + 1, mark.column + 1)


def mark_of(mark: yaml.Mark | Any | None) -> yaml.Mark:
    """Take a mark that events always have; libyaml's is of another class with the same fields."""
    return mark if mark is not None else _NO_MARK
