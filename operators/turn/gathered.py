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
from operators.turn.compared import compared
from operators.turn.emit import gathered_in_vain
from operators.turn.incoming import Candidate
from operators.turn.live import TWIN, Live
from operators.turn.pending import Pending, live_of, see
from schemas.ids import twin_id
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
    key = _key(candidate)
    live = None if key is None else open_for(pending, candidate, key)
    if live is None:
        return key is None
    now_us = candidate.now_us
    advanced = gather(moment_of(pending, live, now_us), candidate.cause, candidate.env)
    if advanced is None:  # its time is over, though that was not heard yet
        lapse(pending, live, now_us)
        return False
    if not live.shadow:
        see(pending, candidate.key, candidate.tenant, candidate.row)
    book(pending, live, advanced, now_us)
    return True


def is_beside_none(pending: Pending, candidate: Candidate) -> bool:
    """Tell whether a shadow would gather from another end on than the version in force does, which has others already."""
    return (
        bool(candidate.shadow and candidate.beside) and twin_id(candidate.identity(pending.batch.namespace)) not in pending.by_id
    )


def open_one(pending: Pending, candidate: Candidate, live: Live) -> None:
    """Open a gathering with its first end."""
    moment, key = moment_of(pending, live, candidate.now_us), _key(candidate)
    advanced = open_gathering(moment, (candidate.cause, candidate.watch, key), candidate.env)
    if live.shadow and advanced.state is not None:
        advanced.state.env[TWIN] = []
    book(pending, live, compared(candidate, advanced), candidate.now_us)
    if key is not None:
        pending.gathering[key] = live.row


def lapse(pending: Pending, live: Live, now_us: int) -> None:
    """End a gathering that is not complete, and say what had not come."""
    trigger = gathering_of(live)
    if trigger is None or live.state is None:
        return
    if not live.shadow:
        left = missing(trigger, live.state.env)
        pending.said.dead.append(gathered_in_vain(live, left, trigger.within_us, now_us))
    book(pending, live, fire(moment_of(pending, live, now_us), TOKEN), now_us)


def _key(candidate: Candidate) -> int | None:
    return gather_key(candidate.runnable.program, candidate.watch, candidate.tenant, candidate.env, shadow=bool(candidate.shadow))


def gathering_of(live: Live) -> After | None:
    """Give the trigger for which an execution gathers ends; None if it does not."""
    rest = None if live.state is None else live.state.rest
    watch = None if rest is None else rest.watch
    trigger = None if watch is None else live.runnable.program.triggers[watch.trigger]
    return trigger if isinstance(trigger, After) else None
