"""Flows that flows reach: by calls and by the events they emit; the order to compile them in, and circles among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flows.language.bound_names import step_mappings
from flows.language.known import FlowType
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, Scalar, plain
from flows.language.nodes import Sequence as SequenceNode
from flows.language.parse import Document
from schemas.errors import Problem
from schemas.expression.fit import type_of
from schemas.expression.literal_fit import literal_type
from schemas.expression.template import Items, Record, Template, Text, Value, Whole, value_of
from schemas.expression.types import ANY, STRING, Type
from schemas.program import Program


@dataclass(frozen=True, slots=True)
class _Way:
    """One way from a flow to another."""

    to: str
    event: str  # that is emitted; empty: a call
    place: Scalar


def flow_type(program: Program) -> FlowType:
    """Say what a caller must know of a compiled flow."""
    output = Type("record") if program.output is None else _type_of(program.output)
    return FlowType(program.flow, program.version, program.inputs or Type("record"), output)


def _type_of(template: Template) -> Type:
    match template:
        case Value():
            return literal_type(value_of(template))
        case Whole():
            return type_of(template.tree)
        case Text():
            return STRING
        case Record():
            return Type("record", fields=tuple((name, _type_of(item)) for name, item in template.items))
        case Items():
            return Type("list", item=ANY)


def objects_of(node: Node, verb: str) -> list[Scalar]:
    """Give what the steps with a verb name, with its place: the flows that are called, the events that are emitted."""
    found = (step.get(verb) for step in step_mappings(node))
    return [one for one in found if isinstance(one, Scalar)]


def in_call_order(documents: Sequence[Document]) -> list[Document]:
    """Put flows behind those that they call; the ones of a circle stay in the order of the files."""
    by_name = {document.name: document for document in documents}
    placed: dict[int, Document] = {}

    def place(document: Document, above: frozenset[str]) -> None:
        if id(document) in placed:
            return
        for name in {str(one.value) for one in objects_of(document.node, "call")} - above:
            if name in by_name:
                place(by_name[name], above | {document.name})
        placed[id(document)] = document

    for document in documents:
        place(document, frozenset([document.name]))
    return list(placed.values())


def circles(documents: Sequence[Document]) -> dict[str, Problem]:
    """Tell of flows that start themselves over calls or events without a condition or a limit that ends it, by their name."""
    ways = _ways(documents)
    problems: dict[str, Problem] = {}
    for document in documents:
        for way in ways.get(document.name, ()):
            path = _path_back(way, document.name, ways)
            if path:
                problems[document.name] = _told(document, path)
                break
    return problems


def _ways(documents: Sequence[Document]) -> Mapping[str, list[_Way]]:
    started: dict[str, list[str]] = {}
    for document in documents:
        for event in _starts(document):
            started.setdefault(event, []).append(document.name)
    names = {document.name for document in documents}
    found: dict[str, list[_Way]] = {}
    for document in documents:
        calls = [_Way(str(one.value), "", one) for one in objects_of(document.node, "call") if one.value in names]
        emitted = objects_of(document.node, "emit")
        emits = [_Way(name, str(one.value), one) for one in emitted for name in started.get(str(one.value), ())]
        if calls or emits:
            found[document.name] = calls + emits
    return found


def _starts(document: Document) -> Iterator[str]:
    """Give the events that start a flow without any condition; a limit that drops ends every circle."""
    limits = document.node.get("limits")
    if isinstance(limits, MappingNode) and any(_drops(limit) for _, limit in limits.items):
        return
    trigger = document.node.get("trigger")
    for one in trigger.items if isinstance(trigger, SequenceNode) else (trigger,):
        if isinstance(one, MappingNode) and not any(one.get(key) for key in ("conditions", "window", "absence")):
            event = one.get("event")
            if isinstance(event, Scalar):
                yield str(event.value)


def _drops(limit: Node) -> bool:
    over = limit.get("over") if isinstance(limit, MappingNode) else None
    return over is not None and plain(over) == "drop"


def _path_back(first: _Way, home: str, ways: Mapping[str, list[_Way]]) -> list[_Way]:
    """Follow ways until they come home; [] if none does."""
    seen: set[str] = set()
    paths: list[list[_Way]] = [[first]]
    while paths:
        path = paths.pop(0)
        here = path[-1].to
        if here == home:
            return path
        if here not in seen:
            seen.add(here)
            paths += [[*path, way] for way in ways.get(here, ())]
    return []


def _told(document: Document, path: Sequence[_Way]) -> Problem:
    first = path[0].place
    text = f"{document.name} {_reaches(path[0], f' (line {first.line})')}"
    text += "".join(f", which {_reaches(way)}" for way in path[1:])
    calls = all(way.event == "" for way in path)
    hint = "a call waits for its end: take one away" if calls else "add a condition that ends it, or a limit with over: drop"
    return Problem(document.file, first.line, first.column, "flow-cycle", f"{text}; {hint}")


def _reaches(way: _Way, line: str = "") -> str:
    return f"emits {way.event}{line}, which starts {way.to}" if way.event else f"calls {way.to}{line}"
