"""What a definition file holds before anything is made of it: scalars, mappings and sequences that know their place.

Lines and columns count from 1, columns in code points. A file has hundreds of nodes, so they are the cheapest records there are;
none ever holds itself, so the collector of cycles need not look at them.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec.structs import replace

from schemas.records import Json

Path = tuple[str | int, ...]


class Scalar(msgspec.Struct, frozen=True, gc=False):
    """A text, number, bool or null. `offset` is how many columns the text starts behind the place (a quote is one)."""

    value: str | int | Decimal | bool | None
    line: int = 1
    column: int = 1
    text: str = ""
    offset: int | None = 0  # None: a place inside the text has no place in the file (escapes, several lines)


class Mapping(msgspec.Struct, frozen=True, gc=False):
    """Keys and values in the order of the file; no key stands twice."""

    items: tuple[tuple[Scalar, Node], ...]
    line: int = 1
    column: int = 1

    def get(self, key: str) -> Node | None:
        """Give the value of a key, None where the key is absent."""
        for name, value in self.items:
            if name.value == key:
                return value
        return None

    def key(self, key: str) -> Scalar | None:
        """Give the place of a key."""
        for name, _ in self.items:
            if name.value == key:
                return name
        return None

    def names(self) -> list[str]:
        """List the keys."""
        return [str(name.value) for name, _ in self.items]


class Sequence(msgspec.Struct, frozen=True, gc=False):
    """A list."""

    items: tuple[Node, ...]
    line: int = 1
    column: int = 1


Node = Scalar | Mapping | Sequence


def plain(node: Node) -> Json:
    """Give the bare value: str, int, Decimal, bool, None, list, dict."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.value: plain(value) for key, value in node.items}


def planted(value: Json, line: int = 1, column: int = 1) -> Node:
    """Turn a bare value into nodes that all stand at one place."""
    if isinstance(value, dict):
        items = tuple((Scalar(str(key), line, column), planted(item, line, column)) for key, item in value.items())
        return Mapping(items, line, column)
    if isinstance(value, list | tuple):
        return Sequence(tuple(planted(item, line, column) for item in value), line, column)
    number = Decimal(repr(value)) if isinstance(value, float) else value
    return Scalar(number, line, column, str(value), None)


def find(node: Node, path: Path) -> Node | None:
    """Follow keys and indices; None where the way ends early."""
    here: Node | None = node
    for part in path:
        if isinstance(here, Mapping) and isinstance(part, str):
            here = here.get(part)
        elif isinstance(here, Sequence) and isinstance(part, int) and part < len(here.items):
            here = here.items[part]
        else:
            return None
    return here


def inner(node: Node, key: str) -> Node:
    """Give the value of a key, or the node itself where there is none: the nearest place to tell of."""
    found = node.get(key) if isinstance(node, Mapping) else None
    return node if found is None else found


def nearest(node: Node, path: Path) -> Node:
    """Follow keys and indices as far as they lead, passing over what is not there."""
    here = node
    for part in path:
        found = find(here, (part,))
        here = here if found is None else found
    return here


def renamed(node: Mapping, path: Path, name: str) -> Mapping:
    """Give the key at the end of a path another name; its place and its value stay."""
    found = _renamed(node, path, name)
    return found if isinstance(found, Mapping) else node


def _renamed(node: Node, path: Path, name: str) -> Node:
    head, *rest = path
    if isinstance(node, Mapping):
        pairs = node.items
        if rest:
            return replace(node, items=tuple((k, _renamed(v, tuple(rest), name) if k.value == head else v) for k, v in pairs))
        return replace(node, items=tuple((replace(k, value=name, text=name) if k.value == head else k, v) for k, v in pairs))
    if isinstance(node, Sequence):
        return replace(
            node, items=tuple(_renamed(one, tuple(rest), name) if at == head else one for at, one in enumerate(node.items))
        )
    return node


def without(node: Node, path: Path) -> Node:
    """Take the key or item at a path away; the node itself if there is none."""
    if not path:
        return node
    head, *rest = path
    if isinstance(node, Mapping):
        kept = [(key, without(value, tuple(rest)) if rest and key.value == head else value) for key, value in node.items]
        return replace(node, items=tuple((key, value) for key, value in kept if rest or key.value != head))
    if isinstance(node, Sequence) and isinstance(head, int):
        if rest:
            items = tuple(without(item, tuple(rest)) if at == head else item for at, item in enumerate(node.items))
        else:
            items = tuple(item for at, item in enumerate(node.items) if at != head)
        return replace(node, items=items)
    return node
