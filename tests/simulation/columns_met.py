"""What a simulation must have met to mean anything: each line is a column of the report, and a zero in any of them fails."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.simulation.draw import SPOILS
from tests.simulation.stories import columns as stories

_FILES: Final = ("ingress", "engine", "dispatcher")
REQUIRED: Final[tuple[str, ...]] = (
    # crashes: at each commit point of each file, in between, and with what they leave
    *(f"crash: {file} {point}" for file in _FILES for point in ("log write", "log sync", "file write")),
    "crash: between a call and its outcome",
    "crash: power lost between steps",
    *(f"crash: {role} between steps" for role in ("sender", "engine", "dispatcher")),
    "power loss: unsynced writes lost",
    "power loss: unsynced writes kept",
    "power loss: a write torn",
    *(f"failed operation: {file} log write" for file in _FILES),
    *(f"disk full: {role}" for role in ("sender", "engine", "dispatcher")),
    "roles stopped in order",
    "appends that were not answered, sent again",
    "clock jump: forwards",
    "clock jump: backwards",
    "clock: wall",
    "clock: event, held",
    "clock: event, free",
    # what is sent
    "format: json",
    "format: avro",
    "duplicates sent",
    "duplicates in the log",
    "duplicates with other content",
    "events reordered",
    "late events",
    *(f"spoilt: {sort}" for sort in (*SPOILS, "control")),
    "deploy: while events stream",
    "deploy: taken out of force",
    "connector rules changed",
    "commands redriven",
    # what runs
    *(
        f"construct: {word}"
        for word in (
            "action",
            "delay",
            "until",
            "set",
            "branch",
            "parallel",
            "stop",
            "short form",
            "several triggers",
            "execution timeout",
        )
    ),
    "flows for all tenants",
    "flows for one tenant",
    "flows for several tenants",
    "flows of a tenant before those for all",
    "executions completed",
    "executions failed",
    "executions pinned to an older version",
    "commands too many hops from their event",
    "commands with an order key",
    "histories equal to the reference runner's",
    "looks from outside",
    # how commands end
    *(f"outcome: {status}" for status in ("delivered", "failed", "unknown", "dead")),
    *(
        f"receivers: {what}"
        for what in (
            "delivered",
            "refused for now",
            "refused for good",
            "no answer, carried out",
            "no answer, not carried out",
            "lost on the way",
            "unknown outcome",
            "same key again",
            "asked again",
            "nobody can tell",
            "looked up",
        )
    ),
    *stories.REQUIRED,
)


def missing(coverage: Counter[str]) -> list[str]:
    """Name the columns that are zero."""
    return [column for column in REQUIRED if not coverage[column]]


def table(coverage: Counter[str]) -> str:
    """Write the report: the columns that are wanted, in their order, then what else was counted."""
    others = sorted(set(coverage) - set(REQUIRED))
    return "\n".join(f"{coverage[column]:9,d}  {column}" for column in (*REQUIRED, *others))
