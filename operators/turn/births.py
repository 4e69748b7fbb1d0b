"""Executions begin here, whatever starts them: an event, a schedule, a person, a call. One place, so that limits hold for all.

Reads: the program, its policies, the limits. Emits: a Live execution of this turn, booked. Cost: that of its first step.
"""

from __future__ import annotations

from typing import Any

from operators.advance.advance import Runnable, start
from operators.execution.execution import Cause
from operators.turn.book import book
from operators.turn.incoming import Candidate
from operators.turn.limited import start_within
from operators.turn.live import TWIN, Live, core_id, shard_of_tenant
from operators.turn.pending import Pending, see
from operators.turn.shadow import in_shadow


def born(pending: Pending, candidate: Candidate) -> Live | None:
    """Give the new execution of a candidate; None where the store, or this turn, knows it already."""
    if not candidate.known and not candidate.shadow:
        see(pending, candidate.key, candidate.tenant, candidate.row)
    identity = candidate.identity(pending.batch.namespace)
    if identity in pending.reads.existing or identity in pending.by_id or identity in pending.reads.seen:
        return None
    live = new_live(pending, candidate.tenant, identity, candidate.runnable, candidate.cause, candidate.now_us)
    if candidate.shadow:
        in_shadow(live)
    return live


def new_live(pending: Pending, tenant: str, identity: bytes, runnable: Runnable, cause: Cause, now_us: int) -> Live:
    """Add an execution to the turn."""
    row = pending.next_row
    live = Live(row, shard_of_tenant(tenant), identity, tenant, runnable, now_us, cause, None, "running", True)
    pending.next_row = row + 1
    pending.live[row] = live
    pending.by_id[identity] = row
    return live


def begin_to_run(pending: Pending, live: Live, env: Any, now_us: int) -> None:
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
