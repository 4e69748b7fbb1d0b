"""Which names the steps of a flow bind, and where: found before the walk, so that a use before it can be told from a typo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from flows.language.nodes import Mapping, Node, Scalar, Sequence, plain

STEP_LISTS: Final = frozenset(["steps", "then", "else", "on_error", "on_timeout", "on_retract"])
_RESULTS: Final = frozenset(["wait", "approve", "decide", "for_each", "parallel", "generate", "features", "score"])


@dataclass(frozen=True, slots=True)
class Named:
    """One name that a step gives: a value that is set, an item, a result, a command without one, or the step alone."""

    place: Scalar
    sort: Literal["set", "item", "result", "command", "step"]
    verb: str = ""
    loop: int = 0  # the line of the for_each that it lives in

    @property
    def binds(self) -> bool:
        """Tell whether expressions may read it."""
        return self.sort in ("set", "item", "result")


def named(node: Node, loop: int = 0) -> Iterator[Named]:
    """Give every name that the steps under a flow, a step or a list give."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from named(item, loop)
    if isinstance(node, Mapping):
        inside = node.line if node.get("for_each") is not None else loop
        each = node.get("each")
        if inside and isinstance(each, Scalar):
            yield Named(each, "item", "for_each", inside)
        yield from _own(node, loop)
        for key, value in node.items:
            for steps in _lists(str(key.value), value):
                yield from named(steps, inside if key.value == "steps" else loop)


def step_mappings(node: Node) -> list[Mapping]:
    """List every mapping that may be a step, under a flow, a step or a list."""
    found: list[Mapping] = []
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Sequence):
            waiting.extend(reversed(here.items))
        elif isinstance(here, Mapping):
            found.append(here)
            below = [steps for key, value in here.items for steps in _lists(str(key.value), value)]
            waiting.extend(reversed(below))
    return found


def _lists(key: str, value: Node) -> tuple[Node, ...]:
    """Give the lists of steps, or of arms, at a key."""
    if key in STEP_LISTS or key == "branch":
        return (value,)
    return tuple(arm for _, arm in value.items) if key == "parallel" and isinstance(value, Mapping) else ()


def _own(step: Mapping, loop: int) -> Iterator[Named]:
    assigned, name = step.get("set"), step.get("as")
    for key, _ in assigned.items if isinstance(assigned, Mapping) else ():
        yield Named(key, "set", "set", loop)
    if not isinstance(name, Scalar):
        return
    awaited = step.get("await")
    if step.get("action") is not None:
        yield Named(name, "result" if awaited is not None and plain(awaited) is True else "command", "action", loop)
    elif step.get("call") is not None:
        yield Named(name, "command" if awaited is not None and plain(awaited) is False else "result", "call", loop)
    else:
        verb = next((verb for verb in step.names() if verb in _RESULTS), "")
        yield Named(name, "result" if verb else "step", verb, loop)
