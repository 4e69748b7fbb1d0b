"""From `event` documents to contracts: types read, key and time checked against the fields."""

from __future__ import annotations

from flows.language.declared_types import tell_types
from flows.language.nodes import Mapping, Node, find
from flows.language.report import Report, listed
from schemas.contracts import EventContract
from schemas.expression.findings import ExpressionError
from schemas.expression.type_text import parse_type
from schemas.expression.types import Type
from schemas.expression.words import ROOTS
from schemas.flow.action_types import ActionType, action_type
from schemas.flow.documents import ActionContract, Event


def event_contract(document: Event, node: Mapping, report: Report) -> EventContract | None:
    """Give the contract that an event document states; None if it has an error, which is told. Its schema id is 0."""
    before = len(report.problems)
    data = _data(document, node, report)
    if data is None:
        return None
    for name, _ in data.fields:
        if name in ROOTS:
            report.add(
                _key(node, name), "bad-name", f"'{name}' is a root of expressions and cannot be a field; choose another name"
            )
    key = "" if document.key == "subject" else _path(document.key, "key", data, node, report)
    time = "" if document.time is None else _path(document.time, "time", data, node, report, wanted="timestamp")
    for path in document.privacy:
        _path(path, "privacy", data, node, report)
    if len(report.problems) > before:
        return None
    return EventContract(
        event=str(document.event),
        topic=document.topic or f"{str(document.event).partition('.')[0]}.events",
        data=data,
        key=key,
        time=time,
        compatibility=document.compatibility,
        privacy=tuple(sorted(document.privacy.items())),
    )


def read_action_type(document: ActionContract, node: Mapping, report: Report) -> ActionType | None:
    """Give the action type that an action document states; None if it has an error, which is told."""
    try:
        return action_type(document)
    except ExpressionError as error:
        tell_types(error, _under(node, ("params", "result")), report, node.get("types"))
        return None


def _data(document: Event, node: Mapping, report: Report) -> Type | None:
    try:
        return parse_type(document.fields, document.types)
    except ExpressionError as error:
        tell_types(error, _under(node, ("fields",)), report, node.get("types"))
        return None


def _under(node: Mapping, keys: tuple[str, ...]) -> list[Node]:
    return [part for key in keys if (part := node.get(key)) is not None]


def _path(text: str, what: str, data: Type, node: Mapping, report: Report, wanted: str = "") -> str:
    place = find(node, (what,)) or node
    here: Type | None = data
    for name in text.split("."):
        here = dict(here.fields).get(name) if here is not None and here.name == "record" else None
    if here is None:
        report.add(
            place, "unknown-field", f"'{text}' of '{what}' is not in the fields ({listed(_leaves(data, ''))}); write one of these"
        )
    elif wanted and here.name != wanted:
        report.add(place, "type-mismatch", f"'{text}' is {here.name} and '{what}' wants a {wanted}; write another field")
    return text


def _leaves(of: Type, path: str) -> list[str]:
    if of.name != "record":
        return [path]
    return [leaf for name, kind in of.fields for leaf in _leaves(kind, f"{path}.{name}" if path else name)]


def _key(node: Mapping, name: str) -> Node:
    fields = node.get("fields")
    return (fields.key(name) if isinstance(fields, Mapping) else None) or node
