"""What a turn emits: commands, events, cancels, histories and dead letters, packed by topic and partition in the order they came.

Reads: the executions a turn touched and what they said. Emits: appends. State: none. Cost: one JSON encoding each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from operators.advance.advance import Runnable
from operators.execution.execution import Cause, Parked, Rest
from operators.turn.live import TWIN, Live, bound_since, core_id, shard_of_tenant
from schemas.commands import Command
from schemas.effects import Emitted, Ended
from schemas.expression.literals import print_duration, print_timestamp
from schemas.ids import SHADOW, action_id
from schemas.internal import FLOW_ENDED
from schemas.ports import Append
from schemas.program import Program
from schemas.records import HOPS_MAX, Cancel, DeadLetter, History, Muted, Shadowed, encode
from schemas.topics import CANCELS, DEAD_LETTERS, FLOW_EVENTS, HISTORY, SHADOWS, actions_topic

LIMIT: Final = "limit "  # before the kind of one that keeps an execution waiting; no step's name has a blank
OPERATOR: Final = "operator "  # before the step of which an operator must say what became of it
Connector = Callable[[str, str], str]  # (tenant, action type) -> the connector that serves it


class Who(Protocol):
    """An execution, as far as its end is told."""

    id: bytes
    runnable: Runnable
    cause: Cause


@dataclass(frozen=True, slots=True)
class Emission:
    """Everything that a turn says to the outside."""

    namespace: str
    commands: list[tuple[int, Command]] = field(default_factory=list)  # (shard, command)
    events: list[tuple[Live, Emitted]] = field(default_factory=list)
    cancels: list[tuple[int, Cancel]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    shadows: list[tuple[int, Shadowed]] = field(default_factory=list)  # of those that did not start, and what is compared


def emit(lives: Iterable[Live], said: Emission, connector: Connector, partitions: int) -> list[Append]:
    """Encode and pack."""
    records: dict[tuple[str, int], list[bytes]] = defaultdict(list)
    places: dict[tuple[str, str], list[bytes]] = {}  # a tenant has one partition, and one connector serves a type of its actions
    for shard, command in said.commands:
        served = (command.body.tenant, command.type)
        place = places.get(served)
        if place is None:
            place = places[served] = records[actions_topic(connector(*served)), shard % partitions]
        place.append(command.record())
    for live, event in said.events:
        records[event.topic, live.shard % partitions].append(event_record(live.tenant, event))
    for shard, cancel in said.cancels:
        records[CANCELS, shard % partitions].append(encode(cancel))
    _tell(records, [live for live in lives if live.transitions], said, partitions)
    for letter in said.dead:
        shard = 0 if letter.tenant is None else shard_of_tenant(letter.tenant)
        records[DEAD_LETTERS, shard % partitions].append(encode(letter))
    return [Append(topic, partition, items) for (topic, partition), items in records.items()]


def _tell(records: dict[tuple[str, int], list[bytes]], lives: Iterable[Live], said: Emission, partitions: int) -> None:
    """Write histories, those of shadows apart."""
    for live in lives:
        if live.shadow:
            records[SHADOWS, live.shard % partitions].append(encode(shadowed(live)))
        else:
            records[HISTORY, live.shard % partitions].append(encode(_history(live, said.namespace)))
    for shard, one in said.shadows:
        records[SHADOWS, shard % partitions].append(encode(one))


def flow_ended(live: Who, ended: Ended, at_us: int) -> Emitted:
    """Say that an execution has ended, for flows that start after it."""
    program, cause = live.runnable.program, live.cause
    return Emitted(
        id=action_id(live.id, FLOW_ENDED, 0).hex(),
        source=f"/flows/{program.flow}",
        type=FLOW_ENDED,
        topic=FLOW_EVENTS,
        subject=live.id.hex(),
        time_us=at_us,
        correlationid=cause.correlationid,
        causationid=cause.event,
        hops=cause.hops + 1,
        data={
            "flow": program.flow,
            "version": program.version,
            "status": ended.status,
            "execution": live.id.hex(),
            "error": None if ended.status == "completed" else error_of(ended),
            "output": ended.output,
        },
        internal=True,
    )


def error_of(ended: Ended) -> dict[str, Any]:
    """Give what a flow that starts after a bad end sees of it: the same as the steps of its on_error did."""
    return {"code": ended.code, "step": ended.step, "message": ended.message, "compensated": list(ended.undone)}


def shadowed(live: Live, *, absent: bool = False) -> Shadowed:
    """Say what a shadow did, and what it would have sent."""
    history = _history(live, SHADOW)
    history = replace(history, bound={name: value for name, value in history.bound.items() if name != TWIN})
    muted = [Muted(one.id, one.step, one.type, one.data) for one in (command.action() for command in live.muted)]
    return Shadowed(beside=core_id(live).hex(), history=history, muted=muted, said=live.said, absent=absent)


def too_many_hops(command: Command, at_us: int) -> DeadLetter:
    """Set a command aside that has come too far."""
    body = command.body
    return _hops(body.tenant, body.hops, f"the command {body.id}", command.record(), at_us, body.id)


def event_too_many_hops(tenant: str, event: Emitted, at_us: int) -> DeadLetter:
    """Set an event aside that has come too far."""
    return _hops(tenant, event.hops, f"the event {event.type} {event.id}", event_record(tenant, event), at_us)


def call_too_many_hops(live: Live, flow: str, hops: int, at_us: int) -> DeadLetter:
    """Say that a flow was not called, for it has come too far."""
    payload = encode(_history(live, ""))
    return _hops(live.tenant, hops, f"the call of {flow} by execution {live.id.hex()}", payload, at_us)


def start_over_limit(live: Live, why: str, at_us: int) -> DeadLetter:
    """Say that a flow was not started, for one of its limits drops what is over; the event may be sent again later."""
    program, cause = live.runnable.program, live.cause
    said = {"flow": program.flow, "version": program.version, "event": cause.event, "source": cause.source}
    return DeadLetter(
        kind="limit",
        tenant=live.tenant,
        reason="over-limit",
        detail=f"flow '{program.flow}' was not started for event {cause.event}: {why}",
        payload=_encoder.encode(said),
        at=at_us,
    )


def gathered_in_vain(live: Live, missing: Sequence[str], within_us: int, at_us: int) -> DeadLetter:
    """Say that a flow was not started, for it starts after several and not all of them had ended in time."""
    program, cause = live.runnable.program, live.cause
    left, within = ", ".join(missing), print_duration(within_us)
    said = {"flow": program.flow, "version": program.version, "event": cause.event, "missing": list(missing)}
    return DeadLetter(
        kind="after",
        tenant=live.tenant,
        reason="incomplete",
        detail=f"flow '{program.flow}' was not started: {left} had not ended within {within} of {cause.source}",
        payload=_encoder.encode(said),
        at=at_us,
    )


def _hops(tenant: str, hops: int, what: str, payload: bytes, at_us: int, action: str = "") -> DeadLetter:
    return DeadLetter(
        kind="hops",
        tenant=tenant,
        reason="too-many-hops",
        detail=f"{what} is {hops} hops from its first event, at most {HOPS_MAX}; a flow feeds itself",
        payload=payload,
        at=at_us,
        id=action,
    )


def event_record(tenant: str, event: Emitted) -> bytes:
    """Write an event of ours as structured CloudEvents JSON."""
    said = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": print_timestamp(event.time_us),
        "tenant": tenant,
        "correlationid": event.correlationid,
        "causationid": event.causationid,
        "hops": event.hops,
        "data": event.data,
    }
    if event.subject is None:
        del said["subject"]
    return _encoder.encode(said)


def _history(live: Live, namespace: str) -> History:
    waiting_on, wait_until = waits_of(live)
    program, cause, known = live.runnable.program, live.cause, live.known
    return History(
        tenant=live.tenant,
        execution=live.id.hex(),
        flow=program.flow,
        version=program.version,
        event=live.cause.event,
        namespace=namespace,
        status=live.status,
        waiting_on=waiting_on,
        wait_until=wait_until,
        started=live.started_us,
        parent=live.called_by,
        cause=None if known else (cause.event, cause.source, cause.time_us, cause.correlationid, cause.hops),
        bound=bound_since(known, live.env),
        transitions=live.transitions,
    )


def waits_of(live: Live) -> tuple[str | None, int | None]:
    """Tell what an execution waits for, and until when at most: a limit, an operator, or the step that moves next.

    Reminders move nothing.
    """
    state = live.state
    if state is None:
        return None, None
    if state.rest is not None and state.rest.queued is not None:
        return f"{LIMIT}{state.rest.queued.limit}", state.started_us + live.runnable.program.timeout_us
    if state.rest is not None and state.rest.closing is not None and state.rest.closing.phase != "handlers":
        return _closing_waits(state.rest, live.runnable.program), None
    waits = state.parked
    if len(waits) != 1 or waits[0].kind == "notice":
        waits = tuple(sorted([parked for parked in waits if parked.kind != "notice"], key=_soonest))
    first = waits[0] if waits else None
    return (None, None) if first is None else (live.runnable.program.steps[first.step].name, first.due_us)


def _closing_waits(rest: Rest, program: Program) -> str | None:
    """Name the step whose undoing or whose outcome must be known first, and the operator who alone can tell."""
    closing = rest.closing
    assert closing is not None
    if closing.current is not None:
        name = program.steps[closing.current.step].name
        return f"{OPERATOR}{name}" if closing.stuck else name
    coming = [sent for sent in rest.sent if not sent.unknown]
    first = min(coming or rest.sent, key=lambda sent: (sent.step, sent.occurrence), default=None)
    if first is None:
        return None
    return f"{'' if coming else OPERATOR}{program.steps[first.step].name}"


def _soonest(parked: Parked) -> tuple[int, int]:
    return parked.due_us, parked.token


_encoder = msgspec.json.Encoder(decimal_format="number")
