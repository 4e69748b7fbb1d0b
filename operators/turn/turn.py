"""One turn, sans-IO: `begin` takes the batch and what was read for it, `resume` takes answers and gives what to commit.

Reads: matched rows in total order, records for executions, due timers, waits found, the executions they belong to. Emits: rows
and records of one transaction. State: none between turns. Cost: some 10 microseconds a started execution.
Law: for one order of inputs, any cut into turns gives the same history. So rows and timers meet in order of time: what falls due
before a row fires before it, at its own due time. At one row: what is due, verdicts taken back, waits met, starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop
from typing import Any, Final

from operators.turn.book import expect
from operators.turn.carry import fire_timer, give, meet_wait, start_candidate, start_watch
from operators.turn.compared import compare
from operators.turn.emit import Emission, emit
from operators.turn.incoming import STARTS, Candidate
from operators.turn.live import changed_row, new_row
from operators.turn.missed import missed
from operators.turn.pending import Batch, Pending, Reads, TurnResult, see
from operators.turn.recall import is_new, remember
from operators.turn.times import Until
from schemas.errors import BrokenInvariant
from schemas.ports import Wait

LAST: Final = 1 << 62
BEFORE, AT, BEHIND = 0, 1, 2  # phases of a row: records for executions, waits met, starts


def begin(batch: Batch, reads: Reads) -> Pending:
    """Advance everything that the batch sets going, in order of time, until all wait or end."""
    pending = Pending(batch, reads, Emission(batch.namespace, dead=list(batch.dead)), batch.next_row)
    pending.due = list(reversed(reads.due))
    pending.passing = list(reversed(reads.deadlines))
    pending.reach = pending.floor = batch.start
    _plan(pending)
    for candidate in batch.candidates:
        if pending.due or pending.passing or _is_near(pending.agenda, candidate):
            _go_on(pending, candidate.row, batch.times.before(candidate.row, candidate.now_us), candidate.behind)
        if not candidate.known and not is_new(pending, candidate.key, candidate.row):
            continue
        pending.reach = pending.floor = candidate.row + 1
        (start_candidate if candidate.watch == STARTS else start_watch)(pending, candidate)
    pending.reach = LAST
    _go_on(pending, LAST, batch.times.at_end())
    compare(pending)
    return pending


def resume(pending: Pending, answers: Sequence[object] = ()) -> TurnResult:
    """End a turn whose effects are answered: give all that it changes."""
    if len(answers) != len(pending.effects):
        raise BrokenInvariant(f"a turn asked {len(pending.effects)} effects and got {len(answers)} answers")
    touched = [live for live in pending.live.values() if live.touched]
    kept = [live for live in touched if live.status != "discarded"]
    return TurnResult(
        starts=[new_row(live) for live in touched if live.is_new],  # discarded ones too: duplicates of their cause come late
        changes=[changed_row(live) for live in kept if not live.is_new],
        timers_set=list(pending.timers.made),
        timers_gone=list(pending.timers.gone),
        seen={shard: b"".join(keys) for shard, keys in pending.seen.items()},
        keys=pending.seen_now.keys(),
        versions=frozenset(
            live.runnable.program.version for live in kept if (live.is_new or live.moved) and live.state is not None
        ),
        emitted=emit(kept, pending.said, pending.reads.world.connector, pending.reads.partitions),
        actions=len(pending.said.commands),
        deadlines_set=list(pending.deadlines.made),
        deadlines_gone=list(pending.deadlines.gone),
        waits_set=list(pending.waits.made.values()),
        waits_gone=[Wait(*place) for place in pending.waits.gone],
        remembered=remember(pending),
        limits=pending.admission.changes() if pending.admission.used else None,
        verdicts=[verdict for _, verdict in pending.verdicts],
        late=[*pending.late, *missed(pending)],
        discarded=[live.row for live in touched if live.status == "discarded" and not live.is_new],
        met=pending.met,
    )


def _plan(pending: Pending) -> None:
    """Note what is known to come: records for executions, events that meet waits opened in earlier turns, and where time passes.

    Under the wall clock time passes before every row, whether or not somebody heeds it: delays that are due end before the first.
    """
    agenda, batch = pending.agenda, pending.batch
    for number, one in enumerate(batch.inputs):
        agenda.append((one.row, BEFORE, one.past_us, 1, 0, number, one))
    mine = ((row, past_us) for row, past_us in batch.times.bounds if batch.start <= row < batch.end)
    agenda.extend((row, BEFORE, past_us, 0, 0, 0, None) for row, past_us in mine)
    heapify(agenda)
    pending.number = len(agenda)
    for wait in pending.reads.waits:
        expect(pending, wait, pending.batch.start)
    for event, tenant in pending.batch.met.items():
        row = None if pending.batch.halfway else pending.batch.arrivals.row_of(event, pending.batch.start, pending.batch.end)
        if row is None:
            pending.met[event] = tenant
        else:
            see(pending, event, tenant, row)


def _go_on(pending: Pending, row: int, until: Until, behind_us: int = 0) -> None:
    """Do all that comes before the starts of a row; what is done may open what comes next, also at an earlier row.

    Before what the clock sets going behind the row, at `behind_us`, comes also what executions were told there earlier.
    """
    while True:
        if pending.agenda and (pending.agenda[0][0] <= row or _is_told(pending.agenda[0], row, behind_us)):
            entry = pending.agenda[0]
            at, phase, what = entry[0], entry[1], entry[6]
            if (pending.due or pending.passing) and _fire_first(pending, _before(pending, entry)):
                continue
            heappop(pending.agenda)
            pending.reach = pending.floor = at if phase == BEFORE else at + 1
            if phase == AT:
                meet_wait(pending, at, what)
            elif what is not None:
                give(pending, what)
        elif not _fire_first(pending, until):
            return


def _before(pending: Pending, entry: tuple[Any, ...]) -> Until:
    """Tell what is over before something noted; of the records that come before one row each has its own time."""
    row, phase, past_us, what, times = entry[0], entry[1], entry[2], entry[6], pending.batch.times
    if phase == AT:
        return times.before(row, what[1].nows[what[2]])
    return times.before(row, times.now_us if what is None else what.now_us).no_later(past_us)


def _is_near(agenda: Sequence[tuple[Any, ...]], candidate: Candidate) -> bool:
    """Tell whether something noted may come before a start."""
    return bool(agenda) and (agenda[0][0] <= candidate.row or candidate.behind > 0)


def _is_told(entry: tuple[Any, ...], row: int, before_us: int) -> bool:
    """Tell whether an entry is a record for an execution from between a row and a time, before the next row."""
    return bool(entry[0] == row + 1 and entry[1] == BEFORE and entry[6] is not None and entry[6].now_us < before_us)


def _fire_first(pending: Pending, until: Until) -> bool:
    """Fire the first timer or deadline that is due; False if there is none."""
    due, passing, times = pending.due, pending.passing, pending.batch.times
    is_due = bool(due) and due[-1].due_us <= until.due_us and times.has(due[-1], deadline=False)
    is_past = bool(passing) and passing[-1].due_us <= until.past_us and times.has(passing[-1], deadline=True)
    if not is_due and not is_past:
        return False
    deadline = is_past and not (is_due and due[-1].due_us <= passing[-1].due_us)
    timer = (passing if deadline else due).pop()
    row = times.row_of(timer.due_us, deadline=deadline) if pending.batch.arrivals.all else 0
    pending.reach = max(row, pending.floor)
    fire_timer(pending, timer, times.fired_at(timer.due_us), deadline=deadline)
    return True
