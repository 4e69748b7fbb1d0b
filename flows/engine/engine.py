"""The engine: one turn as five stages (take, decode, match, join, advance and commit) over its ports.

Promise: everything of a turn is durable in one transaction, or nothing of it; a crash at any instant loses nothing and
repeats no command. Duplicates are dropped by event key within the window, and by execution id beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from flows.engine import letters
from flows.engine.careful import Careful
from flows.engine.inputs import named_by
from flows.engine.intake import Intake
from flows.engine.join import join_turn, match_turn
from flows.engine.masses import Meetings
from flows.engine.mistyped import mistyped_appends
from flows.engine.part import Part
from flows.engine.reached import Reached
from flows.engine.restore import restore_catalogue, restore_seen, restore_shapes
from flows.engine.segments import DecodeSettings, decode_turn
from flows.engine.sharing import Known, Open, Sharing
from flows.engine.slices import event_times, parts, wall_times
from flows.engine.triggers import UNCHANGED, TriggerChanges, Triggers, late_appends
from flows.engine.work import DecodedWork, Done, JoinedWork, MatchedWork, Taken
from flows.engine.world import EngineWorld
from operators.triggers.seen import MARGIN_US, SeenKeys
from operators.turn.deployed import Deployed
from operators.turn.incoming import Arrivals, Arrived, Candidate
from operators.turn.pending import Batch, Reads, TurnResult
from operators.turn.times import END_OF_TIME, Times
from operators.turn.turn import begin, resume
from schemas.errors import BadRecord, BrokenInvariant
from schemas.ids import LIVE
from schemas.ports import Chunk, Clock, HeldBack, LogReader, MissedVerdict, Slot, StateStore, TurnCommit
from schemas.records import Control, DeadLetter
from schemas.registry import Registry
from schemas.topics import PARTITIONS

MANY_STARTS: Final = 2_048
Around = tuple[JoinedWork, Arrivals]  # the turn of a part, and its events


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What is set for one engine."""

    clock: Literal["wall", "events"] = "wall"
    turn_rows: int = 65_536  # at most; each event type of a turn costs a millisecond
    busy_rows: int = 16_384  # at most, behind a turn that started many executions: each costs 30 µs
    partitions: int = PARTITIONS
    default_tenant: str | None = None
    namespace: str = LIVE
    weights: Mapping[str, int] = field(default_factory=dict)  # of tenants that share a turn; 1 where nothing is said


class Ports(NamedTuple):
    """What the engine stands on. `controls` reads the control topic from its beginning, once, at the start."""

    store: StateStore
    readers: Sequence[LogReader]
    controls: LogReader
    clock: Clock
    reopen: Open | None = None  # an input from other positions, to read again what waited for its share


class Behind(NamedTuple):
    """What a commit says of the inputs. Only the last part of a turn moves positions: windows took in the rows of all parts."""

    positions: Mapping[Slot, int] = MappingProxyType({})
    outcomes: int = 0  # commands that got their first one
    changes: TriggerChanges = UNCHANGED
    held_back: Mapping[HeldBack, int] | None = None
    reached: Mapping[Slot, int] | None = None
    past_us: int | None = None  # up to when they have been read (wall clock)


class Counts(NamedTuple):
    """What this process has done so far."""

    turns: int = 0
    events: int = 0
    executions: int = 0
    actions: int = 0
    dead_letters: int = 0


class Stopped(Exception):
    """The engine was asked to stop between two transactions of a turn; what is committed stays, the next start goes on there."""


class Engine:
    """One engine process's work, without a loop: `step`, or the stages one by one."""

    def __init__(self, ports: Ports, settings: EngineSettings, careful: Careful) -> None:
        self._store = ports.store
        self._sharing = Sharing(settings.weights, settings.default_tenant)
        self._wall = ports.clock
        self._settings = settings
        self._careful = careful
        self._deployed = Deployed()
        self._registry = Registry()
        self._seen = SeenKeys()
        self._reached = Reached(ports.store.reached())
        self._met: Mapping[bytes, str] = ports.store.met()  # events that met waits in slices and are not seen yet
        self._refused: list[DeadLetter] = []
        self._read: dict[str, int] = {}
        self._pinned: set[str] = set()  # versions whose programs the store holds
        self._in_flight = False
        self._started = 0  # executions, in the last turn
        self._taken_us: int | None = None  # when the oldest record of the turn in flight was appended
        self.lag_us = 0  # from its append to the last commit; 0 where the last turn read nothing
        meta = ports.store.meta()
        self._intake = Intake(ports.readers, self._sharing.share, meta.past_us)
        self._turn, self._now_us, self._next_row = meta.turn, meta.now_us, meta.next_row
        self._open_actions, self.live = meta.open_actions, meta.live  # executions that live now, watches among them
        self._positions = dict(meta.positions)
        self.counts = Counts()
        self.between: Callable[[], bool] = lambda: True  # asked between the transactions of one turn whether to go on
        self._world = EngineWorld(ports.store, self._deployed, self._seen)
        restore_catalogue(ports.controls, self._positions, self._registry, self._deployed)
        restore_shapes(ports.store, self._deployed.shapes)
        restore_seen(ports.store, self._seen)
        self._triggers = Triggers(ports.store, self._deployed, settings.clock, self._now_us)
        self._sharing.restore(ports.store.held_back(), Known(self._positions, self._registry), ports.reopen)

    # --- what others may ask

    @property
    def now_us(self) -> int:
        """Give the time of the last commit."""
        return self._now_us

    @property
    def open_actions(self) -> int:
        """Give how many commands are without an outcome."""
        return self._open_actions

    @property
    def deployed(self) -> Deployed:
        """Give the catalogue as of the last turn."""
        return self._deployed

    def read(self) -> dict[str, int]:
        """Give, by file, the pack sequence up to which everything is taken and committed."""
        if not self._in_flight:
            self._read = self._intake.places() or self._read
        return self._read

    def idle(self) -> bool:
        """Tell whether there is nothing to do now: inputs read, nothing due, and under the event clock nothing to come."""
        if self._in_flight or not self._intake.at_end():
            return False
        return self._next_time(self._past_us(self._wall_now_us(), read=True)) is None

    @property
    def held(self) -> bool:
        """Tell whether executions wait for an event clock that may not go on: a command has no outcome, or a sender holds it."""
        if self._settings.clock == "wall" or not self._clock_held():
            return False
        waits = (self._store.next_due_us(), self._store.next_deadline_us(), self._triggers.next_deadline_us())
        return any(one is not None for one in waits)

    def close(self) -> None:
        """Leave in order: a start after this one is not a death."""
        self._careful.close()
        self._intake.close()
        self._store.close()

    def step(self) -> Done | None:
        """Do one turn; None if there was nothing to do."""
        taken = self.take()
        if taken is None:
            return None
        return self.advance(self.join(self.match(self.decode(taken))))

    # --- the stages

    def take(self) -> Taken | None:
        """Take what has arrived, at most `turn_rows`; an input that has much does not keep the others waiting."""
        if self._in_flight:
            raise BrokenInvariant("a turn was begun while another was in flight; run the engine with one worker")
        before_us = self._wall_now_us()
        chunks = self._take_chunks()
        damaged = self._intake.take_damaged()
        past_us = self._past_us(before_us, read=not chunks)
        now_us = self._next_time(past_us)
        if not chunks and not damaged and now_us is None:
            return None
        positions = {one.slot: one.base + one.count for one in damaged}
        held, fresh = chunks[: self._intake.held], chunks[self._intake.held :]
        for chunk in fresh:
            positions[chunk.slot] = max(chunk.end, positions.get(chunk.slot, 0))
        self._careful.note(self._turn, positions | {chunk.slot: chunk.end for chunk in held})
        start_us = self._now_us if self._settings.clock == "events" else self._wall_now_us()
        held, poison = self._careful.sift(held, start_us)
        fresh, more = self._careful.sift(fresh, start_us)
        chunks = [*held, *fresh]
        self._in_flight = True
        self._taken_us = min((chunk.appended_us for chunk in chunks), default=None)
        lost = [letters.damaged(one, start_us) for one in damaged]
        now_us = start_us if chunks or now_us is None else max(start_us, now_us)
        from_us = self._intake.passed_us if self._settings.clock == "wall" else 0
        return Taken(chunks, positions, [*poison, *more, *lost], now_us, past_us, from_us, len(held))

    def _take_chunks(self) -> Sequence[Chunk]:
        if self._careful.rows:
            return self._intake.few(self._careful.rows)
        most = self._settings.turn_rows
        return self._intake.many(min(most, self._settings.busy_rows) if self._started > MANY_STARTS else most)

    def decode(self, taken: Taken) -> DecodedWork:
        """Turn bytes into columns."""
        settings = DecodeSettings(self._settings.clock, self._settings.default_tenant)
        if self._settings.clock == "events" or self._careful.rows:
            return decode_turn(taken, self._registry, settings)
        work = decode_turn(taken, self._registry, settings, self._sharing)
        self._sharing.remember(work)
        return work

    def match(self, work: DecodedWork) -> MatchedWork:
        """Find the flows that each event starts."""
        return match_turn(work, self._deployed, self._refuse, self._triggers)

    def join(self, work: MatchedWork) -> JoinedWork:
        """Give each match the values that its program reads."""
        return join_turn(work, self._deployed, self._world, self._settings.namespace)

    def advance(self, work: JoinedWork) -> Done:
        """Advance and commit; what falls due in masses goes in transactions of its own, in its place among the rows.

        Raises Stopped between two of these where the process shall stop.
        """
        work = self._reached.left(work)
        decoded = work.decoded
        dead = [*decoded.dead, *self._refused, *work.dead]
        self._refused = []
        arrivals = Arrivals(work.arrived)
        started = actions = letters_out = 0
        meetings = Meetings(arrivals, self._store, self._seen.among)
        for part in parts(work, self._store, self._times(work), meetings):
            result = self._run(part, (work, arrivals), dead if part.last else ())
            started, actions = started + len(result.starts), actions + result.actions
            letters_out += letters.count(result.emitted)
            if part.last:
                partitions = self._settings.partitions
                told = [*late_appends([*work.late, *result.late], partitions), *mistyped_appends(work.mistyped, partitions)]
                result = replace(result, emitted=[*result.emitted, *told])
                self._commit(result, part.times.now_us, self._behind(decoded, part.times))
            else:
                told = late_appends(result.late, self._settings.partitions)
                marks = self._reached.behind(decoded.taken, part, stretches=not self._sharing.share.waiting)
                self._commit(replace(result, emitted=[*result.emitted, *told]), part.times.now_us, Behind(reached=marks))
                self._go_on()
        rows = sum(segment.decoded.rows for segment in decoded.segments)
        done = Done(self._turn, rows, started, actions, letters_out)
        self._in_flight, self._started = False, done.started
        self._sharing.hear(rows, started)
        self._count(done)
        return done

    # --- advance, in parts

    def _go_on(self) -> None:
        """Let the process report; raises Stopped where it shall stop. A million timers due at once are fifty transactions."""
        if not self.between():
            raise Stopped

    def _times(self, work: JoinedWork) -> Times:
        now_us = self._clock_at(work.decoded.now_us)
        return event_times(work, now_us) if self._settings.clock == "events" else wall_times(work, self._store, now_us)

    def _run(self, part: Part, around: Around, dead: Sequence[DeadLetter]) -> TurnResult:
        work, arrivals = around
        batch = Batch(
            part.times,
            self._next_row,
            part.candidates,
            dead,
            namespace=self._settings.namespace,
            arrivals=arrivals,
            inputs=part.inputs,
            start=part.start,
            end=part.end,
            first_row=self._turn << 24,
            halfway=part.halfway,
            met=self._met,
        )
        return resume(begin(batch, self._reads(part, work.arrived, arrivals)))

    def _reads(self, part: Part, arrived: Sequence[Arrived], arrivals: Arrivals) -> Reads:
        """Read what the store knows of a part, all at once."""
        waits = part.waits
        named = self._store.find(sorted({identity for one in part.inputs if (identity := named_by(one)) is not None}))
        wanted = {timer.execution for timer in (*part.due, *part.passing)} | {wait.execution for wait in waits}
        executions = self._store.load(sorted(wanted)) if wanted else {}
        executions |= {stored.row: stored for stored in named.values()}
        keys = {one.key for one in part.candidates if not one.known}  # slots have keys of their own
        return Reads(
            self._world,
            part.due,
            executions,
            self._seen.among(keys.union(*(one.events for one in arrived)) if arrived else keys),
            self._existing(part.candidates),
            self._settings.partitions,
            part.passing,
            {identity: stored.row for identity, stored in named.items()},
            waits,
            self._missed(arrivals),
        )

    def _missed(self, arrivals: Arrivals) -> Sequence[MissedVerdict]:
        """Read the verdicts that events are too late for: no event in order of time is."""
        last_us = self._store.last_verdict_us() if arrivals else None
        since = {} if last_us is None else arrivals.oldest(last_us)
        return self._store.verdicts(since) if since else ()

    def _clock_at(self, now_us: int) -> int:
        return max(self._now_us, now_us)

    def _behind(self, decoded: DecodedWork, times: Times) -> Behind:
        """Give what the last part of a turn says of its inputs."""
        positions = decoded.taken.positions
        reached = self._reached.passed({**self._positions, **positions})
        past_us = times.past_us if times.kind == "wall" else None
        return Behind(positions, decoded.outcomes, self._triggers.take_changes(), self._sharing.places(), reached, past_us)

    def _commit(self, result: TurnResult, now_us: int, inputs: Behind) -> None:
        now_us = self._clock_at(now_us)
        opened = result.actions - inputs.outcomes
        changes = inputs.changes
        fresh = sorted(result.versions - self._pinned)
        programs = [(version, self._world.packed(version)) for version in fresh]
        longest_us = self._deployed.shapes.longest_us
        commit = TurnCommit(
            turn=self._turn + 1,
            now_us=now_us,
            positions=inputs.positions,
            starts=result.starts,
            changes=result.changes,
            discarded=result.discarded,
            limits=result.limits,
            held_back=inputs.held_back,
            reached=inputs.reached,
            past_us=inputs.past_us,
            met=None if result.met == self._met else result.met,
            timers_set=result.timers_set,
            timers_gone=result.timers_gone,
            deadlines_set=result.deadlines_set,
            deadlines_gone=result.deadlines_gone,
            waits_set=result.waits_set,
            waits_gone=result.waits_gone,
            windows=changes.windows,
            verdicts=result.verdicts,
            schedules=changes.schedules,
            schedules_gone=changes.schedules_gone,
            remembered=result.remembered,
            remember_since_us=now_us - longest_us if longest_us else 0,
            seen=result.seen,
            programs=programs,
            emitted=result.emitted,
            open_actions=opened,
            wall_us=self._wall.now_us(),
            sources=self._intake.incarnations(),
        )
        self._store.commit(commit)
        self._pinned.update(fresh)
        self._pinned.difference_update(self._store.unpinned())
        self._turn += 1
        self._now_us = now_us
        self._next_row = max(map(itemgetter(0), result.starts), default=self._next_row - 1) + 1
        self._open_actions += opened
        self.live += commit.lives
        self._positions.update(inputs.positions)
        self._intake.passed(inputs.past_us)
        self._met = result.met
        self._seen.add(result.keys, now_us)
        if inputs.held_back is not None:
            self._sharing.committed()
        self._careful.done()

    def _existing(self, candidates: Sequence[Candidate]) -> set[bytes]:
        """Ask the store for executions of events so old that their keys may have left the window, and of those known already."""
        since_us = self._seen.complete_since_us
        asked_us = since_us + MARGIN_US if since_us else 0
        old = [one for one in candidates if one.known or one.shadow or one.cause.time_us <= asked_us]
        ids = [one.identity(self._settings.namespace) for one in old]
        return self._store.existing(ids) if ids else set()

    # --- time

    def _wall_now_us(self) -> int:
        return max(self._now_us, self._wall.now_us())

    def _next_time(self, past_us: int) -> int | None:
        """Tell to what time a turn without input would bring the clock, None if nothing would happen by it."""
        due_us, slot_us = self._store.next_due_us(), self._triggers.next_slot_us()
        deadline_us = _first(self._store.next_deadline_us(), self._triggers.next_deadline_us())
        if self._settings.clock == "wall":
            due_us = _first(due_us, slot_us)
            now_us = self._wall_now_us()
            passed_us = min(now_us, past_us)
        else:
            now_us, passed_us = self._now_us, self._now_us - 1
        if (due_us is not None and due_us <= now_us) or (deadline_us is not None and deadline_us <= passed_us):
            return now_us
        if past_us != END_OF_TIME:
            return None
        return _first(due_us, deadline_us)  # a slot is no reason: an idle event clock would never come to rest

    def _past_us(self, now_us: int, *, read: bool) -> int:
        """Give the time up to which every input was read, so that deadlines may pass.

        Under the event clock that is all of time once everything is read and no command is without an outcome, else nothing.
        """
        if self._settings.clock == "wall":
            return self._intake.past_us(now_us)
        return END_OF_TIME if read and not self._clock_held() and self._intake.at_end() else 0

    def _clock_held(self) -> bool:
        return self._open_actions > 0 or self._deployed.clock_held

    # --- counts

    def _refuse(self, control: Control, error: BadRecord) -> None:
        self._refused.append(letters.refused_control(control, error, self._now_us))

    def _count(self, done: Done) -> None:
        old = self.counts
        self.lag_us = 0 if self._taken_us is None else max(0, self._wall.now_us() - self._taken_us)
        self.counts = Counts(
            old.turns + 1,
            old.events + done.rows,
            old.executions + done.started,
            old.actions + done.actions,
            old.dead_letters + done.dead,
        )


def _first(*times: int | None) -> int | None:
    return min((one for one in times if one is not None), default=None)
