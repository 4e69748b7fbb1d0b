"""Whether the arms of a branch cover every case, so that `else` may be left out."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.expression.print import print_tree
from schemas.expression.tree import Compare, Constant, Field, Not, Tree


def uncovered(arms: Sequence[Tree]) -> str | None:
    """Name what the arms leave out; None if they name every value of one bool or one_of."""
    tested = [_tested(tree) for tree in arms]
    fields = {print_tree(field): field for field, _ in tested if field is not None}
    if len(fields) != 1 or any(field is None for field, _ in tested):
        return "every case"
    (shown, field), *_ = fields.items()
    options: tuple[object, ...] = (True, False) if field.type.name == "bool" else field.type.options
    missing = [option for option in options if option not in [value for _, value in tested]]
    if missing:
        return f"{', '.join(_worded(option) for option in missing)} of {shown}"
    return f"a missing {shown}" if field.type.optional else None


def _tested(tree: Tree) -> tuple[Field | None, object]:
    """Give the field and the value that an arm stands for: `f == "low"`, `f`, `not f`."""
    match tree:
        case Compare(operator="==", left=Field() as found, right=Constant() as constant) if found.type.name in ("bool", "one_of"):
            return found, constant.value
        case Field() if tree.type.name == "bool":
            return tree, True
        case Not(item=Field() as found) if found.type.name == "bool":
            return found, False
    return None, None


def _worded(option: object) -> str:
    return f'"{option}"' if isinstance(option, str) else str(option).lower()
