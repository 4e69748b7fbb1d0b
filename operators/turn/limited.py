"""Start executions within the limits of their flows: now, later, or not at all.

Reads: the admission point of the turn. Emits: started executions, those that wait in a queue, dead letters of those refused.
Law: every start comes through here, whatever caused it, and so does everyone whose turn in a queue has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec

from operators.advance.advance import Moment, admit, command, enqueue, move, start
from operators.advance.queued import skip, turn_away
from operators.execution.execution import Queueing
from operators.triggers.admission import QUEUE_MOST, RANKS, Admitted, Refused, Scope, Verdict, Waits, scopes
from operators.turn.book import book, moment_of
from operators.turn.emit import start_over_limit
from operators.turn.limit_book import is_ending, place_of
from operators.turn.live import Live
from operators.turn.pending import Asks, ChildEnd, Freed, Pending, live_of
from schemas.effects import Ended
from schemas.program import Program
from schemas.records import OperatorCommand

BY_LIMIT = "limit"
LET_GO_MOST: Final = 1_000  # out of one queue by one input


def start_within(pending: Pending, live: Live, env: Mapping[str, Any], now_us: int) -> None:
    """Start an execution of a flow that has limits."""
    program = live.runnable.program
    wanted, rank = scopes(program, live.tenant, env), rank_of(program, live.cause.source)
    match _verdict(pending, live, wanted, rank, now_us):
        case Admitted():
            pending.admission.enter(live.row, wanted, now_us)
            book(pending, live, start(live.runnable, live.tenant, live.id, live.cause, env, now_us), now_us)
        case Waits() as waits if pending.admission.length(waits.key) < QUEUE_MOST:
            moment = Moment(live.runnable, live.tenant, live.id, None, now_us)
            book(pending, live, enqueue(moment, live.cause, env, _place(pending, live, waits, wanted, rank)), now_us)
        case Waits(key):
            _refuse(pending, live, f"{QUEUE_MOST} wait for its {_kind(wanted, key)} already", now_us)
        case Refused(limit) if limit not in program.limits:  # a slot of a schedule that skips what would overlap
            book(pending, live, skip(Moment(live.runnable, live.tenant, live.id, None, now_us), live.cause, env), now_us)
        case Refused(limit):
            _refuse(pending, live, f"its {limit.kind} limit of {limit.most} is reached, and what is over is dropped", now_us)
        case other:
            assert_never(other)


def ask_again(pending: Pending, live: Live, now_us: int) -> None:
    """Let the time come for which an execution was kept waiting, or its first question."""
    place = place_of(live.state)
    if place is None:
        return
    if pending.admission.first(place.key) == (place.rank, live.row):
        next_of(pending, Freed(place.key, now_us))
    else:  # others came before it: they ask
        book(pending, live, move(moment_of(pending, live, now_us), msgspec.structs.replace(place, due_us=None)), now_us)
        pending.queue.append(Freed(place.key, now_us))


def next_of(pending: Pending, freed: Freed) -> None:
    """Let the first in the queue of a key begin, if it may; whoever stands behind it is asked when it has left.

    One input lets only so many begin: a quota that begins anew, or a limit that is gone, may let all of a long queue go. The next
    one then rests for a moment of the clock, which under the wall clock is up to the next turn.
    """
    key, now_us = freed
    first = pending.admission.first(key)
    live = None if first is None else live_of(pending, first[1])
    place = None if live is None else place_of(live.state)
    if live is None or place is None or (place.due_us or 0) > now_us:
        return
    if pending.let_go >= LET_GO_MOST:
        book(pending, live, move(moment_of(pending, live, now_us), msgspec.structs.replace(place, due_us=now_us + 1)), now_us)
        return
    pending.let_go += 1
    _let_begin(pending, live, place, now_us, queued=True)


def ask_first(pending: Pending, asks: Asks) -> None:
    """Let a watch that has come to its verdict begin, or stand in a queue."""
    live = live_of(pending, asks.row)
    place = None if live is None else place_of(live.state)
    if live is not None and place is not None:
        rank = rank_of(live.runnable.program, live.cause.source)
        _let_begin(pending, live, msgspec.structs.replace(place, rank=rank), asks.now_us, queued=False)


def _let_begin(pending: Pending, live: Live, place: Queueing, now_us: int, *, queued: bool) -> None:
    """Let an execution begin that has waited, if it may; whoever stands behind it is asked when it has left."""
    assert live.state is not None
    wanted = scopes(live.runnable.program, live.tenant, live.state.env)
    moment = moment_of(pending, live, now_us)
    match _verdict(pending, live, wanted, place.rank, now_us, queued=queued):
        case Admitted():
            pending.admission.enter(live.row, wanted, now_us)
            live.started_us = now_us
            book(pending, live, admit(moment), now_us)
        case Waits() as waits:
            moved = _place(pending, live, waits, wanted, place.rank)
            if moved != place:
                book(pending, live, move(moment, moved), now_us)
        case Refused(limit):
            book(pending, live, turn_away(moment, f"its {limit.kind} limit of {limit.most} is reached"), now_us)
        case other:
            assert_never(other)


def rank_of(program: Program, source: str) -> int:
    """Give the class of a start: what the flow says, else a person's start before an event's before a schedule's."""
    if program.priority is not None:
        return RANKS[program.priority]
    waits = source.startswith(("/manual/", "/hooks/"))
    return RANKS["high"] if waits else RANKS["low"] if source.startswith("/schedule") else RANKS["normal"]


def _verdict(pending: Pending, live: Live, wanted: tuple[Scope, ...], rank: int, now_us: int, *, queued: bool = False) -> Verdict:
    """Ask; who must give way is cancelled, and if it needs time for that, the new one waits."""
    verdict = pending.admission.ask(wanted, now_us, rank, queued=queued)
    if not isinstance(verdict, Admitted) or not verdict.cancel:
        return verdict
    for row in verdict.cancel:
        other = live_of(pending, row)
        if other is not None and other.row != live.row and not is_ending(other.state):
            order = OperatorCommand(command="cancel", tenant=other.tenant, execution=other.id.hex(), by=BY_LIMIT, at=now_us)
            book(pending, other, command(moment_of(pending, other, now_us), order), now_us)
    again = pending.admission.ask(wanted, now_us, rank, queued=True)
    if isinstance(again, Admitted) and again.cancel:
        return Waits(next(one.key for one in wanted if one.limit.over == "cancel_running"), None)
    return again


def _place(pending: Pending, live: Live, waits: Waits, wanted: tuple[Scope, ...], rank: int) -> Queueing:
    """Say where it waits; only the first of a queue watches the time."""
    first = pending.admission.first(waits.key)
    watches = first is None or (rank, live.row) <= first
    return Queueing(waits.key, rank, _kind(wanted, waits.key), waits.until_us if watches else None)


def _kind(wanted: tuple[Scope, ...], key: int) -> str:
    return next(one.limit.kind for one in wanted if one.key == key)


def _refuse(pending: Pending, live: Live, why: str, now_us: int) -> None:
    """Do not start it: it leaves no execution but a dead letter, and its caller is told."""
    del pending.live[live.row], pending.by_id[live.id]
    pending.said.dead.append(start_over_limit(live, why, now_us))
    if live.parent is not None and live.parent_token is not None:
        message = f"flow '{live.runnable.program.flow}' was not started: {why}"
        ended = Ended("failed", None, "limit_exceeded", message)
        pending.queue.append(ChildEnd(live.parent, live.parent_token, ended, now_us))
