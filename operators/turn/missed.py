"""What came too late for an absence or a sequence: its time was over when it came.

For want of it a flow has begun (or waits for a limit), or a sequence was given up; a first event may be too late for its own.
Reads: the events of a turn under keys that these wait by, verdicts of this turn and of earlier ones. Emits: verdicts to keep,
late events. State: none. Cost: nothing while events come in order of time.
An event that takes a verdict back is late too, as with windows. One that comes twice may be told twice. Of many sequences of one
flow that it is too late for, the one that was given up first is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from operators.advance.advance import Runnable
from operators.execution.execution import State, Watch
from operators.turn.incoming import Candidate
from operators.turn.live import Live
from operators.turn.pending import Pending
from schemas.ports import MissedVerdict
from schemas.program import Absence, EventTrigger, Sequence
from schemas.records import Late


def verdict_of(runnable: Runnable, before: State | None, *, begins: bool) -> MissedVerdict | None:
    """Give the verdict of a watch that begins or is given up: on what did not come; `execution` and `tenant` are not in it.

    None if all has come (a sequence begins), or for an event that no key finds.
    """
    watch = _watch(before)
    if before is None or watch is None or watch.key is None:
        return None
    flow = runnable.program.flow
    match _detail(runnable, watch):
        case Absence() if begins:
            return MissedVerdict(watch.key, watch.time_us, b"", "", flow, watch.last_us)
        case Sequence() if not begins:
            return MissedVerdict(watch.key, watch.time_us, b"", "", flow, watch.last_us, before.cause.event)
    return None


def is_over(runnable: Runnable, state: State | None, past_us: int) -> bool:
    """Tell whether a sequence that has just begun to watch had its whole time before."""
    watch = _watch(state)
    return watch is not None and watch.due_us <= past_us and isinstance(_detail(runnable, watch), Sequence)


def note_verdict(pending: Pending, live: Live, *, begins: bool) -> None:
    """Keep the verdict with which a watch begins now or is given up, before it is; shadows tell nothing."""
    verdict = None if live.shadow else verdict_of(live.runnable, live.state, begins=begins)
    if verdict is not None:
        pending.verdicts.append((pending.reach, verdict._replace(execution=live.id, tenant=live.tenant)))


def note_late_start(pending: Pending, candidate: Candidate, live: Live) -> None:
    """Tell the first event of a sequence that came when the time for all of it was over."""
    past_us = pending.batch.times.before(candidate.row, candidate.now_us).past_us
    if not live.shadow and is_over(live.runnable, live.state, past_us):
        cause, flow = candidate.cause, live.runnable.program.flow
        late = Late(
            tenant=live.tenant, flow=flow, event=cause.event, time=cause.time_us, appended_at=candidate.now_us, key=cause.event
        )
        pending.late.append(late)


def missed(pending: Pending) -> Iterator[Late]:
    """Give the events of a turn that came too late."""
    if pending.batch.halfway:
        return  # the rest of its row tells
    told: set[tuple[int, str, str, bytes]] = set()
    for row, one, late in sorted(_late(pending), key=lambda found: found[:2]):
        known = (row, one.tenant, one.flow, b"" if one.first else one.execution)
        if known not in told:
            told.add(known)
            yield late


def _late(pending: Pending) -> Iterator[tuple[int, MissedVerdict, Late]]:
    batch = pending.batch
    for first, one in _verdicts(pending):
        for row, arrived, at in batch.arrivals.between(one.key, max(first, batch.start), batch.end):
            if not one.since_us <= arrived.times[at] <= one.time_us or _is_double(pending, arrived.events[at], row):
                continue
            event = arrived.event(at)
            key = one.first or one.execution.hex()
            late = Late(
                tenant=one.tenant, flow=one.flow, event=event.id, time=event.time_us, appended_at=arrived.nows[at], key=key
            )
            yield row, one, late


def _verdicts(pending: Pending) -> Iterable[tuple[int, MissedVerdict]]:
    """Give them, with the first row behind each."""
    return [*((pending.batch.start, one) for one in pending.reads.verdicts), *pending.verdicts]


def _is_double(pending: Pending, key: bytes, row: int) -> bool:
    return key in pending.reads.seen or pending.seen_now.get(key, row) < row


def _watch(state: State | None) -> Watch | None:
    return None if state is None or state.rest is None else state.rest.watch


def _detail(runnable: Runnable, watch: Watch) -> object:
    trigger = runnable.program.triggers[watch.trigger]
    return trigger.detail if isinstance(trigger, EventTrigger) else None
