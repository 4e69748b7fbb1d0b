"""Names of topics, and which of a home's files holds each (contracts.md section 2)."""

from __future__ import annotations

from typing import Final

from schemas.ids import shard_of

CONTROL: Final = "control"
COMMANDS: Final = "commands"
DECISIONS: Final = "decisions"
RESULTS: Final = "results"
HISTORY: Final = "history"
DEAD_LETTERS: Final = "dead_letters"
CANCELS: Final = "cancels"
LATE: Final = "late"
MISTYPED: Final = "mistyped"
SHADOWS: Final = "shadows"
APPROVAL_EVENTS: Final = "approvals.events"
FLOW_EVENTS: Final = "flows.events"
ACTIONS_PREFIX: Final = "actions."
EVENTS_SUFFIX: Final = ".events"
PARTITIONS: Final = 8  # of every topic in a new home; kept in the home, a power of two up to 64

INGRESS_FILE: Final = "ingress.db"


def engine_file(engine: int) -> str:
    """Name the file that engine n writes."""
    return f"engine-{engine}.db"


def is_engine_file(source: str) -> bool:
    """Tell whether a file is written by an engine: what stands in it was said by executions."""
    return source.startswith("engine-")


def dispatcher_file(partition: int) -> str:
    """Name the file that the owner of action partition p writes."""
    return f"dispatcher-{partition}.db"


def actions_topic(connector: str) -> str:
    """Name the topic of the commands for one connector."""
    return ACTIONS_PREFIX + connector


def is_events(topic: str) -> bool:
    """Tell whether a topic carries events of the outside world."""
    return topic.endswith(EVENTS_SUFFIX)


def is_said_to_engine(topic: str) -> bool:
    """Tell whether the engine reads a topic of the ingress file."""
    return topic in (CONTROL, DECISIONS, COMMANDS) or is_events(topic)


def partition_of(tenant: str | None, partitions: int) -> int:
    """Give the partition of a tenant's records; a record without a readable tenant lies in partition 0."""
    return 0 if tenant is None else shard_of(tenant) % partitions
