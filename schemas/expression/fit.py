"""Making operands fit: which type two sides have in common, and what is put around one to read it as a type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from schemas.expression.print import print_constant, print_tree
from schemas.expression.tree import Constant, Convert, Field, ListOf, Tree
from schemas.expression.type_text import print_type
from schemas.expression.types import ANY, BOOL, DECIMAL, INT, STRING, Type

BROKEN: Final = Type("any", options=("broken",))  # of a node with a finding already: fits everything in silence
NUMBERS: Final = frozenset(["int", "decimal", "float"])
BOOL_OPTIONAL: Final = Type("bool", optional=True)


def present(of: Type) -> Type:
    """Give the type of a value that is there."""
    return msgspec.structs.replace(of, optional=False) if of.optional else of


def optional(of: Type, *, when: bool = True) -> Type:
    """Give the type of a value that may be missing."""
    return msgspec.structs.replace(of, optional=True) if when and not of.optional else of


def type_of(tree: Tree) -> Type:
    """Give the type of an elaborated node."""
    return ANY if not hasattr(tree, "type") else tree.type


def may_miss(trees: Iterable[Tree]) -> bool:
    """Tell whether one of the values may be missing."""
    return any(type_of(tree).optional for tree in trees)


def is_broken(tree: Tree) -> bool:
    """Tell whether a finding has been made about this node already."""
    return type_of(tree).options == ("broken",)


def adapt(tree: Tree, want: Type) -> Tree | None:
    """Give the tree as a value of a type (its optional mark does not count); None if it cannot be one."""
    have = present(type_of(tree))
    want = present(want)
    if have == want or is_broken(tree) or want.name == "any":
        return tree
    if isinstance(tree, Constant):
        return _adapt_constant(tree, want)
    if isinstance(tree, ListOf) and want.name == "list" and want.item is not None:
        return _adapt_items(tree, want)
    if have.name == "any":
        return Convert(tree, optional(want), at=tree.at)
    if _reads_as(have, want):
        return tree
    return Convert(tree, optional(want, when=type_of(tree).optional), at=tree.at) if _widens(have, want) else None


def _adapt_constant(tree: Constant, want: Type) -> Tree | None:
    rule = _CONSTANTS.get((tree.type.name, want.name))
    if rule is not None:
        return Constant(rule(tree.value), want, tree.at)
    if tree.type.name == "int" and tree.value == 0 and want.name == "duration":
        return Constant(0, want, tree.at)
    return tree if _reads_as(tree.type, want) else None


_CONSTANTS: Final[dict[tuple[str, str], Callable[[str | int | float | bool], str | float]]] = {
    ("int", "decimal"): str,
    ("int", "float"): float,
    ("decimal", "float"): float,
}


def _adapt_items(tree: ListOf, want: Type) -> Tree | None:
    items = [adapt(item, want.item or ANY) for item in tree.items]
    fitting = [item for item in items if item is not None]
    return msgspec.structs.replace(tree, items=tuple(fitting), type=want) if len(fitting) == len(items) else None


def _reads_as(have: Type, want: Type) -> bool:
    """Tell whether values of a type are values of the other as they stand."""
    if {have.name, want.name} <= {"string", "one_of"}:
        return True
    if have.name == "list" and want.name == "list":
        one, two = present(have.item or ANY), present(want.item or ANY)
        return one == two or two.name == "any" or _reads_as(one, two)
    if have.name == "record" and want.name == "record":
        return not want.fields or _fields_read_as(dict(have.fields), dict(want.fields))
    return have.name == want.name and have.name not in ("money", "list", "record")


def _fields_read_as(have: dict[str, Type], want: dict[str, Type]) -> bool:
    def fits(name: str, part: Type) -> bool:
        one = have.get(name)
        if one is None:
            return part.optional
        return (part.optional or not one.optional) and (present(one) == present(part) or _reads_as(present(one), present(part)))

    return all(fits(name, part) for name, part in want.items())


def _widens(have: Type, want: Type) -> bool:
    if have.name == "int" and want.name in ("decimal", "float"):
        return True
    if have.name == "list" and want.name == "list":
        one, two = present(have.item or ANY), present(want.item or ANY)
        return one.name == "any" or _widens(one, two)
    return False


def unify(trees: tuple[Tree, ...]) -> tuple[tuple[Tree, ...], Type] | None:
    """Give all trees as values of one type, and that type (not optional); None if there is none."""
    for candidate in _candidates(trees):
        fitted = [adapt(tree, candidate) for tree in trees]
        whole = [tree for tree in fitted if tree is not None]
        if len(whole) == len(trees):
            return tuple(whole), candidate
    return None


def _candidates(trees: tuple[Tree, ...]) -> list[Type]:
    """Give the types to try: those of values before those of literals, whose type follows the other side."""
    known = [tree for tree in trees if present(type_of(tree)).name != "any"]
    fixed = [present(type_of(tree)) for tree in known if not isinstance(tree, Constant)]
    literal = [present(type_of(tree)) for tree in known if isinstance(tree, Constant)]
    if not fixed and len(known) < len(trees) and {of.name for of in literal} == {"int"}:
        literal = [DECIMAL]  # 10000 beside a value of no contract: any number will do, not only a whole one
    return [STRING if of.name == "one_of" else of for of in fixed + literal]


def as_condition(tree: Tree) -> Tree | None:
    """Give the tree as a bool."""
    return adapt(tree, BOOL)


def as_int(tree: Tree) -> Tree | None:
    """Give the tree as an int."""
    return adapt(tree, INT)


def named(of: Type) -> str:
    """Name a type in a sentence, with its article."""
    if of.name == "any":
        return "of no known type"
    if of.name == "list":
        return "a " + print_type(present(of)) if of.item and of.item.name != "record" else "a list of records"
    if of.name in ("money", "one_of"):
        return print_type(present(of))
    return ("an " if of.name == "int" else "a ") + of.name


def shown(tree: Tree) -> str:
    """Name a node in a sentence."""
    if isinstance(tree, Convert):
        return shown(tree.item)
    if isinstance(tree, Constant):
        return print_constant(tree)
    return f"'{print_tree(tree)}'" if isinstance(tree, Field) else print_tree(tree)
