"""exists, coalesce and if: the three that look at missing values. Evaluators build them themselves."""

from __future__ import annotations

from typing import Any, Final

from schemas.expression.findings import ExpressionError
from schemas.expression.fit import optional, shown, type_of, unify
from schemas.expression.functions.function import Function, Typed, fitted
from schemas.expression.tree import Call, Tree
from schemas.expression.types import BOOL

_MANY: Final = 100


def _exists(_name: str, args: tuple[Tree, ...]) -> Typed:
    return args, BOOL


def _one_type(name: str, args: tuple[Tree, ...]) -> Typed:
    found = unify(args)
    if found is None and all(type_of(arg).name == "any" for arg in args):
        return args, type_of(args[0])
    if found is None:
        kinds = ", ".join(shown(arg) for arg in args)
        raise ExpressionError("type-mismatch", f"'{name}' wants values of one type, not {kinds}; convert one", args[0].at)
    return found


def _coalesce(name: str, args: tuple[Tree, ...]) -> Typed:
    trees, of = _one_type(name, args)
    return trees, optional(of, when=all(type_of(tree).optional or type_of(tree).name == "any" for tree in trees))


def _if(name: str, args: tuple[Tree, ...]) -> Typed:
    condition = fitted(name, args[0], BOOL)
    trees, of = _one_type(name, args[1:])
    return (condition, *trees), optional(of, when=any(type_of(tree).optional for tree in trees))


def _unbuilt(call: Call) -> Any:
    raise AssertionError(f"{call.name} is built by the evaluators")


FUNCTIONS: Final = (
    Function("exists", "exists(x)", 1, 1, _exists, _unbuilt, form=True),
    Function("coalesce", "coalesce(x, ...)", 1, _MANY, _coalesce, _unbuilt, form=True),
    Function("if", "if(condition, then, else)", 3, 3, _if, _unbuilt, form=True),
)
