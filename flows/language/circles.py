"""Circles of flows: one that calls itself, or that starts itself over events or ends without anything that stops it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flows.language.called import forerunners, objects_of, triggers_in
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, Scalar, plain
from flows.language.parse import Document
from schemas.errors import Problem


@dataclass(frozen=True, slots=True)
class _Way:
    """One way from a flow to another: it calls it, emits an event that starts it, or starts it by its own end."""

    to: str
    event: str  # that is emitted; empty: a call
    place: Scalar
    end: bool = False


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
    followers: dict[str, list[_Way]] = {}
    for document in documents:
        for event in _starts(document):
            started.setdefault(event, []).append(document.name)
        for one in forerunners(document.node) if not _bounded(document.node) else ():
            followers.setdefault(str(one.value), []).append(_Way(document.name, "", one, end=True))
    names = {document.name for document in documents}
    found: dict[str, list[_Way]] = {}
    for document in documents:
        calls = [_Way(str(one.value), "", one) for one in objects_of(document.node, "call") if one.value in names]
        emitted = objects_of(document.node, "emit")
        emits = [_Way(name, str(one.value), one) for one in emitted for name in started.get(str(one.value), ())]
        every = calls + emits + followers.get(document.name, [])
        if every:
            found[document.name] = every
    return found


def _starts(document: Document) -> Iterator[str]:
    """Give the events that start a flow without any condition; a limit that drops ends every circle."""
    if _bounded(document.node):
        return
    for one in triggers_in(document.node):
        event = one.get("event")
        if isinstance(event, Scalar) and not any(one.get(key) for key in ("conditions", "window", "absence")):
            yield str(event.value)


def _bounded(node: MappingNode) -> bool:
    """Tell whether a flow has a limit that drops, or starts after others only under a condition."""
    limits = node.get("limits")
    drops = isinstance(limits, MappingNode) and any(_drops(limit) for _, limit in limits.items)
    after = [one for one in triggers_in(node) if one.get("after") is not None]
    return drops or (bool(after) and all(one.get("conditions") or one.get("window") for one in after))


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
    calls = not any(way.event or way.end for way in path)
    hint = "a call waits for its end: take one away" if calls else "add a condition that ends it, or a limit with over: drop"
    return Problem(document.file, first.line, first.column, "flow-cycle", f"{text}; {hint}")


def _reaches(way: _Way, line: str = "") -> str:
    if way.end:
        return f"ends{line}, which starts {way.to}"
    return f"emits {way.event}{line}, which starts {way.to}" if way.event else f"calls {way.to}{line}"
