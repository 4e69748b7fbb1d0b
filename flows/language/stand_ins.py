"""What stands in for a document that has an error, so that the documents that go by it are checked without an echo of it.

Reads: documents. Emits: contracts with `any` where nothing better can be read. None of it is ever deployed: the error is told.
"""

from __future__ import annotations

from typing import Final

from flows.language.check_policy import sort_of_policy
from flows.language.known import FlowType
from flows.language.nodes import Mapping, Scalar, plain
from flows.language.parse import Document
from schemas.contracts import EventContract
from schemas.expression.findings import ExpressionError
from schemas.expression.type_text import parse_type
from schemas.expression.types import ANY, Type
from schemas.flow.action_types import ActionType
from schemas.policy import PolicyType
from schemas.records import Json

_UNREAD: Final = "any"


def stand_in_event(name: str, node: Mapping) -> EventContract | None:
    """Give a contract with the fields that can be read; None where there are none at all."""
    fields, types = node.get("fields"), node.get("types")
    if not isinstance(fields, Mapping) or not fields.items:
        return None
    named = plain(types) if isinstance(types, Mapping) else {}
    data = _type(_readable(fields, named), named)
    return None if data is None else EventContract(event=name, topic=f"{name.partition('.')[0]}.events", data=data)


def stand_in_action(document: Document) -> ActionType:
    """Give a contract that takes and gives anything."""
    return ActionType(document.name, ANY, ANY)


def stand_in_flow(document: Document) -> FlowType:
    """Give a flow that takes and gives anything."""
    return FlowType(document.name, "", ANY, ANY)


def stand_in_policy(document: Document) -> PolicyType:
    """Give a policy of its sort, with the type that it says."""
    if sort_of_policy(document.node) == "table":
        answer, hit = _named_type(document.node, "outputs"), document.node.get("hit")
        several = isinstance(hit, Scalar) and hit.value == "collect"
        inputs = _named_type(document.node, "inputs")
        return PolicyType(document.name, inputs=inputs, answer=Type("list", item=answer) if several else answer)
    key = _named_type(document.node, "key") if sort_of_policy(document.node) == "keyed" else None
    return PolicyType(document.name, value=_named_type(document.node, "type"), key=key)


def _named_type(node: Mapping, key: str) -> Type:
    place = node.get(key)
    return (_type(plain(place), {}) if place is not None else None) or ANY


def _readable(node: Mapping, types: Json) -> Json:
    """Give the fields, `any` in place of each that cannot be read."""
    read: dict[str, Json] = {}
    for key, value in node.items:
        if isinstance(value, Mapping):
            read[str(key.value)] = _readable(value, types)
        else:
            read[str(key.value)] = plain(value) if _type(plain(value), types) is not None else _UNREAD
    return read


def _type(value: Json, types: Json) -> Type | None:
    try:
        return parse_type(value, types)
    except ExpressionError:
        return None
