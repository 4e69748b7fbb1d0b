"""Checks the keys around the steps of a flow: its timeout, its defaults."""

from __future__ import annotations

from typing import Final

from flows.language.literals import DAY_US, check_retry, positive
from flows.language.nodes import Mapping, inner
from flows.language.report import Report
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
