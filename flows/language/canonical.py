"""The canonical form of a flow: desugared, defaults filled in, each expression in its one spelling; its hash is the version.

Comments, note, title, description and key order do not count. The canonical form is itself a document of the language.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Final

import msgspec

from flows.language.canonical_steps import canonical_steps
from flows.language.canonical_words import (
    canonical_data,
    canonical_duration,
    every_condition,
)
from flows.language.conditions import read_condition
from flows.language.nodes import Mapping, Node, Sequence, inner
from schemas.flow.documents import Flow, Trigger
from schemas.records import Json

HASH_BYTES: Final = 16
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


def sorted_keys(node: Node) -> Node:
    """Put every mapping into the order of its keys: what follows cannot depend on how a person listed them."""
    if isinstance(node, Mapping):
        items = sorted(((key, sorted_keys(value)) for key, value in node.items), key=lambda item: str(item[0].value))
        return replace(node, items=tuple(items))
    if isinstance(node, Sequence):
        return replace(node, items=tuple(sorted_keys(item) for item in node.items))
    return node


def canonical(flow: Flow, node: Mapping) -> dict[str, Json]:
    """Give the canonical form of a flow without errors; `node` is what the model was made of."""
    return {
        "flow": flow.flow,
        "language": flow.language,
        **({"owner": flow.owner} if flow.owner is not None else {}),
        "labels": dict(flow.labels),
        **({"tenant": list(tenants_of(flow))} if flow.tenant is not None else {}),
        "enabled": flow.enabled,
        "priority": flow.priority,
        "timeout": canonical_duration(flow.timeout),
        **({"defaults": {"timeout": canonical_duration(flow.defaults.timeout)}} if flow.defaults.timeout is not None else {}),
        "output": canonical_data(flow.output),
        "trigger": [_trigger(one, place) for one, place in triggers_of(flow, node)],
        "steps": canonical_steps(flow.steps, inner(node, "steps"), flow),
        **({"on_error": canonical_steps(flow.on_error, inner(node, "on_error"), flow)} if flow.on_error else {}),
        **({"on_retract": canonical_steps(flow.on_retract, inner(node, "on_retract"), flow)} if flow.on_retract else {}),
    }


def canonical_bytes(document: dict[str, Json]) -> bytes:
    """Write a canonical form as JSON with sorted keys; decimals keep their digits."""
    return _encoder.encode(document)


def version_of(document: dict[str, Json]) -> str:
    """Hash a canonical form: 32 hex digits."""
    return blake2b(canonical_bytes(document), digest_size=HASH_BYTES).hexdigest()


def tenants_of(flow: Flow) -> tuple[str, ...]:
    """List the tenants that a flow is for, () for all."""
    if flow.tenant is None:
        return ()
    return (flow.tenant,) if isinstance(flow.tenant, str) else tuple(sorted(set(flow.tenant)))


def triggers_of(flow: Flow, node: Mapping) -> list[tuple[Trigger, Mapping]]:
    """List the triggers with their places."""
    place = node.get("trigger")
    if isinstance(flow.trigger, Trigger):
        return [(flow.trigger, place)] if isinstance(place, Mapping) else []
    places = place.items if isinstance(place, Sequence) else ()
    return [(one, at) for one, at in zip(flow.trigger, places, strict=True) if isinstance(at, Mapping)]


def _trigger(trigger: Trigger, node: Mapping) -> dict[str, Json]:
    conditions = node.get("conditions")
    every = every_condition(read_condition(conditions)) if conditions is not None and trigger.conditions != () else []
    found: dict[str, Json] = {"event": trigger.event, **({"conditions": every} if every else {})}
    return {**found, "as": trigger.as_} if trigger.as_ else found
