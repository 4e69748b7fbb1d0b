"""Carry executions on within a turn: start them, and give them what comes in.

What an execution says to another is given to it right behind, in the same turn (operators/turn/settle.py).
"""

from __future__ import annotations

from operators.advance.advance import fire, watch
from operators.advance.met_parts import reads_of
from operators.advance.migrate import migrate
from operators.triggers.lanes import SHADOW
from operators.turn.births import begin_to_run, born
from operators.turn.book import book, expect, meet_open, moment_of
from operators.turn.compared import compared
from operators.turn.gathered import gathering_of, is_beside_none, lapse, open_one, take_end
from operators.turn.incoming import Arrived, Candidate, Input
from operators.turn.limit_book import place_of
from operators.turn.limited import ask_again
from operators.turn.live import TWIN, Live
from operators.turn.missed import note_late_start, note_verdict
from operators.turn.orders import fork, refuse, start_by_hand
from operators.turn.pending import Pending, live_of, see, see_met
from operators.turn.recall import is_new
from operators.turn.settle import settle
from operators.turn.shadow import mirror, note_absent
from operators.turn.told import told
from schemas.ports import Timer, Wait
from schemas.program import After
from schemas.records import Decision, OperatorCommand


def start_candidate(pending: Pending, candidate: Candidate) -> None:
    """Start the execution of an event and a flow, unless the store knows it."""
    if candidate.shadow == "absent":
        note_absent(pending, candidate)
        return
    live = born(pending, candidate)
    if live is None:
        return
    env = candidate.env if not candidate.trigger else {**candidate.env, "trigger.name": candidate.trigger}
    begin_to_run(pending, live, env, candidate.now_us)
    if candidate.known and live.id not in pending.by_id:  # a limit has dropped it: should its turn be read again, that is said
        see(pending, live.id, candidate.tenant, candidate.row)
    if pending.queue:
        settle(pending)


def start_watch(pending: Pending, candidate: Candidate) -> None:
    """Watch for what an absence or a sequence waits for, from its first event on; gather ends of flows."""
    gathers = isinstance(candidate.runnable.program.triggers[candidate.watch], After)
    if gathers and (take_end(pending, candidate) or is_beside_none(pending, candidate)):
        settle(pending)
        return
    live = born(pending, candidate)
    if live is None:
        return
    if gathers:
        open_one(pending, candidate, live)
        settle(pending)
        return
    moment = moment_of(pending, live, candidate.now_us)
    env = {**candidate.env, TWIN: []} if live.shadow else candidate.env
    advanced = compared(candidate, watch(moment, candidate.cause, env, candidate.watch))
    book(pending, live, advanced, candidate.now_us)
    if advanced is None and live.shadow:
        pending.gone.append(live)
    note_late_start(pending, candidate, live)
    settle(pending)


def fire_timer(pending: Pending, timer: Timer, now_us: int, *, deadline: bool) -> None:
    """Let the time of a token come."""
    changes = pending.deadlines if deadline else pending.timers
    if not changes.stands(timer):
        return
    live = live_of(pending, timer.execution)
    if live is None or live.state is None:
        changes.drop(timer)
        return
    if live.state.rest is not None and _not_begun(pending, live, now_us, deadline=deadline):
        return
    advanced = fire(moment_of(pending, live, now_us), timer.token)
    if advanced is None:  # it waits for something else by now
        changes.drop(timer)
        return
    if advanced.status == "discarded":
        note_verdict(pending, live, begins=False)
    book(pending, live, advanced, now_us)
    if pending.queue:
        settle(pending)


def _not_begun(pending: Pending, live: Live, now_us: int, *, deadline: bool) -> bool:
    """Let the time come of what waits for a limit, or gathers ends; False if it does neither."""
    if not deadline and place_of(live.state) is not None:
        ask_again(pending, live, now_us)
        settle(pending)
        return True
    if gathering_of(live) is not None:
        lapse(pending, live, now_us)
        settle(pending)
        return True
    return False


def meet_wait(pending: Pending, row: int, what: tuple[Wait, Arrived, int]) -> None:
    """Let an event meet a wait, if it is still open and the event fits."""
    wait, arrived, at = what
    key = arrived.events[at]
    if not pending.waits.stands(wait[:3]):
        return
    live = live_of(pending, wait.execution)
    if live is None or live.state is None:
        pending.waits.drop(wait[:3])
        return
    ways = reads_of(live.runnable, live.state, wait.token)
    if is_new(pending, key, row) and meet_open(pending, live, wait, arrived.part(at, ways), arrived.nows[at]):
        if not live.shadow:
            see_met(pending, key, arrived.tenants[at], row)
        if pending.queue:
            settle(pending)
    else:
        expect(pending, wait, row + 1)


def give(pending: Pending, one: Input) -> None:
    """Give an execution the outcome of its command, a person's decision or an operator's word."""
    record = one.record
    if isinstance(record, OperatorCommand) and record.command in ("start", "fork"):
        (start_by_hand if record.command == "start" else fork)(pending, record, one)
        return
    row = _row_of(pending, record.execution)
    live = None if row is None else live_of(pending, row)
    if live is None or live.state is None or live.tenant != record.tenant:
        if isinstance(record, Decision | OperatorCommand):  # others that nobody waits for are history only
            why = f"no execution {record.execution[:64]} of {record.tenant!r} is alive: it has ended, or is another tenant's"
            refuse(pending, one, record.refused if isinstance(record, Decision) and record.refused else "not-alive", why)
        return
    if isinstance(record, OperatorCommand) and record.command == "migrate":
        _migrate(pending, live, record, one.now_us)
        return
    advanced = told(moment_of(pending, live, one.now_us), record)
    book(pending, live, advanced, one.now_us)
    if not live.shadow and pending.reads.world.shadowed(live.runnable.program.flow):
        mirror(pending, live, record, one.now_us)
    settle(pending)


def _migrate(pending: Pending, live: Live, order: OperatorCommand, now_us: int) -> None:
    """Let an execution go on in the version that is in force, if it can; else it is noted why not."""
    world, flow = pending.reads.world, live.runnable.program.flow
    shared = len([lane for lane in world.lanes(live.tenant, flow) if lane.side != SHADOW]) > 1
    to = None if shared else world.startable(live.tenant, flow)
    advanced = migrate(moment_of(pending, live, now_us), to, order, shared=shared)
    if advanced.transitions[-1].kind == "migrated" and to is not None:
        live.runnable, live.moved = to, True
    book(pending, live, advanced, now_us)
    settle(pending)


def _row_of(pending: Pending, execution: str) -> int | None:
    try:
        identity = bytes.fromhex(execution)
    except ValueError:
        return None
    return pending.by_id.get(identity, pending.reads.by_id.get(identity))
