"""The canonical form of the keys around the steps: what is not written is not there, what is there says its defaults."""

from __future__ import annotations

from decimal import Decimal

from flows.language.canonical_words import canonical_duration, canonical_expression, one_condition
from flows.language.conditions import read_condition
from flows.language.nodes import Mapping, Node, Sequence, inner
from schemas.expression.type_text import parse_type, type_spec
from schemas.flow.around import ConcurrencyLimit, RateLimit, View
from schemas.flow.documents import Flow
from schemas.records import Json

Form = dict[str, Json]


def canonical_around(flow: Flow, node: Mapping) -> Form:
    """Write inputs, limits, objectives, retention, privacy, views and rollout."""
    found: Form = {
        "inputs": {name: type_spec(of, name, {}) for name, of in parse_type(flow.inputs).fields},
        "limits": _limits(flow),
        "objectives": _objectives(flow),
        "retention": _retention(flow),
        "privacy": dict(flow.privacy),
        "views": _views(flow, inner(node, "views")),
        "rollout": _rollout(flow),
    }
    return {key: value for key, value in found.items() if value}


def _limits(flow: Flow) -> Form:
    kinds = {kind: getattr(flow.limits, kind) for kind in ("concurrency", "rate", "quota")}
    return {kind: _limit(limit) for kind, limit in kinds.items() if limit is not None}


def _limit(limit: ConcurrencyLimit | RateLimit) -> Form:
    form: Form = {"max": limit.max, "over": limit.over}
    if limit.key is not None:
        form["key"] = canonical_expression(limit.key)
    return form | ({"per": canonical_duration(limit.per)} if isinstance(limit, RateLimit) else {})


def _objectives(flow: Flow) -> Form:
    if flow.objectives is None:
        return {}
    return {"complete": canonical_duration(flow.objectives.complete), "share": _number(flow.objectives.share)}


def _number(value: int | Decimal) -> int | Decimal:
    return int(value) if value == int(value) else Decimal(value).normalize()


def _retention(flow: Flow) -> Form:
    kept = {key: getattr(flow.retention, key, None) for key in ("history", "data")}
    return {key: canonical_duration(text) for key, text in kept.items() if text is not None}


def _views(flow: Flow, node: Node) -> list[Json]:
    places = node.items if isinstance(node, Sequence) else ()
    return [_view(view, place) for view, place in zip(flow.views, places, strict=True)]


def _view(view: View, node: Node) -> Form:
    form: Form = {
        "view": view.view,
        "from": view.from_,
        "by": {name: canonical_expression(value) for name, value in view.by.items()},
        "measures": {name: canonical_expression(value) for name, value in view.measures.items()},
    }
    return form if view.where is None else {**form, "where": one_condition(read_condition(inner(node, "where")))}


def _rollout(flow: Flow) -> Form:
    rollout = flow.rollout
    if rollout.percent == 100 and rollout.by is None and not rollout.shadow:
        return {}
    by: Form = {} if rollout.by is None else {"by": canonical_expression(rollout.by)}
    return {"percent": rollout.percent, "shadow": rollout.shadow, **by}
