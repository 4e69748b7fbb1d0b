"""Which fields of which events a program reads, and whether a changed contract still has them."""

from __future__ import annotations

from collections.abc import Iterator

from flows.versions.contract_changes import field_changes
from schemas.contracts import EventContract
from schemas.expression.tree import Field, Tree
from schemas.expression.walk import nodes
from schemas.frames import data_path
from schemas.program import Absence, Await, EventTrigger, Program, Sequence, Wait, Window

Way = tuple[str, ...]


def fields_read(program: Program, *, begun: bool = False) -> dict[str, set[Way]]:
    """Give by event type the ways into its data that triggers, waits and steps go; `begun`: those of what is in flight."""
    found: dict[str, set[Way]] = {}
    for trigger in program.triggers:
        if isinstance(trigger, EventTrigger):
            if not begun:
                keys = [way for key, _ in program.reads if (way := data_path(key))]
                found.setdefault(trigger.event, set()).update(keys, _ways(_trees(trigger)))
            for one in _awaited(trigger):
                found.setdefault(one.event, set()).update(_ways_of_await(one))
    for step in program.steps:
        if isinstance(step, Wait):
            found.setdefault(step.await_.event, set()).update(_ways_of_await(step.await_))
    return found


def no_longer_read(program: Program, old: EventContract, new: EventContract, *, begun: bool = False) -> list[str]:
    """Say what a program reads of an event that a changed contract does not give it any more; `begun`: what is in flight."""
    read = fields_read(program, begun=begun).get(old.event, set())
    broken = [change for change in field_changes(old.data, new.data, "data") if change.weight == "breaks"]
    said = []
    for change in broken:
        way = tuple(change.place.replace("[*]", "").split(".")[1:])
        if any(one[: len(way)] == way or way[: len(one)] == one for one in read):
            said.append(f"{'.'.join(way)}: {change.what.partition(';')[0]}")
    return said


def _awaited(trigger: EventTrigger) -> tuple[Await, ...]:
    match trigger.detail:
        case Absence(of):
            return (of,)
        case Sequence(then):
            return then
        case _:
            return ()


def _trees(trigger: EventTrigger) -> Iterator[Tree]:
    """Give the expressions over the trigger's own event."""
    if trigger.condition is not None:
        yield trigger.condition
    match trigger.detail:
        case Window() as window:
            yield window.key
            yield from (one.value for one in window.measures if one.value is not None)
            yield from () if window.when is None else (window.when,)
        case Absence() as absence:
            yield absence.time
        case _:
            return
    return


def _ways(trees: Iterator[Tree]) -> Iterator[Way]:
    for tree in trees:
        for node in nodes(tree):
            way = data_path(node.key) if isinstance(node, Field) else None
            if way and isinstance(node, Field):
                yield (*way, *(part for part in node.rest if isinstance(part, str) and part != "*"))


def _ways_of_await(one: Await) -> Iterator[Way]:
    yield from (way for way, _ in one.reads if way[0] != "event")
    yield from (way for correlation in one.correlate if (way := data_path(correlation.key)))
