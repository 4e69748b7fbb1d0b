"""Give the end of a flow to what gathers ends: the one that is open for its key, or a new one.

Reads: the turn, waits of earlier turns. Emits: executions that watch, or begin; a dead letter for what was not complete in time.
State: the turn's own. Law: there is at most one open gathering for a key.
"""

from __future__ import annotations

from operators.advance.advance import fire
from operators.advance.gather import gather, missing, open_gathering
from operators.advance.watch_for import TOKEN
from operators.triggers.after import gather_key
from operators.turn.book import book, moment_of
from operators.turn.emit import gathered_in_vain
from operators.turn.incoming import Candidate
from operators.turn.live import Live
from operators.turn.pending import Pending, live_of, see
from schemas.program import After


def open_for(pending: Pending, candidate: Candidate, key: int) -> Live | None:
    """Give the gathering of a key that is open."""
    rows = [pending.gathering[key]] if key in pending.gathering else []
    rows += [wait.execution for wait in pending.reads.world.waiting(key) if pending.waits.stands(wait[:3])]
    for row in rows:
        live = live_of(pending, row)
        if live is not None and gathering_of(live) is not None and live.tenant == candidate.tenant:
            return live
    return None


def take_end(pending: Pending, candidate: Candidate) -> bool:
    """Give an end to the gathering that is open for its key; False if there is none, so that it opens one."""
    program = candidate.runnable.program
    key = gather_key(program, candidate.watch, candidate.tenant, candidate.env)
    live = None if key is None else open_for(pending, candidate, key)
    if live is None:
        return key is None
    now_us = candidate.now_us
    advanced = gather(moment_of(pending, live, now_us), candidate.cause, candidate.env)
    if advanced is None:  # its time is over, though that was not heard yet
        lapse(pending, live, now_us)
        return False
    see(pending, candidate.key, candidate.tenant, candidate.row)
    book(pending, live, advanced, now_us)
    return True


def open_one(pending: Pending, candidate: Candidate, live: Live) -> None:
    """Open a gathering with its first end."""
    moment = moment_of(pending, live, candidate.now_us)
    book(pending, live, open_gathering(moment, candidate.cause, candidate.env, candidate.watch), candidate.now_us)
    key = gather_key(candidate.runnable.program, candidate.watch, candidate.tenant, candidate.env)
    if key is not None:
        pending.gathering[key] = live.row


def lapse(pending: Pending, live: Live, now_us: int) -> None:
    """End a gathering that is not complete, and say what had not come."""
    trigger = gathering_of(live)
    if trigger is None or live.state is None:
        return
    left = missing(trigger, live.state.env)
    pending.said.dead.append(gathered_in_vain(live, left, trigger.within_us, now_us))
    book(pending, live, fire(moment_of(pending, live, now_us), TOKEN), now_us)


def gathering_of(live: Live) -> After | None:
    """Give the trigger for which an execution gathers ends; None if it does not."""
    rest = None if live.state is None else live.state.rest
    watch = None if rest is None else rest.watch
    trigger = None if watch is None else live.runnable.program.triggers[watch.trigger]
    return trigger if isinstance(trigger, After) else None
