"""Which names the steps of a flow bind, and where: found before the walk, so that a use before it can be told from a typo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.language.nodes import Mapping, Node, Scalar, Sequence

_DATA_KEYS: Final = frozenset(["with", "set", "output", "labels", "when", "conditions"])


def mappings(node: Node) -> Iterator[Mapping]:
    """Give every mapping that may be a step; data is not looked into."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from mappings(item)
    if isinstance(node, Mapping):
        yield node
        for key, value in node.items:
            if key.value not in _DATA_KEYS:
                yield from mappings(value)


def bindings(found: list[Mapping]) -> dict[str, Scalar]:
    """Give the first place at which each name is set, so that a use before it can be told from a typo."""
    places: dict[str, Scalar] = {}
    for assigned in (mapping.get("set") for mapping in found):
        for key, _ in assigned.items if isinstance(assigned, Mapping) else ():
            places.setdefault(str(key.value), key)
    return places


def named_steps(found: list[Mapping], verb: str) -> list[Scalar]:
    """Give the `as` of every step, or of those with a verb."""
    names = [mapping.get("as") for mapping in found if not verb or mapping.get(verb) is not None]
    return [name for name in names if isinstance(name, Scalar)]
