"""Checks the keys around the steps of a flow: timeout, defaults, inputs, limits, objectives, retention, privacy, rollout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from flows.language.check_rollout import check_rollout
from flows.language.check_views import check_views
from flows.language.declared_types import tell_types
from flows.language.elaborate import Elaborator
from flows.language.literals import DAY_US, check_retry, positive
from flows.language.names import Names
from flows.language.nodes import Mapping, Node, inner
from flows.language.report import Report, listed, near
from schemas.expression.findings import ExpressionError
from schemas.expression.fit import type_of
from schemas.expression.tree import Tree
from schemas.expression.type_text import parse_type
from schemas.expression.types import ANY, Type
from schemas.flow.around import ConcurrencyLimit
from schemas.flow.documents import Flow
from schemas.program import Limit

TIMEOUT_MAX_US: Final = 1100 * DAY_US
SPAN_MAX_US: Final = 400 * DAY_US
NOT_YET: Final = {
    "objectives": "nothing measures or alarms it",
    "retention": "histories and the values in them stay",
    "privacy": "history and views show the values as they are",
    "views": "no table is made",
}


def check_timeout(flow: Flow, node: Mapping, report: Report) -> int:
    """Read how long an execution may live."""
    place = inner(node, "timeout")
    timeout_us = positive(flow.timeout, place, "timeout", report)
    if timeout_us > TIMEOUT_MAX_US:
        report.add(place, "too-long", f"timeout '{flow.timeout}' is over 1100d, the longest; write less")
    return timeout_us


def check_defaults(flow: Flow, node: Mapping, report: Report) -> None:
    """Check what holds for actions that say nothing themselves."""
    place = inner(node, "defaults")
    check_retry(flow.defaults.retry, inner(place, "retry"), report)
    if flow.defaults.timeout is not None:
        positive(flow.defaults.timeout, inner(place, "timeout"), "timeout", report)


@dataclass(frozen=True, slots=True)
class Around:
    """What the keys around the steps come to in the program; the rest of them stays in the document."""

    limits: tuple[Limit, ...] = ()
    rollout_by: Tree | None = None


def check_around(flow: Flow, node: Mapping, names: Names, elaborator: Elaborator) -> Around:
    """Check limits, rollout, objectives, retention, privacy and views; `names` are those at the first step."""
    _check_spans(flow, node, elaborator.report)
    _check_privacy(flow, node, names, elaborator.report)
    check_views(flow, node, names, elaborator)
    _warn_not_yet(node, elaborator.report)
    rollout = inner(node, "rollout")
    by = _key(rollout, "by", names, elaborator) if flow.rollout.by is not None else None
    check_rollout(flow, rollout, by, elaborator.report)
    return Around(tuple(_limits(flow, inner(node, "limits"), names, elaborator)), by)


def _warn_not_yet(node: Mapping, report: Report) -> None:
    """Say of keys that are checked and kept that nobody acts on them: who writes `privacy` must not rely on it."""
    for key, what in NOT_YET.items():
        place = node.key(key)
        if place is not None:
            report.warn(place, "not-yet", f"'{key}' is checked and kept, and this version of Millrace does not act on it: {what}")


def _limits(flow: Flow, node: Node, names: Names, elaborator: Elaborator) -> Iterator[Limit]:
    kinds: tuple[Literal["concurrency", "rate", "quota"], ...] = ("concurrency", "rate", "quota")
    for kind in kinds:
        limit = getattr(flow.limits, kind)
        if limit is None:
            continue
        place = inner(node, kind)
        per_us = 0 if isinstance(limit, ConcurrencyLimit) else _span(limit.per, place, "per", elaborator.report)
        key = _key(place, "key", names, elaborator) if limit.key is not None else None
        yield Limit(kind, limit.max, key, per_us, limit.over)


def _key(node: Node, key: str, names: Names, elaborator: Elaborator) -> Tree | None:
    """Read a key; executions where it is missing belong together."""
    place = inner(node, key)
    text = elaborator.text(place, key)
    read = None if text is None else elaborator.parsed(text, place)
    tree = None if read is None else elaborator.tree(read, place, names, ANY)
    if tree is not None and type_of(tree).name in ("list", "record"):
        message = f"a {type_of(tree).name} stands at '{key}', which tells one from another; write one value of it"
        elaborator.report.add(place, "type-mismatch", message)
    return tree


def _span(text: str, node: Node, key: str, report: Report) -> int:
    us = positive(text, inner(node, key), key, report)
    if us == 0:
        report.add(inner(node, key), "bad-duration", f"'{text}' is no time at all and '{key}' wants some; write one like 1m")
    elif us > SPAN_MAX_US:
        report.add(inner(node, key), "too-long", f"{key} '{text}' is over 400d, the longest; write less")
    return us


def _check_spans(flow: Flow, node: Mapping, report: Report) -> None:
    if flow.objectives is not None:
        positive(flow.objectives.complete, inner(inner(node, "objectives"), "complete"), "complete", report)
    place = inner(node, "retention")
    texts = {key: getattr(flow.retention, key, None) for key in ("history", "data")}
    kept = {key: positive(text, inner(place, key), key, report) for key, text in texts.items() if text is not None}
    if len(kept) == 2 and kept["data"] > kept["history"]:
        message = "values cannot stay longer than the histories that they stand in; make history at least as long as data"
        report.add(inner(place, "data"), "bad-retention", message)


def _check_privacy(flow: Flow, node: Mapping, names: Names, report: Report) -> None:
    """Insist that each path is a field of the trigger's event."""
    place = inner(node, "privacy")
    for path in flow.privacy:
        unknown = _unknown_field(path, names.data)
        if unknown is not None:
            key = (place.key(path) if isinstance(place, Mapping) else None) or place
            what = names.event or "what starts this flow"
            known = f" ({listed(unknown)})" if unknown else ", which has no data"
            report.add(key, "unknown-field", f"'{path}' is not in {what}{known}{near(path, unknown) or '; take it away'}")


def _unknown_field(path: str, data: Type | None) -> list[str] | None:
    """Give the fields that are there where a path leads nowhere; None if it leads somewhere, or nobody knows."""
    here, way = data, path.split(".")
    for at, name in enumerate(way):
        if here is None or here.name != "record":
            return None
        fields = dict(here.fields)
        if name not in fields:
            return [".".join([*way[:at], field]) for field in fields]
        here = fields[name]
    return None


def check_inputs(flow: Flow, node: Mapping, report: Report) -> Type | None:
    """Read the types of the inputs; None where the flow has none."""
    if not flow.inputs:
        return None
    place = inner(node, "inputs")
    try:
        return parse_type(flow.inputs)
    except ExpressionError as error:
        tell_types(error, [place], report)
        return Type("record", fields=tuple((name, ANY) for name in flow.inputs))
