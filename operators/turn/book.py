"""Book what one input did to one execution: its state, its timers and waits, and what it says to the world.

Reads: an Advanced. Emits: changes of the turn in flight. State: the turn's own.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from heapq import heappush

from operators.advance.advance import Advanced, Moment, meet, retract
from operators.advance.met_parts import part_of, reads_of
from operators.steps.wait_for import pass_over
from operators.turn.compared import note_begun, note_said
from operators.turn.emit import event_too_many_hops, flow_ended, too_many_hops
from operators.turn.limit_book import follow, place_of
from operators.turn.live import Live, core_id
from operators.turn.missed import note_verdict
from operators.turn.pending import Changes, ChildEnd, ChildGone, ChildStart, Pending, TwinAsks, TwinEnded, see_met
from operators.turn.recall import remembered
from schemas.commands import Command
from schemas.effects import Emitted, Ended, MetEvent, Waiting
from schemas.ports import Timer, Wait
from schemas.records import HOPS_MAX, Cancel


def moment_of(pending: Pending, live: Live, now_us: int) -> Moment:
    """Give an execution as it stands when something comes in for it."""
    program = live.runnable.program
    policies = pending.reads.world.policies(live.tenant, program, now_us) if program.policies else {}
    return Moment(live.runnable, live.tenant, core_id(live), live.state, now_us, policies)


def meet_open(pending: Pending, live: Live, wait: Wait, event: MetEvent, now_us: int) -> bool:
    """Give an event, with the parts that it reads, to an open wait; tell whether it fits."""
    moment = moment_of(pending, live, now_us)
    advanced = retract(moment, event) if wait.retract else meet(moment, wait.token, event)
    book(pending, live, advanced, now_us)
    return advanced is not None


def book(pending: Pending, live: Live, advanced: Advanced | None, now_us: int) -> None:
    """Take in what one input did to one execution."""
    if advanced is None:
        return
    limited = live.runnable.limited
    before = place_of(live.state) if limited else None
    if advanced.begun is not None:
        note_verdict(pending, live, begins=True)
        note_begun(pending, live)
    live.state, live.status, live.env, live.touched = advanced.state, advanced.status, advanced.env, True
    if advanced.begun is not None:  # a watch has become an execution
        live.cause, live.started_us, live.known = advanced.begun, now_us, {}
    live.transitions.extend(advanced.transitions)
    if advanced.timers_gone or advanced.timers_set or advanced.waits_gone:
        _book_times(pending, live, advanced)
    if live.shadow:
        _mute(pending, live, advanced, now_us)
    else:
        _book_commands(pending, live, advanced.commands, now_us)
        _book_said(pending, live, advanced, now_us)
    if limited:
        follow(pending, live, before, advanced, now_us)
    if advanced.waits_set:
        _open(pending, live, advanced.waits_set, now_us)


def _mute(pending: Pending, live: Live, advanced: Advanced, now_us: int) -> None:
    """Keep what a shadow says to itself."""
    live.muted.extend(advanced.commands)
    note_said(pending, live, advanced)
    if live.status == "discarded":
        pending.gone.append(live)
    pending.queue.append(TwinAsks(live.row, now_us))


def _book_commands(pending: Pending, live: Live, commands: Iterable[Command], now_us: int) -> None:
    for one in commands:
        if one.body.hops <= HOPS_MAX:
            pending.said.commands.append((live.shard, one))
        else:
            pending.said.dead.append(too_many_hops(one, now_us))


def _book_said(pending: Pending, live: Live, advanced: Advanced, now_us: int) -> None:
    """Take in what an execution says to others: events, cancels, calls, its end."""
    if advanced.events or advanced.calls:
        note_said(pending, live, advanced)
    if advanced.events:
        _book_events(pending, live, advanced.events, now_us)
    for unwanted in advanced.cancels:
        connector = pending.reads.world.connector(live.tenant, unwanted.type)
        execution, hurry = live.id.hex(), unwanted.hurry
        cancel = Cancel(
            action=unwanted.action,
            execution=execution,
            tenant=live.tenant,
            connector=connector,
            at=now_us,
            hurry=hurry,
            flow=live.runnable.program.flow,
            step=unwanted.step,
            type=unwanted.type,
        )
        pending.said.cancels.append((live.shard, cancel))
    if advanced.calls:
        pending.queue.extend(ChildStart(live, called, now_us) for called in advanced.calls)
    if advanced.abandoned:
        pending.queue.extend(ChildGone(live, abandoned, now_us) for abandoned in advanced.abandoned)
    if advanced.ended is not None:
        _book_end(pending, live, advanced.ended, now_us)


def _book_times(pending: Pending, live: Live, advanced: Advanced) -> None:
    """Take in what it waits for, but for waits that are opened: those may be met at once."""
    row = live.row
    for key, token in advanced.waits_gone:
        pending.waits.drop((key, row, token))
    for parked in advanced.timers_gone:
        if (index := _index(pending, parked.kind)) is not None:
            index.drop(Timer(parked.due_us, row, parked.token))
    for parked in advanced.timers_set:
        if (index := _index(pending, parked.kind)) is not None:
            timer = Timer(parked.due_us, row, parked.token)
            index.add(timer)
            if parked.due_us <= pending.batch.times.now_us:
                insort(pending.due if index is pending.timers else pending.passing, timer, key=_latest)


def _index(pending: Pending, kind: str) -> Changes | None:
    """Give the index that a timer of a kind stands in; None if there is none.

    Under the event clock the outcome of a command always comes: it has no deadline.
    """
    if kind in ("delay", "notice"):
        return pending.timers
    if kind == "result" and pending.batch.times.kind == "events":
        return None
    return pending.deadlines


def _latest(timer: Timer) -> tuple[int, int, int]:
    return -timer.due_us, -timer.execution, -timer.token


def _book_events(pending: Pending, live: Live, events: Iterable[Emitted], now_us: int) -> None:
    for event in events:
        if event.hops > HOPS_MAX:
            pending.said.dead.append(event_too_many_hops(live.tenant, event, now_us))
        else:
            pending.said.events.append((live, event))


def _book_end(pending: Pending, live: Live, ended: Ended, now_us: int) -> None:
    if live.parent is not None and live.parent_token is not None:
        pending.queue.append(ChildEnd(live.parent, live.parent_token, ended, now_us))
    if pending.reads.world.shadowed(live.runnable.program.flow):
        pending.queue.append(TwinEnded(live.id, now_us))
    if pending.followed and pending.reads.world.followed(live.tenant, live.runnable.program.flow):
        _book_events(pending, live, [flow_ended(live, ended, now_us)], now_us)


def _open(pending: Pending, live: Live, opened: Sequence[Waiting], now_us: int) -> None:
    """Open waits: later rows of this turn may meet them; then ask what came before, where they look back."""
    waits = [Wait(one.key, live.row, one.token, one.kind == "retract") for one in opened]
    for wait in waits:
        pending.waits.add(wait[:3], wait)
        expect(pending, wait, pending.reach)
    for wait, one in zip(waits, opened, strict=True):
        if one.look_back_us > 0:
            _look_back(pending, live, (wait, one), now_us)
    if pending.batch.halfway and live.state is not None:  # behind looking back, which finds that event too
        tokens = [wait.token for wait in waits if pending.waits.stands(wait[:3])]
        live.state = pass_over(live.state, pending.batch.halfway, tokens)


def expect(pending: Pending, wait: Wait, row: int) -> None:
    """Note the next event from a row on that may meet a wait; one at a time, for a wait may be open for thousands of them."""
    found = pending.batch.arrivals.next(wait.key, row)
    if found is not None and found[0] < pending.batch.end:
        pending.number += 1
        at = (found[0], 1, not wait.retract, wait.execution, wait.token, pending.number)
        heappush(pending.agenda, (*at, (wait, found[1], found[2])))


def _look_back(pending: Pending, live: Live, opened: tuple[Wait, Waiting], now_us: int) -> None:
    wait, one = opened
    for row, event in remembered(pending, one):
        if not pending.waits.stands(wait[:3]):
            return
        part = part_of(event, reads_of(live.runnable, live.state, one.token))
        if meet_open(pending, live, wait, part, now_us):
            if not live.shadow:
                see_met(pending, event.key, live.tenant, row)
            return
