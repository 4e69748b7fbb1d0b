"""Conditions in all their spellings become one tree of leaves: expressions, and short forms whose value a contract reads."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from flows.language.nodes import Mapping, Node, Scalar, Sequence, plain
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_duration_us, parse_money, parse_timestamp_us
from schemas.expression.parse import parse as parse_text
from schemas.expression.parse import plain_digits
from schemas.expression.template import parse_template
from schemas.expression.tree import And, Call, Compare, Constant, ListOf, Matches, Not, Or, Tree
from schemas.expression.types import ANY, BOOL, DECIMAL, DURATION, INT, STRING, TIMESTAMP, Type
from schemas.records import Json

# pure functions of short texts, and ten thousand flows share few texts
parse_expression = lru_cache(maxsize=8192)(parse_text)
text_template = lru_cache(maxsize=8192)(parse_template)
duration_us = lru_cache(maxsize=1024)(parse_duration_us)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One expression that stands alone in a condition."""

    text: str
    node: Scalar


@dataclass(frozen=True, slots=True)
class Short:
    """`{field, operator, value}` as it stands."""

    field: str
    operator: str
    value: Json
    node: Mapping


@dataclass(frozen=True, slots=True)
class Group:
    """Several conditions under one word."""

    word: str  # all | any | not
    items: tuple[Condition, ...]


Condition = Leaf | Short | Group


def read_condition(node: Node) -> Condition:
    """Read a condition whose shape is right."""
    if isinstance(node, Sequence):
        return Group("all", tuple(read_condition(item) for item in node.items))
    if isinstance(node, Scalar):
        return Leaf(expression_text(node.value), node)
    for word in ("all", "any", "not"):
        inner = node.get(word)
        if inner is not None:
            items = inner.items if isinstance(inner, Sequence) else (inner,)
            grouped = tuple(read_condition(item) for item in items)
            return Group(word, grouped if word != "not" else (Group("all", grouped),))
    field = node.get("field")
    return Short(
        str(plain(field)) if field else "", str(plain(node.get("operator") or node)), plain(node.get("value") or node), node
    )


def expression_text(value: Json) -> str:
    """Write what stands at an expression key as the text of an expression: a YAML number or bool stands for itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(expression_text(item) for item in value)}]"
    return str(value)


def joined(word: str, trees: tuple[Tree, ...]) -> Tree:
    """Put trees under and, or, not; nested ones of the same word become one."""
    if word == "not":
        return Not(joined("all", trees))
    kind: type[And] | type[Or] = And if word == "all" else Or
    flat = tuple(part for tree in trees for part in (tree.items if isinstance(tree, kind) else (tree,)))
    return flat[0] if len(flat) == 1 else kind(flat) if flat else Constant(word == "all", BOOL)


def short_tree(short: Short, left: Tree, kind: Type) -> Tree:
    """Write the short form out; `kind` is the type of its field (any: unknown). Raises ExpressionError."""
    match short.operator:
        case "exists":
            if not isinstance(short.value, bool):
                raise ExpressionError(
                    "want-bool", f"'{short.value}' is no bool and exists wants one; write value: true or value: false"
                )
            return Call("exists", (left,)) if short.value else Not(Call("exists", (left,)))
        case "matches":
            if not isinstance(short.value, str):
                raise ExpressionError("want-string", f"{short.value} is no pattern; write a text in quotes")
            return Matches(left, short.value)
        case "starts_with" | "ends_with":
            return Call(short.operator, (left, _operand(short, kind)))
        case _:
            return Compare(short.operator, left, _operand(short, kind))  # type: ignore[arg-type]


def _operand(short: Short, kind: Type) -> Tree:
    value = short.value
    if isinstance(value, dict):
        if list(value) != ["field"] or not isinstance(value["field"], str):
            raise ExpressionError(
                "bad-value", "a mapping stands at value; write a literal, or {field: other.field} to compare two fields"
            )
        return parse_expression(value["field"])
    item = kind.item if short.operator == "contains" and kind.name == "list" and kind.item else kind
    if isinstance(value, list):
        return ListOf(tuple(_constant(one, item, short.field) for one in value))
    return _constant(value, item, short.field)


def _constant(value: Json, kind: Type, field: str) -> Tree:
    if value is None:
        raise ExpressionError("null-comparison", f"nothing equals null; write not exists({field})")
    if isinstance(value, bool):
        return Constant(value, BOOL)
    if isinstance(value, int):
        return Constant(0, DURATION) if kind.name == "duration" and value == 0 else Constant(value, INT)
    if isinstance(value, Decimal):
        return Constant(plain_digits(str(value)), DECIMAL)
    if not isinstance(value, str):
        raise ExpressionError("bad-value", "a list stands inside the list of value; write literals")
    reader = _READERS.get(kind.name)
    return reader(value) if reader else Constant(value, STRING)


def _money(text: str) -> Constant:
    amount, currency = parse_money(text)
    return Constant(plain_digits(str(amount)), Type("money", currency=currency))


_READERS: Final = {
    "duration": lambda text: Constant(parse_duration_us(text), DURATION),
    "timestamp": lambda text: Constant(parse_timestamp_us(text), TIMESTAMP),
    "money": _money,
}


def read_by_contract(short: Short) -> bool:
    """Tell whether the field's type decides what the value is, so that no text can stand for it yet."""
    values = short.value if isinstance(short.value, list) else [short.value]
    return any(isinstance(value, str) and _could_be_typed(value) for value in values)


def _could_be_typed(value: str) -> bool:
    for reader in _READERS.values():
        try:
            reader(value)
        except ExpressionError:
            continue
        return True
    return False


def untyped_tree(condition: Condition) -> Tree | None:
    """Give the tree of a condition without any contract; None where one is needed. Raises ExpressionError."""
    match condition:
        case Leaf():
            return parse_expression(condition.text)
        case Short():
            return None if read_by_contract(condition) else short_tree(condition, parse_expression(condition.field), ANY)
        case Group():
            trees = [untyped_tree(item) for item in condition.items]
            known = tuple(tree for tree in trees if tree is not None)
            return joined(condition.word, known) if len(known) == len(trees) else None
