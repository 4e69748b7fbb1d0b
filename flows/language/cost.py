"""The bound of one execution: how many steps it can run through at most, loops multiplied out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flows.language.nodes import Mapping
from flows.language.report import Report
from flows.language.typed import TypedStep
from schemas.expression.tree import ListOf
from schemas.program import ForEach

COST_MAX: Final = 1_000_000


def check_cost(steps: Iterable[TypedStep], node: Mapping, report: Report) -> None:
    """Refuse a flow whose loops could run through too many steps."""
    cost = cost_of(steps)
    if cost > COST_MAX:
        message = (
            f"one execution could run through {cost} steps, the limit max_cost is {COST_MAX}; "
            "lower max of its for_each, or call a flow for each part"
        )
        report.add(node, "too-deep", message)


def cost_of(steps: Iterable[TypedStep]) -> int:
    """Count the steps that an execution runs through at most."""
    return sum(_cost(step) for step in steps)


def _cost(typed: TypedStep) -> int:
    inside = sum(cost_of(arm) for arm in typed.arms) + cost_of(typed.handler) + cost_of(typed.on_timeout)
    if isinstance(typed.step, ForEach):
        literal = len(typed.step.items.items) if isinstance(typed.step.items, ListOf) else 0
        return 1 + inside * (typed.step.most or literal)
    return 1 + inside
