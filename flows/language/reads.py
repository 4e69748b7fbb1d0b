"""Which parts of events an execution needs: of the trigger's event as keys, of an awaited one as ways into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.expression.scope import ENVELOPE
from schemas.expression.tree import Field, Lookup, Tree
from schemas.expression.types import ANY, Type
from schemas.expression.walk import nodes
from schemas.expression.words import ROOTS

Ways = tuple[tuple[tuple[str, ...], Type], ...]
_OWN_ROOTS: Final = ROOTS - {"event"}


def trigger_reads(trees: Iterable[Tree], bound: frozenset[str], data: Type | None) -> tuple[tuple[str, Type], ...]:
    """Give the keys of the trigger event that expressions read, with their types, sorted; `bound` are names of the flow."""
    found = {node.key for tree in trees for node in nodes(tree) if isinstance(node, Field)}
    own = sorted(key for key in found if key not in bound and key.partition(".")[0] not in _OWN_ROOTS)
    return tuple((key, _type_at(key, data)) for key in own)


def policies_read(trees: Iterable[Tree]) -> tuple[str, ...]:
    """Give the names of the policies that expressions ask, sorted."""
    found = {node.key for tree in trees for node in nodes(tree) if isinstance(node, Field | Lookup)}
    return tuple(sorted(key.split(".")[1] for key in found if key.startswith("policies.")))


def bound_reads(trees: Iterable[Tree], name: str, of: Type) -> Ways:
    """Give the ways into a bound event that expressions take, sorted; the shorter one holds the longer one."""
    found = {_plain(node.rest) for tree in trees for node in nodes(tree) if isinstance(node, Field) and node.key == name}
    if () in found:  # the whole of it: without a contract the check has refused that
        found |= {(field,) for field, _ in of.fields if field != "event"}
        found.discard(())
    kept = [way for way in found if not any(way[:length] in found for length in range(len(way)))]
    return tuple((way, _way_type(way, of)) for way in sorted(kept))


def _plain(rest: tuple[str | int, ...]) -> tuple[str, ...]:
    plain: list[str] = []
    for part in rest:
        if not isinstance(part, str) or part == "*":
            break
        plain.append(part)
    return tuple(plain)


def _way_type(way: tuple[str, ...], of: Type) -> Type:
    here, maybe = of, of.optional
    for part in way:
        here = dict(here.fields).get(part, msgspec.structs.replace(ANY, optional=True))
        maybe = maybe or here.optional
    return msgspec.structs.replace(here, optional=maybe)


def _type_at(key: str, data: Type | None) -> Type:
    root, _, rest = key.partition(".")
    if root == "event":
        return ENVELOPE.get(rest) or data or ANY
    here, maybe = data, False
    for name in key.split("."):
        if here is None or here.name != "record":
            return msgspec.structs.replace(ANY, optional=True)
        here = dict(here.fields).get(name)
        maybe = maybe or (here is not None and here.optional)
    found = here or ANY
    return msgspec.structs.replace(found, optional=True) if maybe else found
