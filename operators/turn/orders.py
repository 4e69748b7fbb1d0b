"""Orders that start an execution: by hand, or as a fork of one that was; and the letter of a word that nobody can follow.

Reads: the versions in force. Emits: executions begun, dead letters. Cost: a start's.
"""

from __future__ import annotations

from typing import Any

from operators.advance.advance import Runnable
from operators.advance.forked import fork_start
from operators.execution.execution import Cause
from operators.triggers.lanes import SHADOW
from operators.turn.births import begin_to_run, new_live
from operators.turn.emit import shadowed
from operators.turn.incoming import Input
from operators.turn.live import Live
from operators.turn.pending import Pending, see
from operators.turn.settle import settle
from operators.turn.shadow import in_shadow
from schemas.errors import InvalidInput
from schemas.ids import event_key, execution_id, twin_id
from schemas.records import DeadLetter, Decision, OperatorCommand, encode
from schemas.start_inputs import BadInputs, input_env, manual_of


def start_by_hand(pending: Pending, order: OperatorCommand, one: Input) -> None:
    """Start a flow for a person or a program that asks for it. The same id twice is one start."""
    runnable = _wanted_by_hand(pending, order)
    trigger = None if runnable is None else manual_of(runnable.program)
    if runnable is None or trigger is None:
        refuse(pending, one, "no-such-flow", f"no flow '{order.flow}' that starts by hand is active for {order.tenant}")
        return
    if trigger.roles and not set(trigger.roles) & set(order.roles):
        refuse(pending, one, "not-allowed", f"'{order.by}' has none of the roles {', '.join(trigger.roles)} that may start it")
        return
    try:
        env, wanted = input_env(runnable.program, order.inputs, trigger)
        name = _name_of(order, wanted)
    except BadInputs as error:
        refuse(pending, one, "bad-inputs", f"flow '{order.flow}': {error}")
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
    live = new_live(pending, order.tenant, identity, runnable, cause, one.now_us)
    started = env if not trigger.name else {**env, "trigger.name": trigger.name}
    begin_to_run(pending, live, started, one.now_us)
    _shadow_by_hand(pending, order, live, env)
    settle(pending)


def fork(pending: Pending, order: OperatorCommand, one: Input) -> None:
    """Start another execution from a step of one that was. The same order twice is one fork."""
    runnable = pending.reads.world.deployed(order.version)
    if runnable is None:
        refuse(pending, one, "no-such-flow", f"version {order.version[:64]} of flow '{order.flow}' is not deployed any more")
        return
    try:
        identity, cause, env = fork_start(runnable.program, order)
    except (InvalidInput, ValueError) as error:
        refuse(pending, one, "cannot-fork", str(error))
        return
    if identity in pending.by_id or pending.reads.world.exists(identity):
        return
    begin_to_run(pending, new_live(pending, order.tenant, identity, runnable, cause, one.now_us), env, one.now_us)
    settle(pending)


def refuse(pending: Pending, one: Input, reason: str, detail: str) -> None:
    """Set a word of a person aside."""
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
    live = new_live(pending, order.tenant, twin_id(beside.id), runnable, beside.cause, beside.started_us)
    in_shadow(live)
    try:
        env, _ = input_env(runnable.program, order.inputs, None)
    except BadInputs:
        trigger = None
    if trigger is None:
        live.status = "discarded"
        pending.said.shadows.append((live.shard, shadowed(live, absent=True)))
        return
    begin_to_run(pending, live, env if not trigger.name else {**env, "trigger.name": trigger.name}, beside.started_us)
