"""What executions say to each other within a turn (calls and their ends, a place that is free again), done right behind, in turn.

Reads: the queue of the turn. Emits: executions begun and carried on. Cost: one step of an execution for each thing that is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from operators.advance.advance import child_ended, command
from operators.execution.execution import Cause
from operators.turn.births import begin_to_run, new_live
from operators.turn.book import book, moment_of
from operators.turn.emit import call_too_many_hops
from operators.turn.limited import ask_first, next_of
from operators.turn.live import Live
from operators.turn.pending import Asks, ChildEnd, ChildGone, ChildStart, Freed, Pending, TwinAsks, TwinEnded, live_of
from operators.turn.shadow import beside_ended, mirror, offer
from schemas.effects import Called, Ended
from schemas.ids import execution_id
from schemas.program import Call
from schemas.records import HOPS_MAX, DeadLetter, OperatorCommand, encode
from schemas.start_inputs import BadInputs, input_env


def settle(pending: Pending) -> None:
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
    runnable = pending.reads.world.deployed(called.version)
    if runnable is None:  # its record could not be read, or was set aside as poison
        _refuse_unknown(pending, item)
        return
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
    identity = _child_id(pending.batch.namespace, parent, called.flow, called.step, called.occurrence)
    live = new_live(pending, parent.tenant, identity, runnable, cause, now_us)
    live.called_by = parent.id.hex()
    if called.awaited:
        live.parent, live.parent_token = parent.row, called.token
    begin_to_run(pending, live, env, now_us)


def _refuse_unknown(pending: Pending, call: ChildStart) -> None:
    """Let a call fail whose flow is not known by that version: one lost record must not end the engine."""
    parent, called, now_us = call
    why = f"version {called.version} of flow '{called.flow}' is not known, its record may be among the dead letters"
    told = f"step '{called.step}' of execution {parent.id.hex()} calls what nobody has: {why}; deploy '{called.flow}' again"
    wanted = OperatorCommand(command="start", tenant=parent.tenant, flow=called.flow, inputs=called.inputs, at=now_us)
    letter = DeadLetter(
        kind="command", tenant=parent.tenant, reason="no-such-flow", detail=told, payload=encode(wanted), at=now_us
    )
    pending.said.dead.append(letter)
    _tell_parent(pending, (parent.row, called), Ended("failed", None, "unavailable", why), now_us)


def _child_id(namespace: str, parent: Live, flow: str, step: str, occurrence: int) -> bytes:
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
    identity = _child_id(pending.batch.namespace, parent, step.flow, one.step, one.occurrence)
    row = pending.by_id.get(identity)
    if row is None and (stored := pending.reads.world.find(identity)) is not None:
        row = stored.row
    live = None if row is None else live_of(pending, row)
    if live is not None and live.state is not None:
        order = OperatorCommand(command="cancel", tenant=live.tenant, execution=identity.hex(), by=parent.id.hex(), at=now_us)
        book(pending, live, command(moment_of(pending, live, now_us), order), now_us)


_SAID: Final[dict[type, Callable[[Pending, Any], None]]] = {
    ChildStart: _call,
    ChildEnd: _end_call,
    ChildGone: _abandon,
    Freed: next_of,
    Asks: ask_first,
    TwinAsks: offer,
    TwinEnded: beside_ended,
}
