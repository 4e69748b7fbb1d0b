"""One event that is waited for: what it binds, how it is found, and what of it may be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flows.language.conditions import Condition, Group, Leaf, Short, parse_expression, read_condition
from flows.language.elaborate import Elaborator
from flows.language.known import Known
from flows.language.names import Bound, Names, optional
from flows.language.nodes import Mapping, Node, inner
from flows.language.report import near
from schemas.expression.findings import ExpressionError
from schemas.expression.print import print_tree
from schemas.expression.scope import ENVELOPE
from schemas.expression.tree import And, Compare, Convert, Field, Path, Tree
from schemas.expression.types import ANY, Type
from schemas.expression.walk import keys, nodes
from schemas.program import Await, Correlation

OWN_CORRELATION: Final = (Correlation("event.correlationid", None),)
_IN_KEYS: Final = frozenset(["string", "int", "decimal", "bool", "timestamp", "duration", "one_of", "any"])
_ENVELOPE: Final = Type("record", fields=tuple(ENVELOPE.items()))


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is known of an event that is waited for."""

    event: str
    bind: str  # empty: nothing refers to it
    data: Type | None  # None: no contract says

    @property
    def type(self) -> Type:
        """Give what it binds: its data, and its envelope under `event`."""
        if self.data is None:
            return optional(ANY)
        return Type("record", fields=(*self.data.fields, ("event", _ENVELOPE)))


def awaited(event: str, bind: str, place: Node, known: Known, elaborator: Elaborator) -> Awaited:
    """Look the event up; warn where no contract says what it holds. `place` is where its type stands."""
    contract = known.events.get(event)
    if contract is None and event not in known.unread:
        hint = near(event, known.events)
        message = f"no contract is known for {event}: its fields cannot be checked; write an event document or use --infer{hint}"
        elaborator.report.warn(place, "no-contract", message)
    return Awaited(event, bind, contract.data if contract is not None else None)


def read_await(of: Awaited, node: Node, names: Names, elaborator: Elaborator) -> Await:
    """Read `correlate` and `conditions` of a wait, an absence or a part of a sequence."""
    inside = names
    if of.bind:
        inside = names.with_bindings({**names.bindings, of.bind: Bound(of.type, node.line, node.column)})
    correlate, conditions = inner(node, "correlate"), inner(node, "conditions")
    return Await(
        event=of.event,
        correlate=_correlation(of, correlate, inside, elaborator) if correlate is not node else OWN_CORRELATION,
        bind=of.bind,
        condition=_condition(of, conditions, inside, elaborator) if conditions is not node else None,
    )


def _condition(of: Awaited, place: Node, names: Names, elaborator: Elaborator) -> Tree | None:
    if _cannot_be_met(of, read_condition(place), elaborator):
        return None
    return elaborator.met(place, "conditions", names)


def _correlation(of: Awaited, place: Node, names: Names, elaborator: Elaborator) -> tuple[Correlation, ...]:
    if _cannot_be_met(of, read_condition(place), elaborator):
        return ()
    tree = elaborator.met(place, "correlate", names)
    if tree is None:
        return ()
    found = [_equality(of, part) for part in (tree.items if isinstance(tree, And) else (tree,))]
    kept = tuple(one for one in found if one is not None)
    if len(kept) < len(found):
        bind = of.bind or "the event"
        message = (
            f"correlate finds the event by equalities joined by and, each a field of {bind} == a value without {bind}; "
            "write one like that and move the rest to conditions"
        )
        elaborator.report.add(place, "bad-correlate", message)
    return tuple(sorted(kept, key=lambda one: (one.key, "" if one.value is None else print_tree(one.value))))


def _equality(of: Awaited, tree: Tree) -> Correlation | None:
    if not isinstance(tree, Compare) or tree.operator != "==":
        return None
    for one, other in ((tree.left, tree.right), (tree.right, tree.left)):
        field = one.item if isinstance(one, Convert) else one
        if isinstance(field, Field) and field.key == of.bind and field.rest and of.bind not in keys(other):
            plain = all(isinstance(part, str) and part != "*" for part in field.rest)
            return Correlation(".".join(map(str, field.rest)), other) if plain and field.type.name in _IN_KEYS else None
    return None


def _cannot_be_met(of: Awaited, condition: Condition, elaborator: Elaborator) -> bool:
    """Tell of fields that the awaited event does not have."""
    met = True
    for text, node in _texts(condition):
        try:
            paths = [part for part in nodes(parse_expression(text)) if isinstance(part, Path)]
        except ExpressionError:
            continue  # told by the reading of it
        for path in paths:
            missing = _missing(path, of)
            if missing:
                message = f"{of.event} has no field '{missing}'; this wait could only time out"
                elaborator.report.add(node, "cannot-be-met", message, path.at)
                met = False
    return not met


def _missing(path: Path, of: Awaited) -> str:
    if path.root != of.bind or of.data is None:
        return ""
    here: Type = of.type
    for at, part in enumerate(path.parts):
        if here.name != "record" or not isinstance(part, str) or part == "*":
            return ""
        found = dict(here.fields).get(part)
        if found is None:
            return ".".join(str(one) for one in path.parts[: at + 1])
        here = found
    return ""


def _texts(condition: Condition) -> list[tuple[str, Node]]:
    match condition:
        case Leaf():
            return [(condition.text, condition.node)]
        case Short():
            value = condition.value.get("field") if isinstance(condition.value, dict) else None
            place = condition.node.get("field") if isinstance(condition.node, Mapping) else None
            other = [(value, condition.node)] if isinstance(value, str) else []
            return [(condition.field, place or condition.node), *other]
        case Group():
            return [one for item in condition.items for one in _texts(item)]
