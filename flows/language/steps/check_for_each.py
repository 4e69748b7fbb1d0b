"""for_each: the same steps for every item of a bounded list, with names that end there."""

from __future__ import annotations

from typing import Final

from flows.language.names import Names, optional
from flows.language.nodes import Node, inner
from flows.language.steps.walk import Ran, Walk
from flows.language.typed import TypedStep
from schemas.expression.fit import named, type_of
from schemas.expression.print import print_tree
from schemas.expression.template import Template
from schemas.expression.tree import Convert, ListOf, Tree
from schemas.expression.types import ANY, INT, STRING, Type
from schemas.flow.step import ForEachStep
from schemas.program import END, EachEnd, ForEach

_ANY_LIST: Final = Type("list", item=ANY)
_ERRORS: Final = Type("list", item=Type("record", fields=(("index", INT), ("code", STRING), ("message", STRING))))


def check_for_each(walk: Walk, step: ForEachStep, node: Node, names: Names) -> Ran:
    """Check the body once, for any item."""
    items = _items(walk, step, node, names)
    of = type_of(items).item or ANY
    ever = dict(walk.ever)
    walk.loops += 1
    inside = walk.bind(str(step.each), inner(node, "each"), of, names)
    ran = walk.list(step.steps, inner(node, "steps"), inside)
    result, given = _result(walk, step, node, ran.names)
    walk.loops -= 1
    walk.ever = ever
    name = walk.step_names.of(step, "for_each")
    loop = ForEach(
        name=name,
        items=items,
        each=str(step.each),
        body=END,
        end=END,
        next=END,
        most=step.max or 0,
        concurrency=step.concurrency,
        failures=step.failures,
        bind=str(step.as_ or ""),
    )
    bound = Type("record", fields=(("results", Type("list", item=given)), ("errors", _ERRORS)))
    after = walk.bind_result(step, node, bound, names)
    return Ran((TypedStep(loop, arms=(ran.steps,), last=EachEnd(name, result)),), after)


def _items(walk: Walk, step: ForEachStep, node: Node, names: Names) -> Tree:
    place = inner(node, "for_each")
    tree = walk.elaborator.expression(place, "for_each", names, ANY)
    if tree is None:
        return ListOf((), _ANY_LIST)
    literal = isinstance(tree, ListOf)
    if type_of(tree).name == "any":
        tree = Convert(tree, optional(_ANY_LIST), at=tree.at)
    if type_of(tree).name != "list":
        message = f"'{print_tree(tree)}' is {named(type_of(tree))} and for_each wants a list; write a path to one, or [a, b]"
        walk.report.add(place, "type-mismatch", message)
        return ListOf((), _ANY_LIST)
    if step.max is None and not literal:
        message = "for_each over a list that is not written out has no max; a loop must end: add max, more items are an error"
        walk.report.add(node, "no-bound", message)
    return tree


def _result(walk: Walk, step: ForEachStep, node: Node, names: Names) -> tuple[Template | None, Type]:
    if step.result is None:
        return None, optional(ANY)
    found = walk.elaborator.template(inner(node, "result"), names)
    if found is None:
        return None, ANY
    return found.template, optional(found.type) if step.failures == "collect" else found.type  # of an item that failed: none
