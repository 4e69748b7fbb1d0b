"""Tree to text: the canonical infix form. parse(print_tree(tree)) gives the tree again, but for offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from schemas.expression.literals import print_duration, print_timestamp
from schemas.expression.tree import (
    And,
    Arith,
    Call,
    Compare,
    Constant,
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
from schemas.expression.words import is_plain

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY, _PRIMARY = range(1, 9)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
_NUMBERS = frozenset(["int", "decimal", "float", "money", "duration"])


def print_tree(tree: Tree) -> str:
    """Write a tree as one line of text."""
    printer: Callable[[Any], str] = _PRINTERS[type(tree)]
    return printer(tree)


def print_string(text: str) -> str:
    """Write a text literal."""
    return '"' + "".join(_ESCAPES.get(char) or (char if char >= " " else f"\\u{ord(char):04X}") for char in text) + '"'


def print_constant(tree: Constant) -> str:
    """Write a literal."""
    kind = tree.type.name
    if isinstance(tree.value, bool):
        return "true" if tree.value else "false"
    if kind == "duration":
        return print_duration(int(tree.value))
    if kind == "timestamp":
        return f'timestamp("{print_timestamp(int(tree.value))}")'
    if kind == "money":
        return f"{tree.value} {tree.type.currency}"
    if kind in _NUMBERS:
        return str(tree.value)
    return print_string(str(tree.value))


def _level(tree: Tree) -> int:
    if isinstance(tree, Convert):
        return _level(tree.item)
    if isinstance(tree, Constant):
        return _UNARY if print_constant(tree).startswith("-") else _PRIMARY
    if isinstance(tree, Arith):
        return _SUM if tree.operator in ("+", "-") else _PRODUCT
    return _LEVELS.get(type(tree), _PRIMARY)


def _at_least(tree: Tree, level: int) -> str:
    text = print_tree(tree)
    return text if _level(tree) >= level else f"({text})"


def _and(tree: And) -> str:
    return " and ".join(_at_least(item, _NOT) for item in tree.items)


def _or(tree: Or) -> str:
    return " or ".join(_at_least(item, _AND) for item in tree.items)


def _not(tree: Not) -> str:
    return f"not {_at_least(tree.item, _NOT)}"


def _compare(tree: Compare) -> str:
    return f"{_at_least(tree.left, _SUM)} {tree.operator} {_at_least(tree.right, _SUM)}"


def _matches(tree: Matches) -> str:
    return f"{_at_least(tree.text, _SUM)} matches {print_string(tree.pattern)}"


def _arith(tree: Arith) -> str:
    own = _level(tree)
    return f"{_at_least(tree.left, own)} {tree.operator} {_at_least(tree.right, own + 1)}"


def _negate(tree: Negate) -> str:
    item = tree.item.item if isinstance(tree.item, Convert) else tree.item
    if isinstance(item, Constant) and item.type.name in _NUMBERS and _level(item) == _PRIMARY:
        return f"-({print_constant(item)})"  # -5 is a constant, -(5) the minus of one
    return f"-{_at_least(tree.item, _UNARY)}"


def _list(tree: ListOf) -> str:
    return "[" + ", ".join(print_tree(item) for item in tree.items) + "]"


def _call(tree: Call) -> str:
    return f"{tree.name}({', '.join(print_tree(arg) for arg in tree.args)})"


def _path(tree: Path) -> str:
    return tree.root + "".join(_path_part(part) for part in tree.parts)


def _path_part(part: str | Tree) -> str:
    if not isinstance(part, str):
        return f"[{print_tree(part)}]"
    return "[*]" if part == "*" else f".{part}"


def _field(tree: Field) -> str:
    return tree.key + "".join(_field_part(part) for part in tree.rest)


def _field_part(part: str | int) -> str:
    if isinstance(part, int) or part == "*":
        return f"[{part}]"
    return f".{part}" if is_plain(part) else f"[{print_string(part)}]"


_LEVELS = {Or: _OR, And: _AND, Not: _NOT, Compare: _COMPARE, Matches: _COMPARE, Negate: _UNARY}
_PRINTERS: Final[dict[type, Callable[[Any], str]]] = {
    Constant: print_constant,
    Param: lambda tree: f"p{tree.index}",
    Path: _path,
    Field: _field,
    And: _and,
    Or: _or,
    Not: _not,
    Compare: _compare,
    Matches: _matches,
    Arith: _arith,
    Negate: _negate,
    ListOf: _list,
    Call: _call,
    Lookup: lambda tree: f"{tree.key}[{print_tree(tree.item)}]",
    Convert: lambda tree: print_tree(tree.item),
}
