"""Shapes: conditions that differ only in their constants share one evaluation, the constants become parameters."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.expression.functions.table import FUNCTIONS
from schemas.expression.tree import Call, Constant, ListOf, Param, Tree
from schemas.expression.walk import rebuild, without_places

LISTED_MAX: Final = 16  # constants of a list that become parameters; a longer list is part of the shape


def is_long(tree: ListOf) -> bool:
    """Tell whether a list of constants is looked through as a whole."""
    return len(tree.items) > LISTED_MAX and all(isinstance(item, Constant) for item in tree.items)


def shape(tree: Tree) -> tuple[Tree, tuple[Constant, ...]]:
    """Take the constants out of an elaborated tree, in order; equal shapes are equal trees (offsets are 0).

    Patterns, units and currencies stay: what an evaluation is made of cannot be a column.
    """
    taken: list[Constant] = []
    return _shaped(tree, taken), tuple(taken)


def _shaped(tree: Tree, taken: list[Constant]) -> Tree:
    if isinstance(tree, Constant):
        taken.append(msgspec.structs.replace(tree, at=0))
        return Param(len(taken) - 1, tree.type)
    if isinstance(tree, ListOf) and is_long(tree):
        return without_places(tree)
    if isinstance(tree, Call) and FUNCTIONS[tree.name].static:
        return _shaped_call(tree, taken)
    return msgspec.structs.replace(rebuild(tree, lambda part: _shaped(part, taken)), at=0)


def _shaped_call(tree: Call, taken: list[Constant]) -> Tree:
    static = FUNCTIONS[tree.name].static
    args = tuple(
        msgspec.structs.replace(arg, at=0) if place in static else _shaped(arg, taken) for place, arg in enumerate(tree.args)
    )
    return msgspec.structs.replace(tree, args=args, at=0)
