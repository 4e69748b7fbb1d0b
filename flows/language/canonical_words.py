"""How parts of a definition are written in the canonical form: durations, expressions, conditions and data in one spelling."""

from __future__ import annotations

from functools import lru_cache

from flows.language.conditions import (
    Condition,
    Group,
    Leaf,
    Short,
    duration_us,
    expression_text,
    parse_expression,
    text_template,
    untyped_tree,
)
from schemas.expression.literals import print_duration
from schemas.expression.print import print_tree
from schemas.expression.template import print_template
from schemas.expression.tree import And
from schemas.records import Json


def canonical_duration(text: str) -> str:
    """Write a duration with the largest units."""
    return print_duration(duration_us(text))


def canonical_expression(value: Json) -> str:
    """Write an expression as its tree prints."""
    return print_tree(parse_expression(expression_text(value)))


def canonical_data(value: Json) -> Json:
    """Write data with the expressions in it in one spelling."""
    if isinstance(value, dict):
        return {key: canonical_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical_data(item) for item in value]
    return _text(value) if isinstance(value, str) else value


@lru_cache(maxsize=8192)
def _text(text: str) -> Json:
    return print_template(text_template(text)) if "{{" in text else text


def every_condition(condition: Condition) -> list[Json]:
    """Write a condition as a list of which all must hold."""
    tree = untyped_tree(condition)
    if tree is not None:
        return [print_tree(part) for part in (tree.items if isinstance(tree, And) else (tree,))]
    match condition:
        case Short():
            return [{"field": canonical_expression(condition.field), "operator": condition.operator, "value": condition.value}]
        case Group(word="all"):
            return [part for item in condition.items for part in every_condition(item)]
        case Group():
            return [{condition.word: [one_condition(item) for item in condition.items]}]
        case Leaf():
            return [condition.text]


def one_condition(condition: Condition) -> Json:
    """Write a condition as one text, or in braces where a contract must read it."""
    tree = untyped_tree(condition)
    if tree is not None:
        return print_tree(tree)
    parts = every_condition(condition)
    return parts[0] if len(parts) == 1 else {"all": parts}
