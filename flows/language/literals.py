"""Durations that stand in a definition as literals: read, and told of at their place."""

from __future__ import annotations

from typing import Final

from flows.language.conditions import duration_us
from flows.language.nodes import Node, inner
from flows.language.report import Report
from schemas.expression.findings import ExpressionError
from schemas.flow.parts import RetryRule
from schemas.records import Retry

DAY_US: Final = 86_400_000_000
_CODES: Final = Retry().codes


def duration(text: str, node: Node, report: Report) -> int:
    """Read a duration in microseconds; 0 if it is none, which is told."""
    try:
        return duration_us(text)
    except ExpressionError as error:
        report.add(node, error.name, error.message)
        return 0


def positive(text: str, node: Node, key: str, report: Report) -> int:
    """Read a duration that may not be less than nothing."""
    us = duration(text, node, report)
    if us < 0:
        report.add(node, "bad-duration", f"'{text}' is less than nothing and '{key}' wants a time ahead; write one like 30s")
    return us


def check_retry(rule: RetryRule | None, node: Node, report: Report) -> None:
    """Check the durations of a retry rule where it stands."""
    for key in ("wait", "most", "attempt_timeout") if rule is not None else ():
        positive(getattr(rule, key), inner(node, key), key, report)


def retry_record(rule: RetryRule) -> Retry:
    """Give a rule as executions use it."""
    try:
        return Retry(
            attempts=rule.attempts,
            wait_us=duration_us(rule.wait),
            factor=float(rule.factor),
            most_us=duration_us(rule.most),
            attempt_timeout_us=duration_us(rule.attempt_timeout),
            codes=_CODES if sorted(rule.for_) == sorted(_CODES) else tuple(sorted({str(code) for code in rule.for_})),
        )
    except ExpressionError:  # told where the rule stands
        return Retry()
