"""What the stories must have met to mean anything."""

from __future__ import annotations

from typing import Final

_DID: Final = {
    "action": ("issued", "answered", "completed", "timed_out"),
    "approval": ("requested", "decided", "refused", "reminded", "escalated", "cancelled", "timed_out", "completed"),
    "branch": ("completed",),
    "call": ("called", "answered", "completed", "timed_out"),
    "compensation": ("issued", "completed", "failed", "retried", "skipped", "resumed"),
    "decide": ("completed",),
    "delay": ("entered", "completed"),
    "emit": ("emitted",),
    "execution": (
        "started",
        "closing",
        "cancelled",
        "failed",
        "ended",
        "skipped",
        "resumed",
    ),  # retracted comes too seldom to be demanded
    "for_each": ("entered", "completed"),
    "limit": ("entered",),
    "operator": ("refused",),
    "parallel": ("entered", "completed"),
    "policy": ("used",),
    "set": ("completed",),
    "stop": ("stopped",),
    "until": ("entered",),
    "wait": ("entered", "met", "timed_out"),
}
_REFUSALS: Final = ("bad_form", "decided_already", "forged", "not_allowed", "not_open")
_LIMITS: Final = ("concurrency queue", "concurrency drop", "concurrency cancel_running", "rate queue", "rate drop")
_WINDOWS: Final = ("sliding", "tumbling", "session", "fires crossing", "fires every", "fires close")
REQUIRED: Final[tuple[str, ...]] = (
    "stories",
    *(f"story clock: {clock}" for clock in ("wall", "event, held", "event, free")),
    *(f"story did: {verb}.{kind}" for verb, kinds in _DID.items() for kind in kinds),
    *(
        f"story: flow {flow}"
        for flow in ("made", "hand", "told", "absent", "chain", "behind", "joined", "asked", "counted", "clocked")
    ),
    *(f"story: executions {status}" for status in ("completed", "failed", "cancelled", "closing")),
    "story: calls started",
    "story: several steps undone",
    "story: waits met",
    "story: waits met by looking back",
    "story: decision decided",
    *(f"story: decision refused {why}" for why in _REFUSALS),
    "story: decisions of another tenant",
    *(f"story: operators said {command}" for command in ("cancel", "skip", "retry", "resume")),
    *(f"story: limit {limit}" for limit in _LIMITS),
    "story: at rest closing: an outcome is unknown",
    "story: deployed while events stream",
    "story: policies changed while events stream",
    "story: events before what they are about",
    "story: late events",
    *(f"story: histories equal to the reference runner's, {clock} clock" for clock in ("event", "wall")),
    *(f"story: window {kind}" for kind in _WINDOWS),
    "story: the engine was away",
    "story: joined, complete",
    "story: joined, incomplete",
    "story: windows counted again",
    "story: late events of windows",
    *(f"story: slots run, overlap {overlap}" for overlap in ("skip", "queue", "cancel", "allow")),
    "story: slots run over a change of clocks",
    "story: absences that were due",
    "story: absences that were none",
    "story: sequences that were due",
    "receivers: batches",
    "story: sent twice",
)
