"""Going through a tree: its children, a rewritten copy, its size, the keys that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def children(tree: Tree) -> tuple[Tree, ...]:
    """Give the direct parts of a node, in the order of the text."""
    if isinstance(tree, And | Or | ListOf):
        return tree.items
    if isinstance(tree, Not | Negate | Convert | Lookup):
        return (tree.item,)
    if isinstance(tree, Compare | Arith):
        return (tree.left, tree.right)
    if isinstance(tree, Call):
        return tree.args
    if isinstance(tree, Matches):
        return (tree.text,)
    if isinstance(tree, Path):
        return tuple(part for part in tree.parts if not isinstance(part, str))
    return ()


def rebuild(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """Copy a node with each direct part changed."""
    if isinstance(tree, And | Or | ListOf):
        return msgspec.structs.replace(tree, items=tuple(change(item) for item in tree.items))
    if isinstance(tree, Not | Negate | Convert | Lookup):
        return msgspec.structs.replace(tree, item=change(tree.item))
    if isinstance(tree, Compare | Arith):
        return msgspec.structs.replace(tree, left=change(tree.left), right=change(tree.right))
    if isinstance(tree, Call):
        return msgspec.structs.replace(tree, args=tuple(change(arg) for arg in tree.args))
    if isinstance(tree, Matches):
        return msgspec.structs.replace(tree, text=change(tree.text))
    if isinstance(tree, Path):
        return msgspec.structs.replace(tree, parts=tuple(part if isinstance(part, str) else change(part) for part in tree.parts))
    return tree


def nodes(tree: Tree) -> Iterator[Tree]:
    """Give every node, parents before parts."""
    yield tree
    for child in children(tree):
        yield from nodes(child)


def without_places(tree: Tree) -> Tree:
    """Copy a tree with every offset 0, so that equal meanings are equal values."""
    return msgspec.structs.replace(rebuild(tree, without_places), at=0)


def size_of(tree: Tree) -> int:
    """Count the nodes."""
    return sum(1 for _ in nodes(tree))


def depth_of(tree: Tree) -> int:
    """Give the height of the tree; a lone node is 1 deep."""
    return 1 + max((depth_of(child) for child in children(tree)), default=0)


def keys(tree: Tree) -> frozenset[str]:
    """Give the environment keys that an elaborated tree reads (parameters as p0, p1, ...)."""
    fields = {node.key for node in nodes(tree) if isinstance(node, Field)}
    asked = {node.key for node in nodes(tree) if isinstance(node, Lookup) and node.default is None}
    return frozenset(fields | asked | {f"p{node.index}" for node in nodes(tree) if isinstance(node, Param)})
