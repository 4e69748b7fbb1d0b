"""Checks the views that a flow declares: over the columns of executions, actions or events, and the fields of its trigger."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import replace
from typing import Final

from flows.language.elaborate import Elaborator
from flows.language.names import Bound, Names
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.triggers.check_window import read_measures
from schemas.expression.types import ANY, INT, STRING, TIMESTAMP, Type
from schemas.flow.around import View
from schemas.flow.documents import Flow

_TEXT: Final = Type("string", optional=True)
_TIME: Final = Type("timestamp", optional=True)
_OF_ALL: Final = (
    "executions",
    "steps",
    "actions",
    "events",
    "dead_letters",
    "flow_stats",
    "late_events",
    "shadow_executions",
    "shadow_differences",
)
COLUMNS: Final[MappingOf[str, MappingOf[str, Type]]] = {
    "executions": {
        "tenant": STRING,
        "flow": STRING,
        "version": STRING,
        "status": Type("one_of", options=("running", "waiting", "closing", "completed", "failed", "cancelled")),
        "started_at": TIMESTAMP,
        "ended_at": _TIME,
        "waiting_on": _TEXT,
        "wait_until": _TIME,
    },
    "actions": {
        "tenant": STRING,
        "flow": STRING,
        "step": STRING,
        "type": STRING,
        "params": Type("any", optional=True),
        "status": Type("one_of", options=("pending", "delivered", "failed", "unknown", "cancelled", "dead")),
        "created_at": TIMESTAMP,
        "delivered_at": _TIME,
        "attempts": INT,
    },
    "events": {"tenant": STRING, "type": STRING, "source": STRING, "subject": _TEXT, "time": TIMESTAMP, "appended_at": TIMESTAMP},
}


def check_views(flow: Flow, node: Mapping, names: Names, elaborator: Elaborator) -> None:
    """Check each view; `names` are those at the first step."""
    taken = dict.fromkeys(_OF_ALL, "a view of Millrace")
    places = inner(node, "views")
    for view, place in zip(flow.views, places.items if isinstance(places, Sequence) else (), strict=True):
        if view.view in taken:
            message = f"'{view.view}' is the name of {taken[view.view]} already; choose another name"
            elaborator.report.add(inner(place, "view"), "defined-twice", message)
        taken[str(view.view)] = "another view of this flow"
        _check_view(view, place, names, elaborator)


def _check_view(view: View, place: Node, names: Names, elaborator: Elaborator) -> None:
    columns = {name: Bound(of, place.line) for name, of in COLUMNS[view.from_].items()}
    inside = replace(names, bindings=columns, steps=False)
    if isinstance(place, Mapping) and place.get("where") is not None:
        elaborator.condition(inner(place, "where"), "where", inside)
    by = inner(place, "by")
    for name, value in by.items if isinstance(by, Mapping) and by is not place else ():
        text = elaborator.text(value, str(name.value))
        tree = None if text is None else elaborator.parsed(text, value)
        if tree is not None:
            elaborator.tree(tree, value, inside, ANY)
        if name.value in view.measures:
            elaborator.report.add(name, "bound-twice", f"'{name.value}' is a measure as well; choose another name")
    read_measures(elaborator, place, inside)
