"""Going through a tree: its children, a rewritten copy, its size, the keys that it reads."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.expression.tree import (
    And,
    Arith,
    Call,
    Compare,
    Convert,
    Field,
    ListOf,
    Lookup,
    Matches,
    Negate,
    Not,
    Or,
    Param,
    Path,
    Tree,
)


def _path_parts(path: Path) -> tuple[Tree, ...]:
    return tuple(part for part in path.parts if not isinstance(part, str))


def _changed_parts(path: Path, change: Callable[[Tree], Tree]) -> dict[str, Any]:
    return {"parts": tuple(part if isinstance(part, str) else change(part) for part in path.parts)}


# how to find the direct parts of a node, and their fields changed: looked up by class, as every expression is walked many times
_CHILDREN: Final[dict[type, Callable[[Any], tuple[Tree, ...]]]] = {
    **dict.fromkeys((And, Or, ListOf), attrgetter("items")),
    **dict.fromkeys((Not, Negate, Convert, Lookup), lambda tree: (tree.item,)),
    **dict.fromkeys((Compare, Arith), attrgetter("left", "right")),
    Call: attrgetter("args"),
    Matches: lambda tree: (tree.text,),
    Path: _path_parts,
}
_CHANGED: Final[dict[type, Callable[[Any, Callable[[Tree], Tree]], dict[str, Any]]]] = {
    **dict.fromkeys((And, Or, ListOf), lambda tree, change: {"items": tuple(map(change, tree.items))}),
    **dict.fromkeys((Not, Negate, Convert, Lookup), lambda tree, change: {"item": change(tree.item)}),
    **dict.fromkeys((Compare, Arith), lambda tree, change: {"left": change(tree.left), "right": change(tree.right)}),
    Call: lambda tree, change: {"args": tuple(map(change, tree.args))},
    Matches: lambda tree, change: {"text": change(tree.text)},
    Path: _changed_parts,
}


def children(tree: Tree) -> tuple[Tree, ...]:
    """Give the direct parts of a node, in the order of the text."""
    parts = _CHILDREN.get(type(tree))
    return () if parts is None else parts(tree)


def rebuild(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """Copy a node with each direct part changed."""
    changed = _CHANGED.get(type(tree))
    return tree if changed is None else msgspec.structs.replace(tree, **changed(tree, change))


def nodes(tree: Tree) -> list[Tree]:
    """List every node, parents before parts."""
    found: list[Tree] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        parts = _CHILDREN.get(type(node))
        if parts is not None:
            waiting.extend(reversed(parts(node)))
    return found


def without_places(tree: Tree) -> Tree:
    """Copy a tree with every offset 0, so that equal meanings are equal values."""
    changed = _CHANGED.get(type(tree))
    return msgspec.structs.replace(tree, at=0, **({} if changed is None else changed(tree, without_places)))


def size_of(tree: Tree) -> int:
    """Count the nodes."""
    return len(nodes(tree))


def depth_of(tree: Tree) -> int:
    """Give the height of the tree; a lone node is 1 deep."""
    return 1 + max((depth_of(child) for child in children(tree)), default=0)


def keys(tree: Tree) -> frozenset[str]:
    """Give the environment keys that an elaborated tree reads (parameters as p0, p1, ...)."""
    found: set[str] = set()
    for node in nodes(tree):
        if isinstance(node, Field) or (isinstance(node, Lookup) and node.default is None):
            found.add(node.key)
        elif isinstance(node, Param):
            found.add(f"p{node.index}")
    return frozenset(found)
