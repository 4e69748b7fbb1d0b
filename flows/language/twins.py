"""Twins: two flows that send one action type with the same data for the same event, so that it happens twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flows.language.bound_names import step_mappings
from flows.language.canonical import canonical_bytes
from flows.language.compile import CompiledFlow
from flows.language.nodes import Mapping as MappingNode
from flows.language.nodes import Node, plain
from flows.language.parse import Document
from schemas.errors import Problem
from schemas.program import Act, EventTrigger

_ALL: Final = "*"
_LOOKED_AT: Final = 2  # of all tenants: one may be the flow itself
_Place = tuple[Document, CompiledFlow, int]


def twin_actions(flows: Iterable[tuple[Document, CompiledFlow]]) -> list[Problem]:
    """Warn of the second of two flows that do the same for an event, for a tenant that both serve."""
    first: dict[tuple[str, str, bytes], dict[str, _Place]] = {}
    problems = []
    for document, flow in flows:
        events = {trigger.event for trigger in flow.program.triggers if isinstance(trigger, EventTrigger)}
        for action, data, place in _commands(document, flow):
            for event in sorted(events):
                served = first.setdefault((event, action, data), {})
                twin = _twin(flow, served)
                if twin is not None:
                    problems.append(_told(document, place, action, event, twin))
                for tenant in flow.tenants or (_ALL,):
                    served.setdefault(tenant, (document, flow, place.line))
    return problems


def _twin(flow: CompiledFlow, served: dict[str, _Place]) -> _Place | None:
    """Find another flow that serves one of the tenants already."""
    tenants = (*flow.tenants, _ALL) if flow.tenants else list(served)[:_LOOKED_AT]
    found = (served.get(tenant) for tenant in tenants)
    return next((one for one in found if one is not None and one[1] is not flow), None)


def _commands(document: Document, flow: CompiledFlow) -> Iterator[tuple[str, bytes, Node]]:
    """Give each action with its data; those without any say too little to be compared."""
    if not any(isinstance(step, Act) for step in flow.program.steps):
        return
    for step in step_mappings(document.node):
        action, data = step.get("action"), step.get("idempotency") or step.get("with")
        if action is not None and data is not None:
            yield str(plain(action)), _bytes(data), action


def _bytes(data: Node) -> bytes:
    value = plain(data)
    return canonical_bytes(value if isinstance(data, MappingNode) and isinstance(value, dict) else {"": value})


def _told(document: Document, place: Node, action: str, event: str, twin: _Place) -> Problem:
    where = f"{twin[0].file}:{twin[2]}"
    message = (
        f"'{action}' is sent with the same data for each {event} by flow '{twin[1].name}' ({where}) too; "
        "take one away, or let the triggers exclude each other"
    )
    return Problem(document.file, place.line, place.column, "twin-action", message, "warning")
