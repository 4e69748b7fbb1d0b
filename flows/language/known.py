"""The contracts that flows are checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.contracts import EventContract
from schemas.expression.types import Type
from schemas.flow.action_types import ActionType
from schemas.policy import PolicyType


@dataclass(frozen=True, slots=True)
class FlowType:
    """What a caller must know of a flow: the version it is locked to, what it takes and what it gives."""

    flow: str
    version: str
    inputs: Type
    output: Type


@dataclass(frozen=True, slots=True)
class Known:
    """The contracts in force: of event types, of action types, of policies, and of flows that may be called.

    `unread` are event types whose document stands in the files and could not be read: its own error is enough.
    """

    events: Mapping[str, EventContract]
    actions: Mapping[str, ActionType]
    policies: Mapping[str, PolicyType] = field(default_factory=dict)
    flows: Mapping[str, FlowType] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
