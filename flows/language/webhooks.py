"""One path, one door: what a request becomes and how it is signed cannot differ between flows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flows.language.called import triggers_in
from flows.language.compile import CompiledFlow
from flows.language.parse import Document
from schemas.errors import Problem
from schemas.program import Webhook


def twin_doors(flows: Sequence[tuple[Document, CompiledFlow]]) -> list[Problem]:
    """Tell of webhooks on one path that differ in more than the name of their trigger."""
    first: dict[str, tuple[Webhook, str]] = {}
    problems: list[Problem] = []
    for document, compiled in flows:
        for door in compiled.program.triggers:
            if isinstance(door, Webhook):
                nameless = msgspec.structs.replace(door, name="")
                earlier = first.setdefault(door.path, (nameless, compiled.name))
                if earlier[0] != nameless:
                    problems.append(_told(document, door, earlier[1]))
    return problems


def _told(document: Document, door: Webhook, earlier: str) -> Problem:
    places = (one.get("webhook") for one in triggers_in(document.node))
    place = next((one for one in places if one is not None and getattr(one, "value", "") == door.path), document.node)
    text = f"webhook '{door.path}' of flow '{earlier}' differs in event, id or signature; write the same, or choose another path"
    return Problem(document.file, place.line, place.column, "defined-twice", text)
