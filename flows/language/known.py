"""The contracts that flows are checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.contracts import EventContract
from schemas.flow.action_types import ActionType


@dataclass(frozen=True, slots=True)
class Known:
    """The contracts in force: of event types and of action types."""

    events: Mapping[str, EventContract]
    actions: Mapping[str, ActionType]
