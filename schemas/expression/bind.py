"""Put the values of policies into an elaborated condition, where they become parameters of its shape.

Reads: a tree and the policies in force by environment key (`policies.limit`). Emits: a tree without them. What is not in force,
or is not of the type that the tree was checked for, stays unbound and is therefore missing. State: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from schemas.expression.fit import present
from schemas.expression.keyed import Keyed
from schemas.expression.rows import reach_into
from schemas.expression.tree import Constant, Field, ListOf, Lookup, Tree
from schemas.expression.types import ANY, STRING, Type
from schemas.expression.walk import rebuild

_HELD: Final[dict[str, type]] = {
    "string": str,
    "one_of": str,
    "int": int,
    "timestamp": int,
    "duration": int,
    "bool": bool,
    "float": float,
    "decimal": Decimal,
    "money": Decimal,
}


def bind(tree: Tree, policies: Mapping[str, Any]) -> Tree:
    """Copy a tree with every policy that is in force replaced by its value."""
    if isinstance(tree, Field) and tree.key in policies:
        return constant_tree(reach_into(tree.rest)(policies[tree.key]), tree.type) or tree
    tree = rebuild(tree, lambda part: bind(part, policies))
    if isinstance(tree, Lookup) and isinstance(policies.get(tree.key), Keyed):
        return _bound_lookup(tree, policies[tree.key])
    return tree


def _bound_lookup(tree: Lookup, keyed: Keyed) -> Tree:
    default = constant_tree(keyed.default, tree.type)
    pairs = [(_key(key), constant_tree(value, tree.type)) for key, value in keyed.values.items()]
    if default is None or any(value is None for _, value in pairs):
        return tree
    return msgspec.structs.replace(tree, values=tuple((key, value) for key, value in pairs if value is not None), default=default)


def _key(value: str | int) -> Constant:
    return Constant(value, STRING if isinstance(value, str) else Type("bool" if isinstance(value, bool) else "int"))


def constant_tree(value: Any, of: Type) -> Tree | None:
    """Give a value as rows hold it as a constant, or a list of them; None if it is not of the type."""
    if of.name == "list" and isinstance(value, list):
        items = [constant_tree(item, of.item or ANY) for item in value]
        known = tuple(item for item in items if item is not None)
        return ListOf(known, present(of)) if len(known) == len(items) else None
    held = _HELD.get(of.name)
    if held is None or not isinstance(value, held) or (isinstance(value, bool) and held is not bool):
        return None
    text: Any = f"{value:f}" if isinstance(value, Decimal) else value
    return Constant(text, Type(of.name, currency=of.currency))
