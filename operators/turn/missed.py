"""What came too late for an absence: its time was over, and the flow has begun for want of it (or waits for a limit).

Reads: the events of a turn under keys that absences wait by, verdicts of this turn and of earlier ones. Emits: verdicts to keep,
late events. State: none. Cost: nothing where no absence has come to a verdict.
An event that takes a verdict back is late too, as with windows. One that comes twice may be told twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from operators.advance.advance import Runnable
from operators.execution.execution import State
from operators.turn.live import Live
from operators.turn.pending import Pending
from schemas.ports import AbsenceVerdict
from schemas.program import Absence, EventTrigger
from schemas.records import Late


def verdict_of(runnable: Runnable, before: State | None) -> tuple[int, int] | None:
    """Give (key, latest time) of what did not come, if that is what a watch has begun for."""
    watch = before.rest.watch if before is not None and before.rest is not None else None
    if watch is None or watch.key is None:
        return None
    trigger = runnable.program.triggers[watch.trigger]
    absence = isinstance(trigger, EventTrigger) and isinstance(trigger.detail, Absence)
    return (watch.key, watch.time_us) if absence else None


def note_verdict(pending: Pending, live: Live) -> None:
    """Keep the verdict with which a watch begins now, if it is that something did not come; shadows tell nothing."""
    verdict = None if live.shadow else verdict_of(live.runnable, live.state)
    if verdict is not None:
        key, time_us = verdict
        kept = AbsenceVerdict(key, live.id, time_us, live.tenant, live.runnable.program.flow)
        pending.verdicts.append((pending.reach, kept))


def missed(pending: Pending) -> Iterator[Late]:
    """Give the events of a turn that came too late, verdict by verdict."""
    batch = pending.batch
    if batch.halfway:
        return  # the rest of its row tells
    given = [(batch.start, one) for one in pending.reads.verdicts] + pending.verdicts
    for first, one in given:
        for row, arrived, at in batch.arrivals.between(one.key, max(first, batch.start), batch.end):
            key = arrived.events[at]
            if key in pending.reads.seen or pending.seen_now.get(key, row) < row:
                continue
            event = arrived.event(at)
            if event.time_us <= one.time_us:
                identity = one.execution.hex()
                yield Late(
                    tenant=one.tenant,
                    flow=one.flow,
                    event=event.id,
                    time=event.time_us,
                    appended_at=arrived.nows[at],
                    key=identity,
                )
