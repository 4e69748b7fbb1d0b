"""Typing rules of the operators, and what is said where two sides do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

import msgspec

from schemas.expression.findings import ExpressionError, Finding
from schemas.expression.fit import NUMBERS, adapt, named, optional, present, shown, type_of, unify
from schemas.expression.print import print_tree
from schemas.expression.tree import Arith, Compare, Constant, Field, ListOf, Negate, Tree
from schemas.expression.type_text import print_type
from schemas.expression.types import ANY, DECIMAL, DURATION, STRING, TIMESTAMP, Type

_ORDERED: Final = frozenset(["int", "decimal", "float", "money", "timestamp", "duration", "string"])
_EQUAL: Final = _ORDERED | {"bool", "one_of"}
_PLAIN: Final = frozenset(["money", "duration"])


def near_name(name: str, known: Iterable[str]) -> str:
    """Say that a function is unknown and which may be meant."""
    near = get_close_matches(name, list(known), 1)
    hint = f"did you mean '{near[0]}'?" if near else "the list of functions is closed: " + ", ".join(known)
    return f"'{name}' is not a function; {hint}"


def comparison(tree: Compare, left: Tree, right: Tree) -> Compare:
    """Type a comparison; raises what fits the two sides."""
    if tree.operator == "in":
        left, right = _item_and_list(tree, left, right)
    elif tree.operator == "contains":
        left, right = _contains(tree, left, right)
    else:
        left, right = _two_of_one_type(tree, left, right)
    return msgspec.structs.replace(tree, left=left, right=right)


def _two_of_one_type(tree: Compare, left: Tree, right: Tree) -> tuple[Tree, Tree]:
    found = unify((left, right))
    if found is None:
        raise mismatch(tree.operator, left, right)
    allowed = _EQUAL if tree.operator in ("==", "!=") else _ORDERED
    if found[1].name not in allowed:
        raise ExpressionError(
            "type-mismatch", f"{shown(left)} is {named(found[1])}; '{tree.operator}' compares no such values", left.at
        )
    return found[0][0], found[0][1]


def _item_and_list(tree: Compare, item: Tree, of: Tree) -> tuple[Tree, Tree]:
    """Give an item and a list with one type of items, whichever of the two is known."""
    if type_of(of).name == "any" and type_of(item).name != "any":
        of = adapt(of, Type("list", item=optional(_base(type_of(item))))) or of
    if type_of(of).name != "list":
        why = f"; write {print_tree(of)} contains {print_tree(item)}" if type_of(of).name == "string" else ""
        raise ExpressionError(
            "type-mismatch", f"{shown(of)} is {named(type_of(of))}; '{tree.operator}' wants a list of such items{why}", of.at
        )
    return _one_type(tree, item, of)


def _one_type(tree: Compare, item: Tree, of: Tree) -> tuple[Tree, Tree]:
    inner = _base(type_of(of).item or ANY)
    if isinstance(of, ListOf) and not of.items:
        return item, of
    fitted = adapt(item, inner) if inner.name != "any" else None
    if fitted is not None and not isinstance(of, ListOf):
        return _comparable(tree, fitted, inner), of
    have = _base(type_of(item))
    listed = adapt(of, Type("list", item=optional(have))) if have.name != "any" else None
    if listed is not None and (not isinstance(item, Constant) or fitted is None):
        return _comparable(tree, item, have), listed
    if fitted is None:
        raise ExpressionError(
            "type-mismatch",
            f"{shown(item)} is {named(type_of(item))} and the items of {shown(of)} are {print_type(inner)}; "
            f"'{tree.operator}' wants one type",
            item.at,
        )
    return _comparable(tree, fitted, inner), of


def _comparable(tree: Compare, item: Tree, of: Type) -> Tree:
    if of.name not in _EQUAL:
        raise ExpressionError("type-mismatch", f"{shown(item)}: '{tree.operator}' looks for no {of.name}", item.at)
    return item


def _base(of: Type) -> Type:
    return STRING if of.name == "one_of" else present(of)


def _contains(tree: Compare, left: Tree, right: Tree) -> tuple[Tree, Tree]:
    if type_of(left).name == "list":
        item, of = _item_and_list(tree, right, left)
        return of, item
    text, part = adapt(left, STRING), adapt(right, STRING)
    if text is None or part is None or (type_of(left).name == "any" and type_of(right).name == "any"):
        raise ExpressionError(
            "type-mismatch",
            f"{shown(left)} is {named(type_of(left))} and {shown(right)} {named(type_of(right))}; "
            "'contains' is text in text or item in list",
            left.at,
        )
    return text, part


def always_false(tree: Compare) -> list[Finding]:
    """Warn of a comparison with a value that is none of the options."""
    pairs = [(tree.left, tree.right), (tree.right, tree.left)] if tree.operator == "==" else []
    if tree.operator == "in" and isinstance(tree.right, ListOf):
        pairs = [(tree.left, item) for item in tree.right.items]
    return [finding for field, value in pairs for finding in _no_option(field, value)]


def _no_option(field: Tree, value: Tree) -> list[Finding]:
    options = type_of(field).options
    if not isinstance(value, Constant) or not isinstance(field, Field) or not options or value.value in options:
        return []
    near = get_close_matches(str(value.value), options, 1)
    hint = f"did you mean {near[0]!r}?" if near else "compare with one of these"
    message = f"{shown(field)} is one of {', '.join(options)} and never {shown(value)}; {hint}"
    return [Finding("always-false", message, value.at, "warning")]


def mismatch(operator: str, left: Tree, right: Tree) -> ExpressionError:
    """Say why two sides do not fit, by the nearest cause."""
    one, two = type_of(left), type_of(right)
    if one.name == "money" and two.name == "money" and one.currency != two.currency:
        text = f"{print_type(present(one))} {operator} {print_type(present(two))}; "
        text += "convert first, or compare amount(...) if that is meant"
        return ExpressionError("currency-mismatch", text, right.at)
    for money, other in ((left, right), (right, left)):
        if type_of(money).name == "money" and type_of(other).name in NUMBERS:
            return _needs_currency(money, other)
        if type_of(money).name == "duration" and isinstance(other, Constant) and other.type.name == "int":
            text = f"'{other.value}' has no unit; write {other.value}s, {other.value}m, {other.value}h or {other.value}d"
            return ExpressionError("bad-duration", text, other.at)
    return ExpressionError("type-mismatch", _what_two(operator, left, right), left.at)


def _needs_currency(money: Tree, other: Tree) -> ExpressionError:
    currency = type_of(money).currency
    fix = f"{other.value} {currency}" if isinstance(other, Constant) else f'money({print_tree(other)}, "{currency}")'
    of = print_type(present(type_of(money)))
    return ExpressionError(
        "needs-currency", f"{shown(money)} is {of} and {print_tree(other)} has no currency; write {fix}", other.at
    )


def _what_two(operator: str, left: Tree, right: Tree) -> str:
    names = {type_of(left).name, type_of(right).name}
    hint = f"'{operator}' wants two of one type"
    if names == {"any"}:
        hint = f"'{operator}' wants one whose type is known; say string(...) or decimal(...)"
    elif names == {"decimal", "float"}:
        hint = "write decimal(...) or float(...) around one"
    elif "string" in names and operator == "+":
        hint = "text is put together by a template, or by join"
    return f"{shown(left)} is {named(type_of(left))} and {shown(right)} {named(type_of(right))}; {hint}"


def arithmetic(tree: Arith, left: Tree, right: Tree) -> Arith:
    """Type arithmetic; raises what fits the two sides."""
    found = _timely(tree.operator, left, right) or _monetary(tree.operator, left, right) or _numeric(tree.operator, left, right)
    if found is None:
        raise mismatch(tree.operator, left, right)
    one, two, of = found
    maybe = type_of(one).optional or type_of(two).optional or (tree.operator == "/" and not isinstance(two, Constant))
    return msgspec.structs.replace(tree, left=one, right=two, type=optional(of, when=maybe))


_Fit = tuple[Tree, Tree, Type] | None


def _timely(operator: str, left: Tree, right: Tree) -> _Fit:
    names = (type_of(left).name, type_of(right).name)
    if operator in ("+", "-") and names[0] == "timestamp":
        return _timestamp_and(operator, left, right)
    if operator == "+" and names[1] == "timestamp":
        span = adapt(left, DURATION)
        return None if span is None else (span, right, TIMESTAMP)
    if "duration" not in names:
        return None
    if operator in ("+", "-"):
        found = unify((left, right))
        return None if found is None else (found[0][0], found[0][1], DURATION)
    counted = operator == "*" and set(names) == {"duration", "int"}
    return (left, right, DURATION) if counted else None


def _timestamp_and(operator: str, left: Tree, right: Tree) -> _Fit:
    if operator == "-" and type_of(right).name == "timestamp":
        return left, right, DURATION
    span = adapt(right, DURATION)
    return None if span is None else (left, span, TIMESTAMP)


def _monetary(operator: str, left: Tree, right: Tree) -> _Fit:
    one, two = present(type_of(left)), present(type_of(right))
    if "money" not in (one.name, two.name):
        return None
    if operator in ("+", "-", "/"):
        return (left, right, DECIMAL if operator == "/" else one) if one == two else _share(operator, left, right)
    of = one if one.name == "money" else two
    if one.name == two.name or "float" in (one.name, two.name):
        return None
    fitted = [tree if type_of(tree).name == "money" else adapt(tree, DECIMAL) for tree in (left, right)]
    return None if fitted[0] is None or fitted[1] is None else (fitted[0], fitted[1], of)


def _share(operator: str, left: Tree, right: Tree) -> _Fit:
    if operator == "/" and type_of(left).name == "money" and type_of(right).name in NUMBERS:
        currency = type_of(left).currency
        text = f'money by a number is money(amount({print_tree(left)}) / {print_tree(right)}, "{currency}")'
        raise ExpressionError("type-mismatch", f"{shown(left)} is money and {shown(right)} is not; {text}", left.at)
    return None


def _numeric(operator: str, left: Tree, right: Tree) -> _Fit:
    found = unify((left, right))
    if found is None or found[1].name not in NUMBERS:
        return None
    (one, two), of = found
    if of.name == "int" and operator == "/":
        return adapt(one, DECIMAL) or one, adapt(two, DECIMAL) or two, DECIMAL
    return one, two, of


def minus(tree: Negate, item: Tree) -> Negate:
    """Type the unary minus."""
    fitted = adapt(item, DECIMAL) if type_of(item).name == "any" else item
    if fitted is None or type_of(fitted).name not in NUMBERS | _PLAIN:
        raise ExpressionError("type-mismatch", f"{shown(item)} is {named(type_of(item))}; '-' wants a number", tree.at)
    return msgspec.structs.replace(tree, item=fitted, type=type_of(fitted))


def unwanted(tree: Tree, want: Type) -> ExpressionError:
    """Say that a whole expression is not what its place wants."""
    have = type_of(tree)
    if want.name == "duration" and isinstance(tree, Constant) and have.name == "int":
        return ExpressionError(
            "bad-duration",
            f"'{tree.value}' has no unit; write {tree.value}s, {tree.value}m, {tree.value}h or {tree.value}d",
            tree.at,
        )
    if want.name == "money" and have.name in (*NUMBERS, "money"):
        return mismatch("=", Constant("0", want, tree.at), tree) if have.name == "money" else _needs(tree, want)
    wanted = "a condition (a bool)" if want.name == "bool" else named(want)
    return ExpressionError("type-mismatch", f"{shown(tree)} is {named(have)}; {wanted} is wanted here", tree.at)


def _needs(tree: Tree, want: Type) -> ExpressionError:
    fix = f"{tree.value} {want.currency}" if isinstance(tree, Constant) else f'money({print_tree(tree)}, "{want.currency}")'
    return ExpressionError(
        "needs-currency", f"{print_tree(tree)} has no currency and {print_type(present(want))} is wanted; write {fix}", tree.at
    )
