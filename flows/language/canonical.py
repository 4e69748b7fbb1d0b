"""The canonical form of a flow: desugared, defaults filled in, each expression in its one spelling; its hash is the version.

Comments, note, title, description and key order do not count. The canonical form is itself a document of the language.
`rollout` stands in it and is no part of the version: the same version is rolled out to more and more.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from flows.language.canonical_around import canonical_around
from flows.language.canonical_steps import canonical_steps
from flows.language.canonical_words import (
    canonical_data,
    canonical_duration,
)
from flows.language.nodes import Mapping, Node, Sequence, inner
from flows.language.triggers.canonical import canonical_trigger
from flows.language.triggers.listing import start_priority, triggers_of
from schemas.flow.documents import Flow
from schemas.records import Json

HASH_BYTES: Final = 16
ROLLOUT: Final = "rollout"
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
        **({"priority": priority} if (priority := start_priority(flow)) is not None else {}),
        "timeout": canonical_duration(flow.timeout),
        **canonical_around(flow, node),
        **({"defaults": {"timeout": canonical_duration(flow.defaults.timeout)}} if flow.defaults.timeout is not None else {}),
        "output": canonical_data(flow.output),
        "trigger": [canonical_trigger(one, place) for one, place in triggers_of(flow, node)],
        "steps": canonical_steps(flow.steps, inner(node, "steps"), flow),
        **({"on_error": canonical_steps(flow.on_error, inner(node, "on_error"), flow)} if flow.on_error else {}),
        **({"on_retract": canonical_steps(flow.on_retract, inner(node, "on_retract"), flow)} if flow.on_retract else {}),
    }


def canonical_bytes(document: dict[str, Json]) -> bytes:
    """Write a canonical form as JSON with sorted keys; decimals keep their digits."""
    return _encoder.encode(document)


def version_of(document: dict[str, Json], locked: MappingOf[str, str] | None = None) -> str:
    """Hash a canonical form, but for how it is rolled out, and the versions of the flows that it calls: 32 hex digits."""
    what = {key: value for key, value in document.items() if key != ROLLOUT}
    hashed = blake2b(canonical_bytes(what), digest_size=HASH_BYTES)
    if locked:
        hashed.update(canonical_bytes(dict(locked)))
    return hashed.hexdigest()


def tenants_of(flow: Flow) -> tuple[str, ...]:
    """List the tenants that a flow is for, () for all."""
    if flow.tenant is None:
        return ()
    return (flow.tenant,) if isinstance(flow.tenant, str) else tuple(sorted(set(flow.tenant)))
