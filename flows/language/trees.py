"""Which expressions a record of a program holds, and the record with them changed: for layout and for what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

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

_TEMPLATES: Final = (Value, Whole, Text, Record, Items)
_HOLDERS: Final = (Absence, Arm, AtOnce, Await, Batch, Compensation, Correlation, Deciders, Limit, Measure, Sequence, Window)
_TREE_TAG: Final = "node"


def trees_of(record: Any) -> Iterator[Tree]:
    """Give every expression of a step or of a part of one."""
    for name in record.__struct_fields__:
        yield from _trees(getattr(record, name))


def _trees(value: Any) -> Iterator[Tree]:
    if isinstance(value, _TEMPLATES):
        yield from template_trees(value)
    elif isinstance(value, _HOLDERS):
        yield from trees_of(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _trees(item)
    elif _is_tree(value):
        yield value


def without_any_places(step: R) -> R:
    """Copy a step with every offset 0: where something stands in the text is no part of a program."""
    return _changed(step, without_places)  # type: ignore[no-any-return]


def _changed(record: Any, change: Callable[[Tree], Tree]) -> Any:
    new = {name: _copy(getattr(record, name), change) for name in record.__struct_fields__}
    return msgspec.structs.replace(record, **new)


def _copy(value: Any, change: Callable[[Tree], Tree]) -> Any:
    if isinstance(value, _TEMPLATES):
        return map_trees(value, change)
    if isinstance(value, _HOLDERS):
        return _changed(value, change)
    if isinstance(value, tuple):
        return tuple(_copy(item, change) for item in value)
    return change(value) if _is_tree(value) else value


def _is_tree(value: Any) -> bool:
    return isinstance(value, msgspec.Struct) and not isinstance(value, Type) and value.__struct_config__.tag_field == _TREE_TAG


__all__ = ["Template", "trees_of", "without_any_places"]
