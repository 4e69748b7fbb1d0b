"""Flows that flows rest on: those that they call and those after whose end they start; and the order to compile them in."""

from __future__ import annotations

from collections.abc import Sequence

from flows.language.bound_names import step_mappings
from flows.language.known import FlowType
from flows.language.nodes import Mapping, Node, Scalar
from flows.language.nodes import Sequence as SequenceNode
from flows.language.parse import Document
from schemas.expression.types import Type
from schemas.program import Program
from schemas.program_values import template_type


def flow_type(program: Program) -> FlowType:
    """Say what a caller must know of a compiled flow."""
    output = Type("record") if program.output is None else template_type(program.output)
    return FlowType(program.flow, program.version, program.inputs or Type("record"), output)


def objects_of(node: Node, verb: str) -> list[Scalar]:
    """Give what the steps with a verb name, with its place: the flows that are called, the events that are emitted."""
    found = (step.get(verb) for step in step_mappings(node))
    return [one for one in found if isinstance(one, Scalar)]


def triggers_in(node: Mapping) -> list[Mapping]:
    """Give the triggers of a flow as they stand."""
    trigger = node.get("trigger")
    listed = trigger.items if isinstance(trigger, SequenceNode) else (trigger,)
    return [one for one in listed if isinstance(one, Mapping)]


def forerunners(node: Mapping) -> list[Scalar]:
    """Give the flows after whose end a flow starts."""
    found = [one.get("after") for one in triggers_in(node)]
    each = [part for one in found for part in (one.items if isinstance(one, SequenceNode) else (one,))]
    return [one for one in each if isinstance(one, Scalar)]


def rests_on(node: Mapping) -> list[str]:
    """Name the flows whose inputs and outputs a flow reads."""
    return list(dict.fromkeys(str(one.value) for one in (*objects_of(node, "call"), *forerunners(node))))


def in_order(documents: Sequence[Document]) -> list[Document]:
    """Put flows behind those that they rest on; the ones of a circle stay in the order of the files."""
    by_name = {document.name: document for document in documents}
    below = {document.name: [name for name in rests_on(document.node) if name in by_name] for document in documents}
    placed: dict[int, Document] = {}
    for document in documents:
        waiting, open_ = [document.name], set[str]()
        while waiting:  # no recursion: ten thousand flows may stand in one chain
            name = waiting[-1]
            missing = [one for one in below[name] if id(by_name[one]) not in placed and one not in open_]
            open_.add(name)
            if missing:
                waiting += missing[:1]
            else:
                placed.setdefault(id(by_name[waiting.pop()]), by_name[name])
        placed.setdefault(id(document), document)
    return list(placed.values())
