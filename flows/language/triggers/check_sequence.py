"""Sequence: events of one key, each with its conditions over those before it."""

from __future__ import annotations

import msgspec

from flows.language.awaits import Awaited
from flows.language.names import Bound, Names
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.triggers.reading import WINDOW_MAX_US, Reading
from flows.language.triggers.started import Started
from schemas.expression.fit import present, type_of
from schemas.expression.tree import Field, Tree
from schemas.expression.type_text import print_type
from schemas.expression.types import Type
from schemas.expression.walk import rebuild
from schemas.flow.trigger import SequenceTrigger
from schemas.program import Await, Correlation, EventTrigger
from schemas.program import Sequence as Record


def check_sequence(reading: Reading, trigger: SequenceTrigger, node: Mapping) -> Started:
    """Give the trigger: it takes in its first event, the others are awaited one after the other."""
    rule, place = trigger.sequence, inner(node, "sequence")
    places = inner(place, "events")
    listed = list(zip(rule.events, places.items if isinstance(places, Sequence) else (), strict=True))
    events = [Awaited(str(one.event), str(one.as_), reading.data(str(one.event), inner(at, "event"))) for one, at in listed]
    _refuse_twins(reading, events, [at for _, at in listed])
    keys, there = _keys(reading, place, events)
    bindings: dict[str, Bound] = {}
    conditions: list[Tree | None] = []
    known: frozenset[str] = frozenset()
    for of, (_, at) in zip(events, listed, strict=True):
        bindings[of.bind] = Bound(of.type, at.line, at.column)
        names = Names(of.data, of.event, dict(bindings), steps=False)
        tree, known = reading.condition(at, names) if isinstance(at, Mapping) else (None, frozenset[str]())
        conditions.append(tree)
    first, last = events[0], events[-1]
    then = tuple(
        Await(of.event, _correlation(key, first, keys[0]), of.bind, None if tree is None else bound_fields(tree, of))
        for of, key, tree in zip(events[1:], keys[1:], conditions[1:], strict=True)
    )
    within_us = reading.bounded(rule.within, place, "within", WINDOW_MAX_US, least_us=1)
    lateness_us = reading.bounded(rule.lateness, place, "lateness", WINDOW_MAX_US)
    detail = Record(then, within_us, first.bind, lateness_us=lateness_us)
    own = None if conditions[0] is None else bare_fields(conditions[0], first)
    record = EventTrigger(first.event, own, str(trigger.as_ or ""), detail)
    return Started((record,), last.data, last.event, known | there, {}, bindings, {of.bind: of.type for of in events})


def _refuse_twins(reading: Reading, events: list[Awaited], places: list[Node]) -> None:
    taken: set[str] = set()
    for of, place in zip(events, places, strict=True):
        if of.bind in taken:
            message = f"'{of.bind}' names an event of this sequence already; choose another name"
            reading.report.add(inner(place, "as"), "bound-twice", message)
        if any(Names(other.data, other.event).takes(of.bind) for other in events):
            message = f"'{of.bind}' is a field of an event of this sequence; a binding needs another name"
            reading.report.add(inner(place, "as"), "shadows-field", message)
        taken.add(of.bind)


def _keys(reading: Reading, place: Node, events: list[Awaited]) -> tuple[list[Field], frozenset[str]]:
    """Read the key in every event; it has one type in all. Also what it proves to be there in the last one."""
    found: list[Field] = []
    known: frozenset[str] = frozenset()
    for of in events:
        before = len(reading.report.problems)
        tree, known = reading.group(place, Names(of.data, of.event, steps=False))
        if not isinstance(tree, Field) or not all(isinstance(part, str) and part != "*" for part in tree.rest):
            if len(reading.report.problems) == before:
                message = "the key of a sequence is read in every event; write one path, as in order.customer_id"
                reading.report.add(inner(place, "key"), "bad-key", message)
            return [Field("") for _ in events], frozenset()
        found.append(tree)
    kinds = {print_type(present(type_of(tree))) for tree in found}
    if len(kinds) > 1:
        message = f"the key is {' and '.join(sorted(kinds))} in these events; a sequence wants one type"
        reading.report.add(inner(place, "key"), "type-mismatch", message)
    return found, known


def _correlation(key: Field, first: Awaited, own: Field) -> tuple[Correlation, ...]:
    path = ".".join([key.key, *(str(part) for part in key.rest)])
    return (Correlation(path, bound_fields(own, first)),)


def bound_fields(tree: Tree, of: Awaited) -> Tree:
    """Rewrite bare names of an event as parts of what it is bound to."""
    if isinstance(tree, Field) and (tree.key.startswith("event.") or _is_own(tree.key, of)):
        parts = () if tree.key == "event.data" else tuple(tree.key.split("."))
        return Field(of.bind, (*parts, *tree.rest), tree.type, tree.at)
    return rebuild(tree, lambda part: bound_fields(part, of))


def _is_own(key: str, of: Awaited) -> bool:
    root = key.partition(".")[0]
    return root in (dict(of.data.fields) if of.data is not None else {of.event.partition(".")[0]})


def bare_fields(tree: Tree, of: Awaited) -> Tree:
    """Rewrite parts of what an event is bound to as its bare names, which are all that matching sees."""
    if isinstance(tree, Field) and tree.key == of.bind:
        return _bare_field(tree, of)
    return rebuild(tree, lambda part: bare_fields(part, of))


def _bare_field(tree: Field, of: Awaited) -> Field:
    names: list[str] = []
    here: Type | None = of.type
    for part in tree.rest:
        if not isinstance(part, str) or part == "*" or (here is not None and here.name != "record"):
            break
        names.append(part)
        here = dict(here.fields).get(part) if here is not None else None
    return msgspec.structs.replace(tree, key=".".join(names) or "event.data", rest=tree.rest[len(names) :])
