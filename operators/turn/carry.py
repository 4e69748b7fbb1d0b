"""Carry executions on within a turn: start them, give them what comes in, and book what each of them did.

What an execution says to another (a call, the end of a call) is given to it right behind, in the same turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from operators.advance.advance import Runnable, child_ended, command, fire, start, watch
from operators.advance.forked import fork_start
from operators.advance.met_parts import reads_of
from operators.advance.migrate import migrate
from operators.execution.execution import Cause
from operators.triggers.lanes import SHADOW
from operators.triggers.start_inputs import BadInputs, input_env, manual_of
from operators.turn.book import book, expect, meet_open, moment_of
from operators.turn.compared import compared
from operators.turn.emit import call_too_many_hops, shadowed
from operators.turn.gathered import gathering_of, is_beside_none, lapse, open_one, take_end
from operators.turn.incoming import Arrived, Candidate, Input
from operators.turn.limit_book import place_of
from operators.turn.limited import ask_again, ask_first, next_of, start_within
from operators.turn.live import TWIN, Live, core_id, shard_of_tenant
from operators.turn.missed import note_late_start, note_verdict
from operators.turn.pending import (
    Asks,
    ChildEnd,
    ChildGone,
    ChildStart,
    Freed,
    Pending,
    TwinAsks,
    TwinEnded,
    live_of,
    see,
    see_met,
)
from operators.turn.recall import is_new
from operators.turn.shadow import beside_ended, in_shadow, mirror, note_absent, offer
from operators.turn.told import told
from schemas.effects import Called, Ended
from schemas.errors import InvalidInput
from schemas.ids import event_key, execution_id, twin_id
from schemas.ports import Timer, Wait
from schemas.program import After, Call
from schemas.records import HOPS_MAX, DeadLetter, Decision, OperatorCommand, encode

# --- what comes in


def start_candidate(pending: Pending, candidate: Candidate) -> None:
    """Start the execution of an event and a flow, unless the store knows it."""
    if candidate.shadow == "absent":
        note_absent(pending, candidate)
        return
    live = _born(pending, candidate)
    if live is None:
        return
    env = candidate.env if not candidate.trigger else {**candidate.env, "trigger.name": candidate.trigger}
    _start(pending, live, env, candidate.now_us)
    if pending.queue:
        _settle(pending)


def start_watch(pending: Pending, candidate: Candidate) -> None:
    """Watch for what an absence or a sequence waits for, from its first event on; gather ends of flows."""
    gathers = isinstance(candidate.runnable.program.triggers[candidate.watch], After)
    if gathers and (take_end(pending, candidate) or is_beside_none(pending, candidate)):
        _settle(pending)
        return
    live = _born(pending, candidate)
    if live is None:
        return
    if gathers:
        open_one(pending, candidate, live)
        _settle(pending)
        return
    moment = moment_of(pending, live, candidate.now_us)
    env = {**candidate.env, TWIN: []} if live.shadow else candidate.env
    advanced = compared(candidate, watch(moment, candidate.cause, env, candidate.watch))
    book(pending, live, advanced, candidate.now_us)
    if advanced is None and live.shadow:
        pending.gone.append(live)
    note_late_start(pending, candidate, live)
    _settle(pending)


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
        _settle(pending)


def _not_begun(pending: Pending, live: Live, now_us: int, *, deadline: bool) -> bool:
    """Let the time come of what waits for a limit, or gathers ends; False if it does neither."""
    if not deadline and place_of(live.state) is not None:
        ask_again(pending, live, now_us)
        _settle(pending)
        return True
    if gathering_of(live) is not None:
        lapse(pending, live, now_us)
        _settle(pending)
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
            _settle(pending)
    else:
        expect(pending, wait, row + 1)


def give(pending: Pending, one: Input) -> None:
    """Give an execution the outcome of its command, a person's decision or an operator's word."""
    record = one.record
    if isinstance(record, OperatorCommand) and record.command in ("start", "fork"):
        (_start_by_hand if record.command == "start" else _fork)(pending, record, one)
        return
    row = _row_of(pending, record.execution)
    live = None if row is None else live_of(pending, row)
    if live is None or live.state is None or live.tenant != record.tenant:
        if isinstance(record, Decision | OperatorCommand):  # others that nobody waits for are history only
            why = f"no execution {record.execution[:64]} of {record.tenant!r} is alive: it has ended, or is another tenant's"
            _refuse(pending, one, record.refused if isinstance(record, Decision) and record.refused else "not-alive", why)
        return
    if isinstance(record, OperatorCommand) and record.command == "migrate":
        _migrate(pending, live, record, one.now_us)
        return
    advanced = told(moment_of(pending, live, one.now_us), record)
    book(pending, live, advanced, one.now_us)
    if not live.shadow and pending.reads.world.shadowed(live.runnable.program.flow):
        mirror(pending, live, record, one.now_us)
    _settle(pending)


def _migrate(pending: Pending, live: Live, order: OperatorCommand, now_us: int) -> None:
    """Let an execution go on in the version that is in force, if it can; else it is noted why not."""
    world, flow = pending.reads.world, live.runnable.program.flow
    shared = len([lane for lane in world.lanes(live.tenant, flow) if lane.side != SHADOW]) > 1
    to = None if shared else world.startable(live.tenant, flow)
    advanced = migrate(moment_of(pending, live, now_us), to, order, shared=shared)
    if advanced.transitions[-1].kind == "migrated" and to is not None:
        live.runnable, live.moved = to, True
    book(pending, live, advanced, now_us)
    _settle(pending)


# --- starts


def _born(pending: Pending, candidate: Candidate) -> Live | None:
    if not candidate.known and not candidate.shadow:
        see(pending, candidate.key, candidate.tenant, candidate.row)
    identity = candidate.identity(pending.batch.namespace)
    if identity in pending.reads.existing or identity in pending.by_id:
        return None
    live = _new_live(pending, candidate.tenant, identity, candidate.runnable, candidate.cause, candidate.now_us)
    if candidate.shadow:
        in_shadow(live)
    return live


def _new_live(pending: Pending, tenant: str, identity: bytes, runnable: Runnable, cause: Cause, now_us: int) -> Live:
    row = pending.next_row
    live = Live(row, shard_of_tenant(tenant), identity, tenant, runnable, now_us, cause, None, "running", True)
    pending.next_row = row + 1
    pending.live[row] = live
    pending.by_id[identity] = row
    return live


def _start(pending: Pending, live: Live, env: Any, now_us: int) -> None:
    """Begin to run a flow: the one place where that happens."""
    program = live.runnable.program
    if program.policies:
        env = {**env, **pending.reads.world.policies(live.tenant, program, now_us)}
    if live.runnable.limited:
        start_within(pending, live, env, now_us)
        return
    if live.shadow:
        env = {**env, TWIN: []}
    book(pending, live, start(live.runnable, live.tenant, core_id(live), live.cause, env, now_us), now_us)


def _wanted_by_hand(pending: Pending, order: OperatorCommand) -> Runnable | None:
    """Give the version that a start by hand is for: of two in force the one that takes what its inputs name."""
    world = pending.reads.world
    lanes = [lane for lane in world.lanes(order.tenant, order.flow) if lane.side != SHADOW]
    if len(lanes) < 2:
        return world.runnable(lanes[0].version) if lanes else None
    newer = world.runnable(lanes[0].version).program
    try:
        env, name = input_env(newer, order.inputs, manual_of(newer))
    except BadInputs:  # it may have the inputs of the other one
        env, name = {}, ""
    return world.runnable(next(lane for lane in lanes if lane.takes(order.tenant, env, name or order.id)).version)


def _start_by_hand(pending: Pending, order: OperatorCommand, one: Input) -> None:
    runnable = _wanted_by_hand(pending, order)
    trigger = None if runnable is None else manual_of(runnable.program)
    if runnable is None or trigger is None:
        _refuse(pending, one, "no-such-flow", f"no flow '{order.flow}' that starts by hand is active for {order.tenant}")
        return
    if trigger.roles and not set(trigger.roles) & set(order.roles):
        _refuse(pending, one, "not-allowed", f"'{order.by}' has none of the roles {', '.join(trigger.roles)} that may start it")
        return
    try:
        env, wanted = input_env(runnable.program, order.inputs, trigger)
        name = _name_of(order, wanted)
    except BadInputs as error:
        _refuse(pending, one, "bad-inputs", f"flow '{order.flow}': {error}")
        return
    source = f"/manual/{order.flow}"
    key = event_key(order.tenant, source, name)
    cause = Cause(name, source, 0 if wanted else order.at, name, 0)
    if key in pending.seen_now or pending.reads.world.seen(key):
        return
    see(pending, key, order.tenant, -1 - one.row)
    identity = execution_id(pending.batch.namespace, order.tenant, order.flow, b"manual" + key, cause.time_us)
    if identity in pending.by_id or pending.reads.world.exists(identity):
        return
    live = _new_live(pending, order.tenant, identity, runnable, cause, one.now_us)
    started = env if not trigger.name else {**env, "trigger.name": trigger.name}
    _start(pending, live, started, one.now_us)
    _shadow_by_hand(pending, order, live, env)
    _settle(pending)


def _name_of(order: OperatorCommand, wanted: str) -> str:
    """Give the id of a start. Raises BadInputs where it has none: all of those would be one start."""
    if not wanted and not order.id:
        raise BadInputs("it has no id, for the version before made one of its inputs and this one does not; start it again")
    return wanted or order.id


def _shadow_by_hand(pending: Pending, order: OperatorCommand, beside: Live, env: Any) -> None:
    """Start the shadow of a start by hand, where there is one."""
    world = pending.reads.world
    lane = next((one for one in world.lanes(order.tenant, order.flow) if one.side == SHADOW), None)
    if lane is None or not lane.takes(order.tenant, env, beside.cause.event):
        return
    runnable = world.runnable(lane.version)
    trigger = manual_of(runnable.program)
    live = _new_live(pending, order.tenant, twin_id(beside.id), runnable, beside.cause, beside.started_us)
    in_shadow(live)
    try:
        env, _ = input_env(runnable.program, order.inputs, None)
    except BadInputs:
        trigger = None
    if trigger is None:
        live.status = "discarded"
        pending.said.shadows.append((live.shard, shadowed(live, absent=True)))
        return
    _start(pending, live, env if not trigger.name else {**env, "trigger.name": trigger.name}, beside.started_us)


def _fork(pending: Pending, order: OperatorCommand, one: Input) -> None:
    """Start another execution from a step of one that was. The same order twice is one fork."""
    runnable = pending.reads.world.deployed(order.version)
    if runnable is None:
        _refuse(pending, one, "no-such-flow", f"version {order.version[:64]} of flow '{order.flow}' is not deployed any more")
        return
    try:
        identity, cause, env = fork_start(runnable.program, order)
    except (InvalidInput, ValueError) as error:
        _refuse(pending, one, "cannot-fork", str(error))
        return
    if identity in pending.by_id or pending.reads.world.exists(identity):
        return
    _start(pending, _new_live(pending, order.tenant, identity, runnable, cause, one.now_us), env, one.now_us)
    _settle(pending)


def _refuse(pending: Pending, one: Input, reason: str, detail: str) -> None:
    source, topic, partition, position = one.position
    pending.said.dead.append(
        DeadLetter(
            kind="decision" if isinstance(one.record, Decision) else "command",
            tenant=one.record.tenant,
            source=source,
            topic=topic,
            partition=partition,
            position=position,
            reason=reason,
            detail=detail,
            payload=encode(one.record),
            at=one.now_us,
        )
    )


# --- calls


def _settle(pending: Pending) -> None:
    """Do what executions said to each other, in order, until all is said."""
    queue = pending.queue
    while queue:
        item = queue.popleft()
        _SAID[type(item)](pending, item)
    pending.let_go = 0


def _call(pending: Pending, item: ChildStart) -> None:
    parent, called, now_us = item
    origin = parent.cause
    cause = Cause(origin.event, origin.source, origin.time_us, origin.correlationid, origin.hops + 1)
    runnable = pending.reads.world.runnable(called.version)
    if cause.hops > HOPS_MAX:
        pending.said.dead.append(call_too_many_hops(parent, called.flow, cause.hops, now_us))
        message = f"'{called.flow}' would be {cause.hops} hops from its first event, at most {HOPS_MAX}"
        _tell_parent(pending, (parent.row, called), Ended("failed", None, "limit_exceeded", message), now_us)
        return
    try:
        env, _ = input_env(runnable.program, called.inputs, None)
    except BadInputs as error:
        _tell_parent(pending, (parent.row, called), Ended("failed", None, "invalid_result", str(error)), now_us)
        return
    identity = child_id(pending.batch.namespace, parent, called.flow, called.step, called.occurrence)
    live = _new_live(pending, parent.tenant, identity, runnable, cause, now_us)
    live.called_by = parent.id.hex()
    if called.awaited:
        live.parent, live.parent_token = parent.row, called.token
    _start(pending, live, env, now_us)


def child_id(namespace: str, parent: Live, flow: str, step: str, occurrence: int) -> bytes:
    """Identify the execution of a called flow; what came of a start that is known for ever (time 0) is not kept as long."""
    cause = b"call" + parent.id + f"{step}\0{occurrence}".encode()
    return execution_id(namespace, parent.tenant, flow, cause, parent.cause.time_us or parent.started_us)


def _tell_parent(pending: Pending, call: tuple[int, Called], ended: Ended, now_us: int) -> None:
    row, called = call
    if called.awaited:
        pending.queue.append(ChildEnd(row, called.token, ended, now_us))


def _end_call(pending: Pending, item: ChildEnd) -> None:
    live = live_of(pending, item.parent)
    if live is not None and live.state is not None:
        book(pending, live, child_ended(moment_of(pending, live, item.now_us), item.token, item.ended), item.now_us)
        if pending.reads.world.shadowed(live.runnable.program.flow):
            mirror(pending, live, item, item.now_us)


def _abandon(pending: Pending, item: ChildGone) -> None:
    """Cancel a called flow that nobody waits for any more."""
    parent, one, now_us = item
    step = next(step for step in parent.runnable.program.steps if isinstance(step, Call) and step.name == one.step)
    identity = child_id(pending.batch.namespace, parent, step.flow, one.step, one.occurrence)
    row = pending.by_id.get(identity)
    if row is None and (stored := pending.reads.world.find(identity)) is not None:
        row = stored.row
    live = None if row is None else live_of(pending, row)
    if live is not None and live.state is not None:
        order = OperatorCommand(command="cancel", tenant=live.tenant, execution=identity.hex(), by=parent.id.hex(), at=now_us)
        book(pending, live, command(moment_of(pending, live, now_us), order), now_us)


def _row_of(pending: Pending, execution: str) -> int | None:
    try:
        identity = bytes.fromhex(execution)
    except ValueError:
        return None
    return pending.by_id.get(identity, pending.reads.by_id.get(identity))


_SAID: Final[dict[type, Callable[[Pending, Any], None]]] = {
    ChildStart: _call,
    ChildEnd: _end_call,
    ChildGone: _abandon,
    Freed: next_of,
    Asks: ask_first,
    TwinAsks: offer,
    TwinEnded: beside_ended,
}
