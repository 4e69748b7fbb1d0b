"""Checks the keys around the steps of a flow: its timeout, its defaults."""

from __future__ import annotations

from typing import Final

from flows.language.literals import DAY_US, check_retry, positive
from flows.language.nodes import Mapping, Node, inner, plain
from flows.language.report import Report
from schemas.expression.findings import ExpressionError
from schemas.expression.type_text import parse_type
from schemas.expression.types import ANY, Type
from schemas.flow.documents import Flow

TIMEOUT_MAX_US: Final = 1100 * DAY_US


def check_timeout(flow: Flow, node: Mapping, report: Report) -> int:
    """Read how long an execution may live."""
    place = inner(node, "timeout")
    timeout_us = positive(flow.timeout, place, "timeout", report)
    if timeout_us > TIMEOUT_MAX_US:
        report.add(place, "too-long", f"timeout '{flow.timeout}' is over 1100d, the longest; write less")
    return timeout_us


def check_defaults(flow: Flow, node: Mapping, report: Report) -> None:
    """Check what holds for actions that say nothing themselves."""
    place = inner(node, "defaults")
    check_retry(flow.defaults.retry, inner(place, "retry"), report)
    if flow.defaults.timeout is not None:
        positive(flow.defaults.timeout, inner(place, "timeout"), "timeout", report)


def check_inputs(flow: Flow, node: Mapping, report: Report) -> Type | None:
    """Read the types of the inputs; None where the flow has none."""
    if not flow.inputs:
        return None
    place = inner(node, "inputs")
    try:
        return parse_type(flow.inputs)
    except ExpressionError as error:
        report.add(blamed_type(place), error.name, error.message, error.at)
        return Type("record", fields=tuple((name, ANY) for name in flow.inputs))


def blamed_type(place: Node) -> Node:
    """Give the text under a place that is no type."""
    if isinstance(place, Mapping):
        return next((found for _, value in place.items if (found := blamed_type(value)) is not value or _is_bad(value)), place)
    return place


def _is_bad(node: Node) -> bool:
    try:
        parse_type(plain(node))
    except ExpressionError:
        return True
    return False
