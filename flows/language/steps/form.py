"""Types that stand in a step: the fields of a form, of a result, of an output."""

from __future__ import annotations

from collections.abc import Mapping

from flows.language.declared_types import tell_types
from flows.language.nodes import Node, inner
from flows.language.report import Report
from schemas.expression.findings import ExpressionError
from schemas.expression.type_text import parse_type
from schemas.expression.types import Type
from schemas.records import Json


def read_types(fields: Mapping[str, Json], node: Node, report: Report) -> Type:
    """Read a record of types; what is no type is told of at its place and left out."""
    found: list[tuple[str, Type]] = []
    for name, spec in fields.items():
        try:
            found.append((name, parse_type(spec)))
        except ExpressionError as error:
            tell_types(error, [inner(node, name)], report)
    return Type("record", fields=tuple(found))
