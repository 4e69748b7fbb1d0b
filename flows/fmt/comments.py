"""Finds the comments of a YAML text and the entry that each belongs to; blank lines between entries are kept too, one of each.

An entry is a key with its value, or an item of a list. A comment on a line of its own belongs to the entry that begins next, one
behind something to the outermost entry of that line that is over there, else to the one that is open.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import yaml

from flows.language.yaml_text import PlainLoader, mark_of

Sort = Literal["key", "item"]
Place = tuple[Sort, int, int]  # line and column, from 1
_BREAKS: Final = "\n\r\x85\u2028\u2029"  # what YAML ends a line with
_COMMENT: Final = re.compile(rf"(?<!\S)#[^{_BREAKS}]*")
_LINE: Final = re.compile(rf"\r\n|[{_BREAKS}]")


@dataclass(slots=True)
class Notes:
    """What stands around one entry."""

    above: list[str] = field(default_factory=list)
    behind: str = ""
    blank: bool = False  # a blank line before it


@dataclass(slots=True)
class Comments:
    """All comments of a file: by entry, and of each document those above its first entry and below its last."""

    by_place: dict[Place, Notes]
    above: list[list[str]]  # one list a document
    below: list[list[str]]

    def at(self, place: Place) -> Notes:
        """Give the notes of an entry."""
        return self.by_place.get(place, _NONE)


_NONE: Final = Notes()


@dataclass(slots=True)
class _Entry:
    place: Place
    start: int
    document: int
    end: int = 0


def find_comments(text: str) -> Comments:
    """Find the comments of a text that the strict reader accepts."""
    walk = _Walk(text)
    around: list[list[list[str]]] = [[[] for _ in range(walk.documents)] for _ in range(2)]
    comments = Comments({entry.place: Notes() for entry in walk.entries}, *around)
    starts = [entry.start for entry in walk.entries]
    for found in walk.comments():
        _attach(text, found, walk, starts, comments)
    _note_blank_lines(text, walk.entries, comments)
    return comments


class _Walk:
    """Entries in order of their start, and the stretches of text that are scalars."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=PlainLoader))
        self._scalars: list[tuple[int, int]] = []
        self.entries: list[_Entry] = []
        self.document_starts: list[int] = []  # index of each `---` but the first
        self.documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self.documents:
                    self.document_starts.append(mark_of(event.start_mark).index)
                self.documents += 1
                self._node(next(self._events))

    def comments(self) -> Iterator[tuple[int, str]]:
        """Give index and text of each comment, in order."""
        before = 0
        for start, end in [*self._scalars, (len(self._text), len(self._text))]:
            for found in _COMMENT.finditer(self._text, before, max(start, before)):
                yield found.start(), found.group().rstrip()
            before = end

    def _node(self, event: yaml.Event) -> int:
        """Walk one node; give the index behind it."""
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        end = mark_of(event.end_mark).index
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(key := next(self._events), yaml.MappingEndEvent):
                entry = self._open("key", key)
                self._node(key)
                entry.end = end = self._node(next(self._events))
            return max(end, mark_of(key.end_mark).index) if event.flow_style else end
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            entry = self._open("item", item)
            entry.end = end = self._node(item)
        return max(end, mark_of(item.end_mark).index) if event.flow_style else end  # type: ignore[attr-defined]

    def _open(self, sort: Sort, event: yaml.Event) -> _Entry:
        mark = mark_of(event.start_mark)
        entry = _Entry((sort, mark.line + 1, mark.column + 1), mark.index, self.documents - 1)
        self.entries.append(entry)
        return entry

    def _scalar(self, event: yaml.ScalarEvent) -> int:
        start, end = mark_of(event.start_mark).index, mark_of(event.end_mark).index
        if event.style in ("|", ">"):  # its header may carry a comment
            header = self._text.find("\n", start)
            start = min(end, header) if header >= 0 else end
        self._scalars.append((start, end))
        return end


def _attach(text: str, found: tuple[int, str], walk: _Walk, starts: list[int], comments: Comments) -> None:
    index, comment = found
    line_start = max(text.rfind(end, 0, index) for end in _BREAKS) + 1
    following = bisect_left(starts, index)
    entry = None if text[line_start:index].strip(" -?:") == "" else _on_line(walk.entries, starts, line_start, index)
    if entry is not None and not comments.by_place[entry.place].behind:
        comments.by_place[entry.place].behind = comment
        return
    document = sum(start < index for start in walk.document_starts)
    ended = following == len(walk.entries) or walk.entries[following].document != document
    if ended:
        comments.below[document].append(comment)
    elif following == 0 or walk.entries[following - 1].document != document:
        comments.above[document].append(comment)  # it speaks of the whole, whichever key will stand first
    else:
        comments.by_place[walk.entries[following].place].above.append(comment)


def _on_line(entries: list[_Entry], starts: list[int], line_start: int, index: int) -> _Entry | None:
    first, behind = bisect_left(starts, line_start), bisect_left(starts, index)
    here = entries[first:behind]
    over = next((entry for entry in here if 0 < entry.end <= index), None)
    if over is not None:
        return over
    return here[-1] if here else entries[behind - 1] if behind else None


def _note_blank_lines(text: str, entries: list[_Entry], comments: Comments) -> None:
    lines = _LINE.split(text)
    for entry in entries:
        line = entry.place[1] - 1  # from 0
        notes = comments.by_place[entry.place]
        above = line - len(notes.above) - 1
        starts_line = not lines[line][: entry.place[2] - 1].strip(" -" if entry.place[0] == "item" else " ")
        notes.blank = starts_line and above >= 0 and not lines[above].strip()
