"""What stands around commands: their groups, and the command that undoes a step."""

from __future__ import annotations

from typing import Final

from flows.language.canonical_steps import NOT_AFTER
from flows.language.check_actions import given_data, refuse_missing, wanted_parameters
from flows.language.literals import check_retry, positive, retry_record
from flows.language.names import Names
from flows.language.nodes import Node, inner
from flows.language.steps.walk import Walk
from schemas.expression.template import Record, Template
from schemas.expression.tree import Constant, Tree
from schemas.expression.types import ANY, STRING
from schemas.flow.parts import Compensate, RetryRule
from schemas.flow.step import ActionStep
from schemas.program import AtOnce, Batch, Compensation

_NO_KEY: Final = Constant("", STRING)


def parameters(walk: Walk, action: str, node: Node, names: Names) -> Template:
    """Read the parameters of a command by the contract of its action."""
    want = wanted_parameters(action, node, walk.known.actions, walk.report)
    given = given_data(node)
    params = walk.template(given, names, want, secrets=True) if given.items else Record(())
    refuse_missing(params, want, given, walk.report)
    return params


def key_of(walk: Walk, node: Node, key: str, names: Names) -> Tree:
    """Read the expression that puts commands into groups."""
    tree = walk.elaborator.expression(inner(node, key), key, names, ANY)
    return _NO_KEY if tree is None else tree


def batch_of(walk: Walk, step: ActionStep, node: Node, names: Names) -> Batch | None:
    """Give which commands may travel in one call."""
    if step.batch is None:
        return None
    place = inner(node, "batch")
    wait_us = positive(step.batch.wait, inner(place, "wait"), "wait", walk.report)
    return Batch(key_of(walk, place, "key", names), step.batch.max, wait_us)


def at_once_of(walk: Walk, step: ActionStep, node: Node, names: Names) -> AtOnce | None:
    """Give how many commands may be on their way at a time."""
    if step.concurrency is None:
        return None
    return AtOnce(key_of(walk, inner(node, "concurrency"), "key", names), step.concurrency.max)


def compensation_of(walk: Walk, rule: Compensate | None, node: Node, names: Names) -> Compensation | None:
    """Give the command that undoes a step; `names` are those after the step, with its result."""
    if rule is None:
        return None
    place = inner(node, "compensate")
    check_retry(rule.retry, inner(place, "retry"), walk.report)
    return Compensation(
        action=str(rule.action),
        params=parameters(walk, str(rule.action), place, names),
        retry=retry_record(rule.retry or walk.flow.defaults.retry or RetryRule()),
        not_after_us=positive(rule.not_after or NOT_AFTER, inner(place, "not_after"), "not_after", walk.report),
    )


def deadline(walk: Walk, text: str | None, node: Node, what: str, hint: str) -> int:
    """Read the time by which an outcome must be known; tell where there is none."""
    if text is None:
        walk.report.add(node, "no-deadline", f"{what} has no timeout; {hint}")
        return 0
    return positive(text, inner(node, "timeout"), "timeout", walk.report)
