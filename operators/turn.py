"""One turn, sans-IO: `begin` takes the batch and what was read for it, `resume` takes answers and gives what to commit.

Reads: matched rows in total order, due timers, the executions they belong to. Emits: rows and records of one transaction.
State: none between turns. Cost: some 10 microseconds a started execution.
Law: for one order of inputs, any cut into turns gives the same history. So rows and timers meet in order of time: what
falls due before a row fires before it, and a timer fires at its own due time when the clock passes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence, Set
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Literal

import msgspec

from operators.advance import Advanced, Moment, Runnable, fire, start
from operators.emit import Emission, Live, emit, shard_of_tenant, too_many_hops
from operators.execution import Cause, pack, unpack
from schemas.commands import Command
from schemas.errors import BrokenInvariant
from schemas.ids import LIVE, execution_id
from schemas.ports import Append, ChangedExecution, NewExecution, StoredExecution, Timer
from schemas.records import HOPS_MAX, DeadLetter


class Candidate(msgspec.Struct, frozen=True):
    """One event that fits one flow. Candidates of a batch are sorted by (row, flow)."""

    row: int
    now_us: int  # the clock at this row
    key: bytes  # of the event: ids.event_key
    tenant: str
    cause: Cause
    runnable: Runnable
    trigger: str
    env: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a turn works on. `now_us` is the clock at its end; under the wall clock it is that of every row."""

    now_us: int
    next_row: int  # integer key of the next execution
    clock: Literal["wall", "events"] = "wall"
    candidates: Sequence[Candidate] = ()
    dead: Sequence[DeadLetter] = ()
    namespace: str = LIVE


@dataclass(frozen=True, slots=True)
class Reads:
    """What the store and the catalogue said about the batch."""

    due: Sequence[Timer]  # in order; all with due_us <= now_us that this turn is to fire
    executions: Mapping[int, StoredExecution]  # of the due timers
    seen: Container[bytes]  # those of the candidates' keys that were seen in earlier turns
    existing: Container[bytes]  # execution ids that the store knows, asked where `seen` cannot know any more
    runnable: Callable[[str], Runnable]
    connector: Callable[[str, str], str]  # (tenant, action type) -> connector
    partitions: int


@dataclass(frozen=True, slots=True)
class TurnResult:
    """Rows and records of one transaction, in order."""

    starts: Sequence[NewExecution]
    changes: Sequence[ChangedExecution]
    timers_set: Sequence[Timer]
    timers_gone: Sequence[Timer]
    seen: Mapping[int, bytes]
    keys: Set[bytes]  # the same, apart
    versions: frozenset[str]  # that executions started in this turn and still wait are pinned to
    emitted: Sequence[Append]
    actions: int


@dataclass(slots=True)
class Pending:
    """A turn that has begun. `effects` are what it asks for before it can end (features and scores, when they come)."""

    batch: Batch
    reads: Reads
    effects: tuple[()] = ()
    live: dict[int, Live] = field(default_factory=dict)
    seen: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    seen_now: set[bytes] = field(default_factory=set)
    commands: list[tuple[int, Command]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    timers_set: dict[Timer, None] = field(default_factory=dict)
    timers_gone: list[Timer] = field(default_factory=list)
    heap: list[Timer] = field(default_factory=list)
    next_row: int = 0


def begin(batch: Batch, reads: Reads) -> Pending:
    """Advance everything that the batch sets going, in order of time, until all wait or end."""
    pending = Pending(batch, reads, next_row=batch.next_row, dead=list(batch.dead), heap=list(reads.due))
    last_row, fresh = -1, True
    for candidate in batch.candidates:
        _fire_due(pending, candidate.now_us)
        if candidate.row != last_row:
            last_row, fresh = candidate.row, _see(pending, candidate)
        if fresh:
            _start(pending, candidate)
    _fire_due(pending, batch.now_us)
    return pending


def resume(pending: Pending, answers: Sequence[object] = ()) -> TurnResult:
    """End a turn whose effects are answered: give all that it changes."""
    if len(answers) != len(pending.effects):
        raise BrokenInvariant(f"a turn asked {len(pending.effects)} effects and got {len(answers)} answers")
    lives = pending.live.values()
    gone = set(pending.timers_gone)
    said = Emission(lives, pending.commands, pending.dead, pending.batch.namespace)
    return TurnResult(
        starts=[_new_row(live) for live in lives if live.is_new],
        changes=[ChangedExecution(live.row, live.status, _state(live)) for live in lives if not live.is_new],
        timers_set=[timer for timer in pending.timers_set if timer not in gone],
        timers_gone=[timer for timer in pending.timers_gone if timer not in pending.timers_set],
        seen={shard: b"".join(keys) for shard, keys in pending.seen.items()},
        keys=pending.seen_now,
        versions=frozenset(live.runnable.program.version for live in lives if live.is_new and live.state is not None),
        emitted=emit(said, pending.reads.connector, pending.reads.partitions),
        actions=len(pending.commands),
    )


def _see(pending: Pending, candidate: Candidate) -> bool:
    """Tell whether an event is new, and remember it."""
    key = candidate.key
    if key in pending.seen_now or key in pending.reads.seen:
        return False
    pending.seen_now.add(key)
    pending.seen[shard_of_tenant(candidate.tenant)].append(key)
    return True


def _fire_due(pending: Pending, until_us: int) -> None:
    heap = pending.heap
    while heap and heap[0].due_us <= until_us:
        timer = heappop(heap)
        live = pending.live.get(timer.execution) or _load(pending, timer)
        if live is None or live.state is None:
            continue
        now_us = timer.due_us if pending.batch.clock == "events" else pending.batch.now_us
        _take(pending, live, fire(Moment(live.runnable, live.tenant, live.id, live.state, now_us), timer.token))


def _load(pending: Pending, timer: Timer) -> Live | None:
    stored = pending.reads.executions.get(timer.execution)
    if stored is None:  # ended by an earlier input of this turn, or the timer outlived it
        pending.timers_gone.append(timer)
        return None
    state = unpack(stored.state)
    live = Live(
        stored.row,
        stored.shard,
        stored.id,
        stored.tenant,
        pending.reads.runnable(stored.version),
        stored.started_us,
        state.cause.event,
        state,
        "waiting",
        is_new=False,
    )
    pending.live[stored.row] = live
    return live


def _start(pending: Pending, candidate: Candidate) -> None:
    program = candidate.runnable.program
    identity = execution_id(pending.batch.namespace, candidate.tenant, program.flow, candidate.key, candidate.cause.time_us)
    if identity in pending.reads.existing:
        return
    live = Live(
        pending.next_row,
        shard_of_tenant(candidate.tenant),
        identity,
        candidate.tenant,
        candidate.runnable,
        candidate.now_us,
        candidate.cause.event,
        None,
        "running",
        True,
    )
    pending.next_row += 1
    pending.live[live.row] = live
    env = candidate.env if not candidate.trigger else {**candidate.env, "trigger.name": candidate.trigger}
    _take(pending, live, start(candidate.runnable, candidate.tenant, identity, candidate.cause, env, candidate.now_us))


def _take(pending: Pending, live: Live, advanced: Advanced | None) -> None:
    if advanced is None:
        return
    live.state, live.status = advanced.state, advanced.status
    live.transitions.extend(advanced.transitions)
    for parked in advanced.timers_gone:
        pending.timers_gone.append(Timer(parked.due_us, live.row, parked.token))
    for parked in advanced.timers_set:
        timer = Timer(parked.due_us, live.row, parked.token)
        pending.timers_set[timer] = None
        if parked.due_us <= pending.batch.now_us:
            heappush(pending.heap, timer)
    for command in advanced.commands:
        _issue(pending, live, command)


def _issue(pending: Pending, live: Live, command: Command) -> None:
    if command.body.hops > HOPS_MAX:
        pending.dead.append(too_many_hops(command, live.transitions[-1].at))
    else:
        pending.commands.append((live.shard, command))


def _state(live: Live) -> bytes | None:
    return None if live.state is None else pack(live.state)


def _new_row(live: Live) -> NewExecution:
    program = live.runnable.program
    return NewExecution(
        live.row,
        live.shard,
        live.id,
        live.tenant,
        program.flow,
        program.version,
        live.status,
        live.started_us,
        _state(live),
    )
