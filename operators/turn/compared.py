"""What is told of an execution and its shadow to compare them: a start that one of them alone makes, what each has said.

Reads: the turn when all of it is done, for a shadow comes behind the execution beside it. Emits: records on `shadows`.
State: a watch knows with which version it is compared. Cost: nothing where no flow ever ran in shadow.
A watch is compared once one of both has begun and the other cannot any more; whoever leaves last tells.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from operators.advance.advance import Advanced, Runnable
from operators.execution.execution import Cause
from operators.turn.emit import shadowed
from operators.turn.incoming import Candidate
from operators.turn.live import Live, core_id, shard_of_tenant
from operators.turn.pending import Pending, live_of
from schemas.ids import twin_id
from schemas.records import HOPS_MAX, Said, Shadowed


class Start(NamedTuple):
    """A start that a shadow does not make."""

    execution: bytes  # the one in force
    tenant: str
    cause: Cause
    at_us: int


def compared(candidate: Candidate, advanced: Advanced | None) -> Advanced | None:
    """Let a watch of the version in force know the one in shadow with which it is compared."""
    rest = None if advanced is None or advanced.state is None else advanced.state.rest
    if candidate.beside and not candidate.shadow and rest is not None and rest.watch is not None:
        rest.watch = msgspec.structs.replace(rest.watch, beside=candidate.beside)
    return advanced


def note_begun(pending: Pending, live: Live) -> None:
    """Note that a watch begins now, if it is to be compared."""
    watch = live.state.rest.watch if live.state is not None and live.state.rest is not None else None
    if watch is not None and watch.beside and not live.shadow:
        pending.begun.append((live, watch.beside))


def note_said(pending: Pending, live: Live, advanced: Advanced) -> None:
    """Note what an execution emits and calls, if it is to be compared."""
    if live.shadow:
        live.said.extend(_said(advanced))
    elif pending.reads.world.shadowed(live.runnable.program.flow):
        pending.told[live.row].extend(_said(advanced))


def tell_absent(pending: Pending, start: Start, runnable: Runnable) -> None:
    """Say that an execution began and its shadow did not."""
    identity, shard = twin_id(start.execution), shard_of_tenant(start.tenant)
    none = Live(0, shard, identity, start.tenant, runnable, start.at_us, start.cause, None, "discarded", True)
    none.shadow = True
    pending.said.shadows.append((shard, shadowed(none, absent=True)))


def compare(pending: Pending) -> None:
    """Tell what is known when the turn is done."""
    alone: set[bytes] = set()
    for live, version in pending.begun:
        runnable = pending.reads.world.deployed(version)
        if runnable is not None and _beside(pending, twin_id(live.id)) == "none":
            tell_absent(pending, Start(live.id, live.tenant, live.cause, live.started_us), runnable)
            alone.add(live.id)
    for live in pending.gone:
        identity = core_id(live)
        if identity not in alone and _beside(pending, identity) == "runs":
            tell_absent(pending, Start(identity, live.tenant, live.cause, live.started_us), live.runnable)
    for row, said in pending.told.items():
        live = pending.live[row]
        if said and _beside(pending, twin_id(live.id)) != "none":
            pending.said.shadows.append((live.shard, Shadowed(beside=live.id.hex(), tenant=live.tenant, said=said)))


def _beside(pending: Pending, identity: bytes) -> str:
    """Tell whether an execution runs or has run, watches, or is none."""
    row = pending.by_id.get(identity)
    if row is None:
        stored = pending.reads.world.find(identity)
        if stored is None:
            return "runs" if pending.reads.world.exists(identity) else "none"
        row = stored.row
    live = live_of(pending, row)
    if live is None or live.status == "discarded" or (live.is_new and not live.touched):
        return "none"
    rest = None if live.state is None else live.state.rest
    return "watches" if rest is not None and rest.watch is not None else "runs"


def _said(advanced: Advanced) -> list[Said]:
    """Give what both sides say under the same id."""
    events = [
        Said(one.id, "event", one.step, one.type, one.subject, one.data)
        for one in advanced.events
        if not one.internal and one.hops <= HOPS_MAX
    ]
    calls = [Said(f"{one.step} {one.occurrence}", "call", one.step, one.flow, one.version, one.inputs) for one in advanced.calls]
    return events + calls
