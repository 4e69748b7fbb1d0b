"""Writes nodes as JSON, two spaces a level; numbers keep their digits."""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from decimal import Decimal
from typing import Final

from flows.language.nodes import Mapping, Node, Scalar, Sequence

WIDTH: Final = 120  # what fits stands on one line
_STEP: Final = "  "


def json_text(documents: Many[Mapping], *, listed: bool) -> str:
    """Write the documents of a file; `listed`: in an array."""
    node = Sequence(tuple(documents)) if listed else documents[0]
    return _written(node, "") + "\n"


def _written(node: Node, indent: str) -> str:
    if isinstance(node, Scalar):
        return _scalar(node)
    short = _one_line(node)
    if indent and len(indent) + len(short) <= WIDTH:
        return short
    inner = indent + _STEP
    if isinstance(node, Mapping):
        entries = [f"{inner}{_quoted(str(key.value))}: {_written(value, inner)}" for key, value in node.items]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}" if entries else "{}"
    items = [inner + _written(item, inner) for item in node.items]
    return "[\n" + ",\n".join(items) + f"\n{indent}]" if items else "[]"


def _one_line(node: Node) -> str:
    if isinstance(node, Mapping):
        return "{" + ", ".join(f"{_quoted(str(key.value))}: {_one_line(value)}" for key, value in node.items) + "}"
    if isinstance(node, Sequence):
        return "[" + ", ".join(_one_line(item) for item in node.items) + "]"
    return _scalar(node)


def _scalar(node: Scalar) -> str:
    match node.value:
        case None:
            return "null"
        case bool():
            return "true" if node.value else "false"
        case Decimal():
            return format(node.value, "f")
        case int():
            return str(node.value)
        case str() as text:
            return _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
