"""Checking: every path becomes a typed field, literals take the type of the other side, conversions are put in.

All findings come at once; a node with a finding fits everything, so that one mistake is one line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.expression import operators
from schemas.expression.findings import ExpressionError, Finding
from schemas.expression.fit import BROKEN, adapt, is_broken, named, optional, shown, type_of, unify
from schemas.expression.functions.table import FUNCTIONS
from schemas.expression.operators import near_name
from schemas.expression.pattern import read_pattern
from schemas.expression.print import print_tree
from schemas.expression.scope import Scope, policy_term, resolve
from schemas.expression.tree import (
    And,
    Arith,
    Call,
    Compare,
    Constant,
    Field,
    ListOf,
    Lookup,
    Matches,
    Negate,
    Not,
    Or,
    Path,
    Tree,
)
from schemas.expression.types import ANY, BOOL, STRING, Type
from schemas.expression.walk import children, keys, nodes

__all__ = ["Elaborated", "Scope", "elaborate", "keys", "proved"]


@dataclass(frozen=True, slots=True)
class Elaborated:
    """A typed tree and what was found; it may run only if no finding is an error."""

    tree: Tree
    findings: tuple[Finding, ...]

    @property
    def type(self) -> Type:
        """Give the type of the value."""
        return type_of(self.tree)

    @property
    def ok(self) -> bool:
        """Tell whether nothing is an error."""
        return all(finding.severity == "warning" for finding in self.findings)


def elaborate(tree: Tree, scope: Scope, want: Type | None = None) -> Elaborated:
    """Type a parsed tree; `want` is the type that the place asks for (BOOL for conditions)."""
    checker = _Checker(scope, frozenset(_asked(tree)))
    typed = checker.typed(tree)
    if want is not None:
        typed = checker.wanted(typed, want)
    return Elaborated(typed, tuple(sorted(checker.findings, key=lambda finding: finding.at)))


def proved(tree: Tree) -> frozenset[str]:
    """Give the paths (as text) that are there wherever an elaborated condition holds, for Scope.known."""
    if isinstance(tree, And):
        return frozenset().union(*(proved(item) for item in tree.items))
    if isinstance(tree, Or):
        return frozenset.intersection(*(proved(item) for item in tree.items))
    if isinstance(tree, Compare | Matches):
        return frozenset(path for child in children(tree) for path in _strict(child))
    if isinstance(tree, Call) and tree.name == "exists":
        return frozenset(_strict(tree.args[0]))
    return frozenset(_strict(tree)) if isinstance(tree, Field) else frozenset()


def _strict(tree: Tree) -> list[str]:
    """Give the fields without which a value is missing."""
    if isinstance(tree, Field):
        return [print_tree(tree)]
    if isinstance(tree, Compare | Matches | And | Or | Not | ListOf):
        return []  # these are there whatever their parts are
    if isinstance(tree, Call) and FUNCTIONS[tree.name].form:
        return []
    return [path for child in children(tree) for path in _strict(child)]


def _asked(tree: Tree) -> list[str]:
    return [print_tree(node.args[0]) for node in nodes(tree) if isinstance(node, Call) and node.name == "exists" and node.args]


class _Checker:
    """One pass over one tree."""

    def __init__(self, scope: Scope, asked: frozenset[str]) -> None:
        self.findings: list[Finding] = []
        self._scope = scope
        self._asked = asked
        self._warned: set[str] = set()
        self._sheltered = 0  # inside exists, coalesce: missing values are what it asks about

    def typed(self, tree: Tree) -> Tree:
        """Type a node and its parts; a finding leaves a broken constant."""
        rule: Callable[[_Checker, Any], Tree] = _RULES[type(tree)]
        try:
            return rule(self, tree)
        except ExpressionError as error:
            self.findings.append(Finding(error.name, error.message, error.at))
            return Constant("", BROKEN, tree.at)

    def wanted(self, tree: Tree, want: Type) -> Tree:
        """Make the whole fit its place."""
        found = adapt(tree, want)
        if found is None:
            error = operators.unwanted(tree, want)
            self.findings.append(Finding(error.name, error.message, error.at))
            return tree
        if want.name == "bool":
            self._decides(found)
        return found

    def _decides(self, *operands: Tree) -> None:
        """Warn of fields that may be missing where a value decides."""
        for operand in operands:
            for text, at in _maybe_fields(operand):
                if text not in self._asked | self._warned and not self._sheltered:
                    self._warned.add(text)
                    message = (
                        f"'{text}' may be missing, then this is false; ask with exists({text}), or say coalesce({text}, ...)"
                    )
                    self.findings.append(Finding("maybe-missing-branch", message, at, "warning"))

    def path(self, tree: Path) -> Tree:
        """Resolve; the key of a policy is the one index that may be computed."""
        if tree.root == "policies" and len(tree.parts) == 2 and policy_term(tree, self._scope).key is not None:
            return self._policy_at(tree)
        return resolve(tree, self._scope)

    def _policy_at(self, tree: Path) -> Tree:
        term = policy_term(tree, self._scope)
        written = tree.parts[1]
        item = self.typed(Constant(written, STRING, tree.at) if isinstance(written, str) else written)
        if is_broken(item):
            return Constant("", BROKEN, tree.at)
        found = adapt(item, term.key or STRING)
        if found is None:
            wanted, key = named(term.key or STRING), f"policies.{tree.parts[0]}"
            raise ExpressionError(
                "type-mismatch", f"{shown(item)} is {named(type_of(item))}; {key} wants {wanted} as key", item.at
            )
        of = optional(term.value, when=type_of(found).optional)
        return Lookup(f"policies.{tree.parts[0]}", found, type=of, at=tree.at)

    def connective(self, tree: And | Or) -> Tree:
        """Want conditions."""
        word = "and" if isinstance(tree, And) else "or"
        return msgspec.structs.replace(tree, items=tuple(self._condition(item, word) for item in tree.items))

    def negation(self, tree: Not) -> Tree:
        """Want a condition."""
        return msgspec.structs.replace(tree, item=self._condition(tree.item, "not"))

    def _condition(self, tree: Tree, word: str) -> Tree:
        typed = self.typed(tree)
        found = adapt(typed, BOOL)
        if found is None:
            raise ExpressionError(
                "type-mismatch", f"{shown(typed)} is {named(type_of(typed))}; '{word}' wants a condition; compare it", tree.at
            )
        self._decides(found)
        return found

    def comparison(self, tree: Compare) -> Tree:
        """Want two of one type."""
        left, right = self.typed(tree.left), self.typed(tree.right)
        self._decides(left, right)
        if is_broken(left) or is_broken(right):
            return msgspec.structs.replace(tree, left=left, right=right)
        found = operators.comparison(tree, left, right)
        self.findings += operators.always_false(found)
        return found

    def matches(self, tree: Matches) -> Tree:
        """Want a text and a pattern of the common subset."""
        text = self.typed(tree.text)
        self._decides(text)
        found = adapt(text, STRING)
        if found is None:
            raise ExpressionError("type-mismatch", f"{shown(text)} is {named(type_of(text))}; 'matches' wants a string", tree.at)
        try:
            read_pattern(tree.pattern)
        except ExpressionError as error:
            raise ExpressionError(error.name, error.message, tree.at) from error
        return msgspec.structs.replace(tree, text=found)

    def arithmetic(self, tree: Arith) -> Tree:
        """Want what the table of operators has."""
        left, right = self.typed(tree.left), self.typed(tree.right)
        if is_broken(left) or is_broken(right):
            return Constant("", BROKEN, tree.at)
        return operators.arithmetic(tree, left, right)

    def minus(self, tree: Negate) -> Tree:
        """Want a number, money or a duration."""
        item = self.typed(tree.item)
        return item if is_broken(item) else operators.minus(tree, item)

    def items(self, tree: ListOf) -> Tree:
        """Want items of one type."""
        items = tuple(self.typed(item) for item in tree.items)
        found = unify(items) if items else (items, ANY)
        if found is None and any(type_of(item).name != "any" for item in items):
            raise ExpressionError("type-mismatch", f"{print_tree(tree)}: a list wants items of one type", tree.at)
        trees, of = found or (items, ANY)
        of = optional(of, when=any(type_of(item).optional for item in trees))
        return msgspec.structs.replace(tree, items=trees, type=Type("list", item=of))

    def call(self, tree: Call) -> Tree:
        """Want a function and its arguments."""
        function = FUNCTIONS.get(tree.name)
        if function is None:
            raise ExpressionError("unknown-function", near_name(tree.name, FUNCTIONS), tree.at)
        self._sheltered += tree.name in ("exists", "coalesce")
        args = tuple(self.typed(arg) for arg in tree.args)
        self._sheltered -= tree.name in ("exists", "coalesce")
        if not function.least <= len(args) <= function.most:
            raise ExpressionError("wrong-arguments", f"'{tree.name}' has {len(args)} arguments; write {function.usage}", tree.at)
        if any(is_broken(arg) for arg in args):
            return Constant("", BROKEN, tree.at)
        found, of = function.rule(tree.name, args)
        if tree.name == "if":
            self._decides(found[0])
        return Call(tree.name, found, of, tree.at)


def _maybe_fields(tree: Tree) -> list[tuple[str, int]]:
    if isinstance(tree, Field):
        return [(print_tree(tree), tree.at)] if tree.type.optional and tree.type.name != "any" else []
    if isinstance(tree, Compare | Matches | And | Or | Not):
        return []  # they have been looked at on their own
    if isinstance(tree, Call) and FUNCTIONS[tree.name].form:
        return []
    return [found for child in children(tree) for found in _maybe_fields(child)]


_RULES: Final[dict[type, Callable[[Any, Any], Tree]]] = {
    Path: _Checker.path,
    And: _Checker.connective,
    Or: _Checker.connective,
    Not: _Checker.negation,
    Compare: _Checker.comparison,
    Matches: _Checker.matches,
    Arith: _Checker.arithmetic,
    Negate: _Checker.minus,
    ListOf: _Checker.items,
    Call: _Checker.call,
    Constant: lambda _checker, tree: tree,
    Field: lambda _checker, tree: tree,
}
