"""What an attempt's end means for its command: its one result, or another attempt later. Pure.

Delivered, failed and unknown are as the connector says; an attempt is repeated where the retry lists its code. What was tried as
often as its retry allows, or has passed its not-after, is `dead`; if an attempt may have been carried out all the same, it is
`unknown` instead: never repeated in silence. What was withdrawn is `cancelled`, or `unknown` for the same reason.
Every end but `delivered` and `cancelled` is a dead letter too, so that a person can send the command again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal

from schemas.dispatch import Outcome, Postponed, StoredAction
from schemas.records import Action, Cancel, DeadLetter, Result, Retry
from schemas.topics import actions_topic

CRASHES_FORGIVEN: Final = 3  # attempts beyond the policy's, after stops that were ours
EXPIRED: Final = Outcome("failed", code="timeout", error="its not-after has passed; it was not sent any more")
CANCELLED: Final = Outcome("cancelled", code="cancelled", error="withdrawn before it was sent")
UNTOLD: Final = Outcome("unknown", code="unknown_outcome", error="started before a stop; the connector cannot tell its end")
End = Literal["delivered", "failed", "unknown", "cancelled", "dead"]


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a command."""

    row: int
    result: Result
    letter: DeadLetter | None


@dataclass(frozen=True, slots=True)
class Now:
    """The times of an end: wall time, and what the result says, which is the action's own time under the event clock."""

    wall_us: int
    at_us: int


def settle(stored: StoredAction, action: Action, outcome: Outcome, now: Now, rng: Random) -> Settled | Postponed:
    """Decide about a command after an attempt."""
    left = stored.attempts < action.retry.attempts and now.wall_us < stored.expires_us
    if left and _may_repeat(action.retry, outcome):
        wait_us = max(outcome.after_us, backoff_us(action.retry, stored.attempts, rng))
        return Postponed(stored.row, min(now.wall_us + wait_us, stored.expires_us), outcome.status == "unknown")
    return settled(stored, action, outcome, now)


def resolve(stored: StoredAction, action: Action, outcome: Outcome, now: Now) -> Settled | Postponed:
    """Decide about a command that was started before a stop, from what its connector found out."""
    if not outcome.retry:
        return settled(stored, action, outcome, now)
    doubt = stored.doubt or outcome.status == "unknown"
    if stored.attempts >= action.retry.attempts + CRASHES_FORGIVEN or (doubt and now.wall_us >= stored.expires_us):
        return settled(stored, action, UNTOLD if doubt else outcome, now)
    return Postponed(stored.row, now.wall_us, outcome.status == "unknown")


def look_up(stored: StoredAction, action: Action, ended: Outcome, found: Outcome, now: Now) -> Settled:
    """Decide about a command whose end was unknown, from what its connector found out: `ended` is how it ended without that."""
    if found.status == "unknown":
        return settled(stored, action, ended, now)
    if found.status == "delivered" or not found.retry:
        return settled(stored, action, found, now)
    surely_not = replace(stored, doubt=False)
    if ended.status == "cancelled":
        return settled(surely_not, action, ended, now)
    return settled(surely_not, action, replace(found, code=ended.code or found.code), now)


def backoff_us(retry: Retry, attempts: int, rng: Random) -> int:
    """Draw the wait after so many attempts: full jitter below a growing bound (Brooker, Exponential Backoff And Jitter, 2015)."""
    bound = min(float(retry.most_us), retry.wait_us * retry.factor ** min(attempts - 1, 64))
    return int(rng.uniform(0.0, bound))


def settled(stored: StoredAction, action: Action, outcome: Outcome, now: Now) -> Settled:
    """End a command: its result, and the dead letter where it was neither delivered nor cancelled."""
    status = _status(stored, outcome)
    code = "unknown_outcome" if status == "unknown" else outcome.code
    result = Result(
        action=action.id,
        execution=action.subject,
        tenant=action.tenant,
        flow=action.flow,
        step=action.step,
        type=action.type,
        connector=stored.connector,
        status=status,
        attempts=stored.attempts,
        at=now.at_us,
        wall=now.wall_us,
        first=stored.first,
        awaited=action.awaited,
        code=None if status == "delivered" else code,
        error=outcome.error,
        data=outcome.data,
    )
    return Settled(stored.row, result, None if status in ("delivered", "cancelled") else _letter(stored, result))


def unread(wish: Cancel, wall_us: int, *, first: bool) -> Result:
    """End a command that is withdrawn and was never read, for its record was damaged.

    `first` False: the engine counts it as ended already.
    """
    return Result(
        action=wish.action,
        execution=wish.execution,
        tenant=wish.tenant,
        flow=wish.flow,
        step=wish.step,
        type=wish.type,
        connector=wish.connector,
        status="unknown",
        attempts=0,
        at=wish.at,
        wall=wall_us,
        first=first,
        awaited=True,
        code="unknown_outcome",
        error="no record of it could be read, and none of its outcome; it lies among those that were damaged",
    )


def _may_repeat(retry: Retry, outcome: Outcome) -> bool:
    """Tell whether the policy repeats such an end; one that nobody knows is repeated only where the receiver dedupes."""
    return outcome.code in retry.codes and (outcome.retry or outcome.status == "failed")


def _status(stored: StoredAction, outcome: Outcome) -> End:
    if outcome.status == "delivered":
        return "delivered"
    if outcome.status == "unknown":
        return "unknown"
    if outcome.status == "cancelled":
        return "unknown" if stored.doubt else "cancelled"
    if outcome.retry or outcome is EXPIRED:
        return "unknown" if stored.doubt else "dead"
    return "failed"


def _letter(stored: StoredAction, result: Result) -> DeadLetter:
    return DeadLetter(
        kind="action",
        tenant=result.tenant,
        source=stored.slot.source,
        topic=actions_topic(stored.connector),
        partition=stored.slot.partition,
        position=stored.position,
        reason=result.code or result.status,
        detail=result.error or "",
        payload=stored.raw,
        at=result.at,
        id=result.action,
    )
