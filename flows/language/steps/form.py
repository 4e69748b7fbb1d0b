"""Types that stand in a step: the fields of a form, of a result, of an output."""

from __future__ import annotations

from collections.abc import Mapping

from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, Scalar, inner
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
            report.add(_blamed(inner(node, name)), error.name, error.message, error.at)
    return Type("record", fields=tuple(found))


def _blamed(node: Node) -> Node:
    """Give the text that is at fault inside a nested record."""
    for _, value in node.items if isinstance(node, MappingNode) else ():
        if isinstance(value, MappingNode):
            return _blamed(value)
        try:
            parse_type(value.value if isinstance(value, Scalar) else "")  # type: ignore[arg-type]
        except ExpressionError:
            return value
    return node
