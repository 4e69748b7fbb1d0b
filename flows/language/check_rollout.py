"""Checks `rollout`: what tells entities apart must be theirs for good, and something must have an entity.

A schedule's slots have none: they stay with the version before until the new one is there for all.
"""

from __future__ import annotations

from typing import Final

from flows.language.nodes import Node, inner
from flows.language.report import Report
from flows.language.triggers.listing import triggers_in
from schemas.expression.tree import Tree
from schemas.expression.walk import keys
from schemas.flow.documents import Flow
from schemas.flow.trigger import sort_of_trigger
from schemas.pointer import WHOLE

PASSING: Final = {
    "policies": "a policy changes, and entities would change their version with it",
    "window": "what a window holds is another thing each time",
    "execution": "it belongs to one start",
}


def check_rollout(flow: Flow, node: Node, by: Tree | None, report: Report) -> None:
    """Check the key that entities are told apart by, and that a part of all is a part of something."""
    for key in sorted(keys(by)) if by is not None else ():
        why = PASSING.get(key.partition(".")[0])
        if why is not None:
            message = f"'{key}' does not tell an entity for good: {why}; write a field of what starts the flow"
            report.add(inner(node, "by"), "bad-rollout", message)
    if flow.rollout.percent < WHOLE and {sort_of_trigger(one) for one in triggers_in(flow)} == {"schedule"}:
        message = f"{flow.rollout.percent} % of what? slots of a schedule have no entity; deploy it whole, or in shadow beside"
        report.add(inner(node, "percent"), "bad-rollout", f"{message} the version before")
