"""Window: a key, how long, what is measured, and when that starts the flow."""

from __future__ import annotations

from typing import Final

import msgspec

from flows.language.conditions import expression_text, parse_expression
from flows.language.elaborate import Elaborator
from flows.language.names import Names
from flows.language.nodes import Mapping, Node, inner, plain
from flows.language.report import near
from flows.language.triggers.reading import WINDOW_MAX_US, Reading, tell_policies
from schemas.expression.findings import ExpressionError
from schemas.expression.fit import present, type_of
from schemas.expression.tree import Call, ListOf, Tree
from schemas.expression.types import ANY, INT, Type
from schemas.flow.trigger import WindowRule
from schemas.program import Measure, Window

KINDS: Final = ("sliding", "tumbling", "session")
MEASURES: Final = ("count", "sum", "min", "max", "mean", "distinct")
_USAGE: Final = "count() sum(x) min(x) max(x) mean(x) distinct(x)"


def check_window(reading: Reading, rule: WindowRule, node: Node, names: Names) -> tuple[Window, Type, frozenset[str]]:
    """Give the window, the record that `window` means, and what its key proves; `names` are those of the events in it."""
    kind = _kind(reading, rule, node)
    key, known = reading.group(node, names)
    names = names.knowing(known)
    measures = read_measures(reading.elaborator, node, names)
    record = Type("record", fields=tuple((one.name, one.type) for one in measures))
    _check_fire(reading, rule, node, kind)
    inside = names.with_root("window", record)
    whole = len(measures) == len(rule.measures)  # else what is wrong with a measure has been told
    when = reading.condition(node, inside, "when")[0] if isinstance(node, Mapping) and whole else None
    window = Window(
        key=key,
        kind=kind,  # type: ignore[arg-type]
        size_us=reading.bounded(getattr(rule, kind), node, kind, WINDOW_MAX_US, least_us=1),
        measures=measures,
        when=when,
        fire=rule.fire,
        lateness_us=reading.bounded(rule.lateness, node, "lateness", WINDOW_MAX_US),
        retract_us=reading.bounded(rule.retract, node, "retract"),
    )
    return window, record, known


def read_measures(elaborator: Elaborator, node: Node, names: Names) -> tuple[Measure, ...]:
    """Give the measures under a key `measures`; what is wrong with one is told, and it is left out."""
    found = [_measure(elaborator, name, place, names) for name, place in _places(node)]
    return tuple(measure for measure in found if measure is not None)


def _kind(reading: Reading, rule: WindowRule, node: Node) -> str:
    found = [kind for kind in KINDS if getattr(rule, kind) is not None]
    if not found:
        message = "a window without sliding, tumbling or session would keep events for ever; say how long, as in sliding: 1h"
        reading.report.add(node, "unbounded", message)
    elif len(found) > 1:
        reading.report.add(node, "two-windows", f"one window has '{found[0]}' and '{found[1]}'; write one of them")
    return found[0] if found else "sliding"


def _check_fire(reading: Reading, rule: WindowRule, node: Node, kind: str) -> None:
    place = inner(node, "fire")
    if rule.fire == "close" and kind == "sliding":
        reading.report.add(place, "bad-window", "a sliding window has no end; fire: close goes with tumbling or session")
    if rule.fire == "crossing" and rule.when is None:
        message = "a window that fires when it becomes true has no 'when' and needs one; add it, or write fire: every or close"
        reading.report.add(node, "missing-key", message)
    if rule.retract is not None and rule.fire != "close":
        message = "'retract' takes back what a window said at its end; write fire: close, or take it away"
        reading.report.add(inner(node, "retract"), "bad-window", message)


def _places(node: Node) -> list[tuple[str, Node]]:
    measures = inner(node, "measures")
    return [(str(key.value), value) for key, value in measures.items] if isinstance(measures, Mapping) else []


def _measure(elaborator: Elaborator, name: str, place: Node, names: Names) -> Measure | None:
    text = expression_text(plain(place))
    try:
        tree = parse_expression(text)
    except ExpressionError as error:
        elaborator.report.add(place, error.name, error.message, error.at)
        return None
    if not isinstance(tree, Call) or tree.name not in MEASURES:
        hint = near(tree.name, MEASURES) if isinstance(tree, Call) else ""
        elaborator.report.add(place, "bad-measure", f"'{text}' is no measure; write one of {_USAGE}{hint}")
        return None
    if len(tree.args) != (0 if tree.name == "count" else 1):
        wanted = "count()" if tree.name == "count" else f"{tree.name}(x)"
        elaborator.report.add(place, "wrong-arguments", f"'{tree.name}' has {len(tree.args)} arguments; write {wanted}")
        return None
    if tree.name == "count":
        return Measure(name, "count", None, INT)
    return _of_value(elaborator, name, tree, place, names)


def _of_value(elaborator: Elaborator, name: str, tree: Call, place: Node, names: Names) -> Measure | None:
    """Type a measure as the list function of its name types a list of such values."""
    listed = msgspec.structs.replace(tree, args=(ListOf(tree.args, at=tree.args[0].at),))
    found = elaborator.tree(listed, place, names, ANY)
    if not isinstance(found, Call):
        return None
    value = _item(found.args[0])
    tell_policies(value, place, "a measure", elaborator.report)
    of = found.type if tree.name in ("min", "max", "mean") and type_of(value).optional else present(found.type)
    return Measure(name, tree.name, value, of)  # type: ignore[arg-type]


def _item(tree: Tree) -> Tree:
    """Give the value inside the list that a measure was typed as."""
    inside = tree
    while not isinstance(inside, ListOf):
        inside = inside.item if hasattr(inside, "item") else inside.args[0]  # type: ignore[union-attr]
    return inside.items[0]
