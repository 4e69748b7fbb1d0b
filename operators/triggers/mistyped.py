"""Which fields that no contract types hold something else than a condition reads them as: such a field counts as missing.

Reads: conditions of triggers. Emits: the condition that holds where some field is there and cannot be read. State: none.
"""

from __future__ import annotations

from collections.abc import Iterable

from operators.triggers.match import TypeTable, make_table
from operators.triggers.match_rows import Trigger
from schemas.expression.fit import type_of
from schemas.expression.tree import And, Call, Convert, Field, Not, Or, Tree
from schemas.expression.types import BOOL
from schemas.expression.walk import nodes, without_places


def mistyped_table(triggers: Iterable[Trigger], owners: Iterable[tuple[str, str]]) -> TypeTable | None:
    """Ask which triggers of one event type read such a field; None if all that they read has types. `owners` as in make_table."""
    doubtful = [one._replace(condition=tree) for one in triggers if (tree := mistyped(one.condition)) is not None]
    return make_table(doubtful, owners) if doubtful else None


def mistyped(condition: Tree | None) -> Tree | None:
    """Give what holds where a field that is there is not of the type it is read as; None where all have types."""
    read = [] if condition is None else [one for one in nodes(condition) if isinstance(one, Convert)]
    untyped = {without_places(one): one for one in read if isinstance(one.item, Field) and type_of(one.item).name == "any"}
    wrong = [And((_exists(one.item), Not(_exists(one)))) for one in untyped.values()]
    return wrong[0] if len(wrong) == 1 else Or(tuple(wrong)) if wrong else None


def _exists(tree: Tree) -> Tree:
    return Call("exists", (tree,), BOOL)
