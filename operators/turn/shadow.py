"""Executions in shadow: they run beside those of the version in force, with everything muted that they say.

Reads: what comes for the execution beside, of which a shadow gets its share: outcomes of its commands and calls, decisions,
operators' words. Emits: bookings. State: what came and was not asked for yet lies with the shadow (TWIN).
Law: nothing that a shadow does shows in what the others do.
A shadow knows itself by the id of the execution beside it, so both give one command one id, and one outcome fits both.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from operators.advance.advance import Advanced, Moment, answer, child_ended, decide
from operators.advance.unanswered import asks, go_on_alone
from operators.execution.execution import State
from operators.execution.frames import call_place, call_token
from operators.turn.book import book, moment_of
from operators.turn.compared import Start, tell_absent
from operators.turn.incoming import Candidate, Retraction
from operators.turn.live import TWIN, Live, core_id
from operators.turn.pending import ChildEnd, Pending, TwinAsks, TwinEnded, live_of
from operators.turn.told import told
from schemas.effects import Ended
from schemas.ids import twin_id
from schemas.program import Call
from schemas.records import Decision, OperatorCommand, Result

KEPT_MAX: Final = 256  # outcomes and decisions that came and were not asked for yet; the oldest go


def in_shadow(live: Live) -> None:
    """Let an execution that begins run in shadow: no limit holds it, and it takes nobody's place."""
    live.shadow = True
    live.runnable = live.runnable._replace(limited=False)


def note_absent(pending: Pending, candidate: Candidate) -> None:
    """Say that an execution began in this turn, and its shadow did not."""
    identity = candidate.identity(pending.batch.namespace)
    if twin_id(identity) not in pending.by_id or identity in pending.by_id:
        return
    start = Start(twin_id(identity), candidate.tenant, candidate.cause, candidate.now_us)
    tell_absent(pending, start, candidate.runnable)


def mirror(
    pending: Pending, beside: Live, what: Result | Decision | OperatorCommand | Retraction | ChildEnd, now_us: int
) -> None:
    """Give a shadow what came for the execution beside it, now or when it asks for it."""
    live = _found(pending, twin_id(beside.id))
    if live is None or live.state is None:
        return
    if isinstance(what, OperatorCommand | Retraction):
        book(pending, live, told(moment_of(pending, live, now_us), what), now_us)
        return
    _keep(live, [*live.state.env[TWIN], _written(beside, what)][-KEPT_MAX:])
    pending.queue.append(TwinAsks(live.row, now_us))


def beside_ended(pending: Pending, item: TwinEnded) -> None:
    """Let a shadow go on alone from here."""
    live = _found(pending, twin_id(item.id))
    if live is not None and live.state is not None:
        pending.queue.append(TwinAsks(live.row, item.now_us))


def offer(pending: Pending, item: TwinAsks) -> None:
    """Give a shadow all that it asks for and that is known."""
    live = live_of(pending, item.row)
    while live is not None and live.state is not None and _waits(live, live.state):
        if not _give_kept(pending, live, live.state, item.now_us) and not _give_alone(pending, live, item.now_us):
            return


def _waits(live: Live, state: State) -> bool:
    """Tell whether anything could be given to it."""
    if state.rest is not None and state.rest.watch is not None:
        return False
    return bool(state.env.get(TWIN)) or asks(state, live.runnable.program)


def _give_kept(pending: Pending, live: Live, state: State, now_us: int) -> bool:
    kept = state.env[TWIN]
    for at, one in enumerate(kept):
        advanced = _taken(moment_of(pending, live, now_us), *one)
        if advanced is not None:
            book(pending, live, advanced, now_us)
            _keep(live, [*kept[:at], *kept[at + 1 :]])
            return True
    return False


def _give_alone(pending: Pending, live: Live, now_us: int) -> bool:
    """Let it go on where nobody answers any more: the execution beside it has ended, or never was."""
    state = live.state
    if state is None or not asks(state, live.runnable.program):
        return False
    beside = _found(pending, core_id(live))
    if beside is not None and beside.state is not None and not (beside.state.rest is not None and beside.state.rest.over):
        return False
    advanced = go_on_alone(moment_of(pending, live, now_us))
    book(pending, live, advanced, now_us)
    return advanced is not None


def _found(pending: Pending, identity: bytes) -> Live | None:
    row = pending.by_id.get(identity)
    if row is None:
        stored = pending.reads.world.find(identity)
        row = None if stored is None else stored.row
    return None if row is None else live_of(pending, row)


def _keep(live: Live, kept: list[Any]) -> None:
    if live.state is not None:
        live.state = msgspec.structs.replace(live.state, env={**live.state.env, TWIN: kept})
        live.touched = True


def _written(beside: Live, what: Result | Decision | ChildEnd) -> list[Any]:
    """Write what came so that it can be kept; of a call by its step, whose place is another in another version."""
    if isinstance(what, ChildEnd):
        place, occurrence = call_place(what.token)
        name = beside.runnable.program.steps[place].name
        return ["call", {"step": name, "occurrence": occurrence, "ended": msgspec.to_builtins(what.ended)}]
    return ["result" if isinstance(what, Result) else "decision", msgspec.to_builtins(what)]


def _taken(moment: Moment, kind: str, said: Any) -> Advanced | None:
    """Give what was kept; None if it is not asked for (yet)."""
    if kind == "result":
        return answer(moment, msgspec.convert(said, Result))
    if kind == "decision":
        decided = decide(moment, msgspec.convert(said, Decision))
        return None if decided.transitions[-1].kind == "refused" else decided
    steps = enumerate(moment.runnable.program.steps)
    place = next((at for at, step in steps if isinstance(step, Call) and step.name == said["step"]), None)
    if place is None:
        return None
    return child_ended(moment, call_token(place, said["occurrence"]), msgspec.convert(said["ended"], Ended))
