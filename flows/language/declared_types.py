"""Types that a document declares: every text that is no type is told at its own place, all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from flows.language.nodes import Mapping, Node, Sequence, plain
from flows.language.report import Report
from schemas.expression.findings import ExpressionError
from schemas.expression.type_text import Spec, parse_type

Types = dict[str, Spec]


def tell_types(error: ExpressionError, places: Iterable[Node], report: Report, named: Node | None = None) -> None:
    """Report what is no type under some places, at the first of them if nothing else can be blamed.

    `named` are types that the others may use; a field of one that is wrong itself is not told again.
    """
    places = list(places)
    types = cast(Types, plain(named)) if isinstance(named, Mapping) else {}
    own = list(_wrong(named, types)) if isinstance(named, Mapping) else []
    known = {found.message for _, found in own}
    wrong = own + [(text, found) for place in places for text, found in _wrong(place, types) if found.message not in known]
    for text, found in wrong or [(places[0], error)]:
        report.add(text, found.name, found.message, found.at)


def _wrong(node: Node, types: Types) -> Iterator[tuple[Node, ExpressionError]]:
    if isinstance(node, Mapping):
        for _, value in node.items:
            yield from _wrong(value, types)
        return
    try:
        parse_type(cast(Spec, "" if isinstance(node, Sequence) else plain(node)), types)
    except ExpressionError as error:
        yield node, error
