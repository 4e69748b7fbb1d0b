"""What a function is: its typing rule, how it works on a row, and how on columns if columns can be exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.expression.findings import ExpressionError
from schemas.expression.fit import adapt, named, optional, present, shown, type_of
from schemas.expression.tree import Call, Constant, Tree
from schemas.expression.type_text import print_type
from schemas.expression.types import Type

Typed = tuple[tuple[Tree, ...], Type]
Rule = Callable[[str, tuple[Tree, ...]], Typed]  # function name and elaborated arguments; raises ExpressionError
RowBuilder = Callable[[Call], Callable[..., Any]]
ColumnBuilder = Callable[[Call, Sequence[pl.Expr]], pl.Expr]


@dataclass(frozen=True, slots=True)
class Function:
    """One function.

    `row` builds from the typed call a function of values that are all there; a missing argument gives missing without a
    call. `column` builds an expression of the arguments' columns, null where one of them is null; None: row-wise.
    `forms` marks exists, coalesce and if, which look at missing values and are built by the evaluators. `static` are the
    arguments that stay in the shape of a condition.
    """

    name: str
    usage: str
    least: int
    most: int
    rule: Rule
    row: RowBuilder
    column: ColumnBuilder | None = None
    static: frozenset[int] = frozenset()
    form: bool = False


def plain(work: Callable[..., Any]) -> RowBuilder:
    """Make a builder of a function that needs nothing of the call."""
    return lambda _call: work


def misfit(name: str, tree: Tree, wanted: str) -> ExpressionError:
    """Say that an argument has the wrong type."""
    return ExpressionError("type-mismatch", f"{shown(tree)} is {named(type_of(tree))}; '{name}' wants {wanted}", tree.at)


def fitted(name: str, tree: Tree, want: Type) -> Tree:
    """Give an argument as a type; raises type-mismatch."""
    found = adapt(tree, want)
    if found is None:
        raise misfit(name, tree, "text in quotes" if want.name == "string" else named(want))
    return found


def takes(*wants: Type, gives: Type) -> Rule:
    """Make the rule of a function with arguments of fixed types; missing if one is."""

    def rule(name: str, args: tuple[Tree, ...]) -> Typed:
        found = tuple(fitted(name, arg, want) for arg, want in zip(args, wants, strict=True))
        return found, optional(gives, when=gives.optional or any(type_of(arg).optional for arg in found))

    return rule


def one_of_kinds(kinds: frozenset[str], read_any_as: Type) -> Callable[[str, Tree], Tree]:
    """Make a check that an argument has one of some types; a value of no known type is read as the one given."""

    def check(name: str, tree: Tree) -> Tree:
        if type_of(tree).name == "any":
            return fitted(name, tree, read_any_as)
        if type_of(tree).name not in kinds:
            raise misfit(name, tree, "one of " + ", ".join(sorted(kinds)))
        return tree

    return check


def constant_text(name: str, tree: Tree, allowed: Sequence[str]) -> str:
    """Insist on a text literal out of a few; raises type-mismatch."""
    if not isinstance(tree, Constant) or tree.value not in allowed:
        raise ExpressionError(
            "type-mismatch", f"'{name}' wants one of {', '.join(allowed)} in quotes, not {shown(tree)}", tree.at
        )
    return str(tree.value)


def same(of: Type, args: tuple[Tree, ...]) -> Type:
    """Give a type, optional if an argument is."""
    return optional(present(of), when=any(type_of(arg).optional for arg in args))


def type_words(of: Type) -> str:
    """Write a type in a message."""
    return print_type(present(of))
