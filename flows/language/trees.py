"""Which expressions a record of a program holds, and the record with them changed: for layout and for what is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args

import msgspec

from schemas.expression.template import Items, Record, Template, Text, Value, Whole, map_trees, template_trees
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.expression.walk import without_places
from schemas.program import (
    Absence,
    Arm,
    AtOnce,
    Await,
    Batch,
    Compensation,
    Correlation,
    Deciders,
    Limit,
    Measure,
    Sequence,
    Window,
)

R = TypeVar("R", bound=msgspec.Struct)

# by class, as every field of every step is looked at several times
_NOTHING: Final = frozenset([str, int, bool, float, type(None), Type])
_TEMPLATES: Final = frozenset([Value, Whole, Text, Record, Items])
_HOLDERS: Final = frozenset(
    [Absence, Arm, AtOnce, Await, Batch, Compensation, Correlation, Deciders, Limit, Measure, Sequence, Window]
)
_TREES: Final = frozenset(get_args(Tree))


def trees_of(record: Any) -> list[Tree]:
    """Give every expression of a step or of a part of one."""
    found: list[Tree] = []
    for name in record.__struct_fields__:
        _gather(getattr(record, name), found)
    return found


def _gather(value: Any, found: list[Tree]) -> None:
    kind = type(value)
    if kind in _NOTHING:
        return
    if kind is tuple:
        for item in value:
            _gather(item, found)
    elif kind in _TREES:
        found.append(value)
    elif kind in _TEMPLATES:
        found.extend(template_trees(value))
    elif kind in _HOLDERS:
        found.extend(trees_of(value))


def without_any_places(step: R) -> R:
    """Copy a step with every offset 0: where something stands in the text is no part of a program."""
    return _changed(step, without_places)  # type: ignore[no-any-return]


def _changed(record: Any, change: Callable[[Tree], Tree]) -> Any:
    new = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if type(value) not in _NOTHING and value != ():
            new[name] = _copy(value, change)
    return msgspec.structs.replace(record, **new) if new else record


def _copy(value: Any, change: Callable[[Tree], Tree]) -> Any:
    kind = type(value)
    if kind is tuple:
        return tuple([_copy(item, change) for item in value])
    if kind in _TREES:
        return change(value)
    if kind in _TEMPLATES:
        return map_trees(value, change)
    return _changed(value, change) if kind in _HOLDERS else value


__all__ = ["Template", "trees_of", "without_any_places"]
