"""Which topics the projector reads, for whoever asks without opening the door to DuckDB."""

from __future__ import annotations

from typing import Final

from schemas.topics import ACTIONS_PREFIX, CONTROL, DEAD_LETTERS, HISTORY, LATE, MISTYPED, RESULTS, SHADOWS, is_events

RECORDS: Final = frozenset({HISTORY, ACTIONS_PREFIX, RESULTS, DEAD_LETTERS, LATE, MISTYPED, SHADOWS})


def reads(topic: str) -> bool:
    """Tell whether the projector reads a topic."""
    return is_events(topic) or topic == CONTROL or kind(topic) in RECORDS


def kind(topic: str) -> str:
    """Give what a topic's records are: all action topics hold the same."""
    return ACTIONS_PREFIX if topic.startswith(ACTIONS_PREFIX) else topic
