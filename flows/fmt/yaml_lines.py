"""Writes nodes as block-style YAML with their comments: two spaces a level, short lists of scalars in brackets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.fmt.comments import Comments, Notes
from flows.fmt.scalar_text import KEY_MAX, block_lines, quoted, scalar_text
from flows.language.nodes import Mapping, Node, Scalar, Sequence

WIDTH: Final = 100  # of a list in brackets with its key
_STEP: Final = "  "


def yaml_lines(node: Mapping, comments: Comments, number: int) -> list[str]:
    """Write one document of a file, with what stands above and below it."""
    return [*comments.above[number], *_Writer(comments).block(node, ""), *comments.below[number]]


class _Writer:
    def __init__(self, comments: Comments) -> None:
        self._comments = comments

    def block(self, node: Mapping | Sequence, indent: str) -> Iterator[str]:
        """Write the entries of a mapping or list that is not empty, one below the other."""
        if isinstance(node, Mapping):
            for number, (key, value) in enumerate(node.items):
                notes = self._comments.at(("key", key.line, key.column))
                yield from _above(notes, indent, first=number == 0)
                yield from self._key(key, value, notes, indent)
            return
        for number, item in enumerate(node.items):
            notes = self._comments.at(("item", item.line, item.column))
            yield from _above(notes, indent, first=number == 0)
            yield from self._item(item, notes, indent)

    def _key(self, key: Scalar, value: Node, notes: Notes, indent: str) -> Iterator[str]:
        name = scalar_text(key)
        head = f"{indent}{name}:"
        if len(name) > KEY_MAX:
            yield f"{indent}? {quoted(str(key.value))}"
            head = f"{indent}:"
        yield from self._value(head, value, notes, indent)

    def _item(self, item: Node, notes: Notes, indent: str) -> Iterator[str]:
        """Write one item of a list; comments that would stand behind the dash alone go above it."""
        if isinstance(item, Scalar) or not item.items:
            yield from self._value(f"{indent}-", item, notes, indent)
        elif isinstance(item, Sequence) and self._in_brackets(item, len(indent) + 1, item.items[0]):
            inner, last = self._around(item.items[0]), self._around(item.items[-1])
            yield from (f"{indent}{comment}" for comment in inner.above)
            yield from [f"{indent}{notes.behind}"] if notes.behind and last.behind else []
            yield _with_comment(f"{indent}- {_brackets(item)}", last if last.behind else notes)
        else:
            yield from self._nested(item, notes, indent)

    def _nested(self, item: Mapping | Sequence, notes: Notes, indent: str) -> Iterator[str]:
        lines = list(self.block(item, indent + _STEP))
        first = next(at for at, line in enumerate(lines) if not line.lstrip().startswith("#"))
        yield from (indent + line.lstrip() for line in lines[:first])
        if notes.behind and "#" in lines[first]:  # no line holds two comments
            yield indent + notes.behind
            yield f"{indent}- {lines[first].lstrip()}"
        else:
            yield _with_comment(f"{indent}- {lines[first].lstrip()}", notes)
        yield from lines[first + 1 :]

    def _value(self, head: str, value: Node, notes: Notes, indent: str) -> Iterator[str]:
        if isinstance(value, Scalar):
            yield from _scalar_lines(head, value, notes, indent)
        elif not value.items:
            yield _with_comment(f"{head} {'{}' if isinstance(value, Mapping) else '[]'}", notes)
        elif isinstance(value, Sequence) and self._in_brackets(value, len(head)) and not self._two_behind(value, notes):
            last = self._around(value.items[-1])
            yield _with_comment(f"{head} {_brackets(value)}", last if last.behind else notes)
        else:
            yield _with_comment(head, notes)
            yield from self.block(value, indent + _STEP)

    def _in_brackets(self, node: Sequence, before: int, commented: Node | None = None) -> bool:
        """Tell whether a list goes on one line: scalars alone, not too long, no comments but above `commented` and at the end."""
        if not all(isinstance(item, Scalar) for item in node.items):
            return False
        if any(self._around(item).above for item in node.items if item is not commented):
            return False
        if any(self._around(item).behind for item in node.items[:-1]):
            return False
        return before + 1 + len(_brackets(node)) <= WIDTH

    def _two_behind(self, node: Sequence, notes: Notes) -> bool:
        return bool(notes.behind and self._around(node.items[-1]).behind)

    def _around(self, item: Node) -> Notes:
        return self._comments.at(("item", item.line, item.column))


def _brackets(node: Sequence) -> str:
    return f"[{', '.join(scalar_text(item, inside=True) for item in node.items if isinstance(item, Scalar))}]"


def _scalar_lines(head: str, value: Scalar, notes: Notes, indent: str) -> Iterator[str]:
    lines = block_lines(value.value) if isinstance(value.value, str) and "\n" in value.value else None
    if lines is None:
        yield _with_comment(f"{head} {scalar_text(value)}", notes)
        return
    yield _with_comment(f"{head} {lines[0]}", notes)
    yield from (f"{indent}{_STEP}{line}" if line else "" for line in lines[1:])


def _above(notes: Notes, indent: str, *, first: bool) -> Iterator[str]:
    if notes.blank and not first:
        yield ""
    yield from (f"{indent}{comment}" for comment in notes.above)


def _with_comment(line: str, notes: Notes) -> str:
    return f"{line}  {notes.behind}" if notes.behind else line
