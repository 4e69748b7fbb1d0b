"""The engine: one turn as five stages (take, decode, match, join, advance and commit) over its ports.

Promise: everything of a turn is durable in one transaction, or nothing of it; a crash at any instant loses nothing and
repeats no command. Duplicates are dropped by event key within the window, and by execution id beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from flows.engine import letters
from flows.engine.careful import Careful
from flows.engine.clockwork import Clockwork, begun_us
from flows.engine.committed import Behind, Committed
from flows.engine.intake import Intake, positions_behind
from flows.engine.join import join_turn, match_turn
from flows.engine.late import with_late
from flows.engine.masses import Meetings
from flows.engine.part import Part
from flows.engine.reached import Reached
from flows.engine.reading import Reading
from flows.engine.restore import restore_catalogue, restore_seen, restore_shapes
from flows.engine.segments import DecodeSettings, decode_turn
from flows.engine.settings import EngineSettings, Ports
from flows.engine.sharing import Known, Sharing
from flows.engine.slices import parts
from flows.engine.triggers import Triggers
from flows.engine.work import Counts, DecodedWork, Done, JoinedWork, MatchedWork, Taken
from flows.engine.world import EngineWorld
from operators.triggers.seen import SeenKeys
from operators.turn.deployed import Deployed
from operators.turn.incoming import Arrivals
from operators.turn.pending import Batch, TurnResult
from operators.turn.turn import begin, resume
from schemas.errors import BadRecord, BrokenInvariant
from schemas.ports import Chunk
from schemas.records import Control, DeadLetter
from schemas.registry import Registry

MANY_STARTS: Final = 2_048
Around = tuple[JoinedWork, Arrivals]  # the turn of a part, and its events


class Stopped(Exception):
    """The engine was asked to stop between two transactions of a turn; what is committed stays, the next start goes on there."""


class Engine:
    """One engine process's work, without a loop: `step`, or the stages one by one."""

    def __init__(self, ports: Ports, settings: EngineSettings, careful: Careful) -> None:
        self._ports, self._settings, self._careful = ports, settings, careful
        self._store = store = ports.store
        self._sharing = Sharing(settings.weights, settings.default_tenant)
        self._deployed = Deployed()
        self._registry = Registry()
        self._seen = SeenKeys()
        self._reached = Reached(store.reached())
        self._refused: list[DeadLetter] = []
        self._read: dict[str, int] = {}
        self._in_flight = False
        self._started = 0  # executions, in the last turn
        self._taken_us: int | None = None  # when the oldest record of the turn in flight was appended
        self.lag_us = 0  # from its append to the last commit; 0 where the last turn read nothing
        self.counts = Counts()
        self.between: Callable[[], bool] = lambda: True  # asked between the transactions of one turn whether to go on
        meta = store.meta()
        self._intake = Intake(ports.readers, self._sharing.share, meta.past_us)
        self._world = EngineWorld(store, self._deployed, self._seen)
        self._committed = Committed(ports, meta, self._intake, self._world)
        restore_catalogue(ports.controls, self._committed.positions, self._registry, self._deployed)
        restore_shapes(store, self._deployed.shapes)
        restore_seen(store, self._seen)
        self._triggers = Triggers(store, self._deployed, settings.clock, begun_us(settings.clock, meta))
        self._time = Clockwork(settings.clock, ports, self._committed, self._intake, self._triggers, self._deployed)
        self._reading = Reading(store, self._world, self._seen, settings)
        self._sharing.restore(store.held_back(), Known(self._committed.positions, self._registry), ports.reopen)

    # --- what others may ask

    @property
    def turn(self) -> int:
        """Give how many transactions were ever committed."""
        return self._committed.turn

    @property
    def now_us(self) -> int:
        """Give the time of the last commit."""
        return self._committed.now_us

    @property
    def open_actions(self) -> int:
        """Give how many commands are without an outcome."""
        return self._committed.open_actions

    @property
    def live(self) -> int:
        """Give how many executions live, watches among them."""
        return self._committed.live

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
        return self._time.next_us(self._time.past_us(self._time.wall_now_us(), read=True)) is None

    @property
    def held(self) -> bool:
        """Tell whether executions wait for an event clock that may not go on: a command has no outcome, or a sender holds it."""
        return self._time.holds_up()

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
        before_us = self._time.wall_now_us()
        chunks = self._take_chunks()
        damaged = self._intake.take_damaged()
        past_us = self._time.past_us(before_us, read=not chunks)
        now_us = self._time.next_us(past_us)
        if not chunks and not damaged and now_us is None:
            return None
        held, fresh = chunks[: self._intake.held], chunks[self._intake.held :]
        positions = positions_behind(fresh, damaged)
        self._careful.note(self.turn, positions | {chunk.slot: chunk.end for chunk in held})
        start_us = self._time.before_us()
        held, poison = self._careful.sift(held, start_us)
        fresh, more = self._careful.sift(fresh, start_us)
        chunks = [*held, *fresh]
        self._in_flight = True
        self._taken_us = min((chunk.appended_us for chunk in chunks), default=None)
        lost = [letters.damaged(one, start_us) for one in damaged]
        now_us = start_us if chunks or now_us is None else max(start_us, now_us)
        dead = [*poison, *more, *lost]
        return Taken(chunks, positions, dead, now_us, past_us, self._time.from_us(), len(held), self.now_us)

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
        for part in parts(work, self._store, self._time.times(work), meetings):
            result = self._run(part, (work, arrivals), dead if part.last else ())
            started, actions = started + len(result.starts), actions + result.actions
            letters_out += letters.count(result.emitted)
            result = with_late(result, part, work, self._settings.partitions)
            self._commit(result, part.times.now_us, self._behind(part, decoded))
            if not part.last and not self.between():  # a million timers due at once are fifty transactions
                raise Stopped
        rows = sum(segment.decoded.rows for segment in decoded.segments)
        done = Done(self.turn, rows, started, actions, letters_out)
        self._in_flight, self._started = False, done.started
        self._sharing.hear(rows, started)
        self._count(done)
        return done

    # --- advance, in parts

    def _run(self, part: Part, around: Around, dead: Sequence[DeadLetter]) -> TurnResult:
        work, arrivals = around
        batch = Batch(
            part.times,
            self._committed.next_row,
            part.candidates,
            dead,
            namespace=self._settings.namespace,
            arrivals=arrivals,
            inputs=part.inputs,
            start=part.start,
            end=part.end,
            first_row=self.turn << 24,
            halfway=part.halfway,
            met=self._committed.met,
        )
        return resume(begin(batch, self._reading.of(part, work.arrived, arrivals)))

    def _behind(self, part: Part, decoded: DecodedWork) -> Behind:
        """Give what a part says of its turn's inputs."""
        if not part.last:
            return Behind(reached=self._reached.behind(decoded.taken, part, waiting=self._sharing.share.waiting > 0))
        positions = decoded.taken.positions
        held = self._sharing.places()
        reached = self._reached.passed({**self._committed.positions, **positions}, held or {}, decoded.taken)
        past_us = part.times.past_us if part.times.kind == "wall" else decoded.now_us
        return Behind(positions, decoded.outcomes, self._triggers.take_changes(), held, reached, past_us)

    def _commit(self, result: TurnResult, now_us: int, inputs: Behind) -> None:
        self._committed.commit(result, now_us, inputs)
        self._intake.passed(inputs.past_us)
        self._seen.add(result.keys, self.now_us)
        if inputs.held_back is not None:
            self._sharing.committed()
        self._careful.done()

    def _refuse(self, control: Control, error: BadRecord) -> None:
        self._refused.append(letters.refused_control(control, error, self.now_us))

    def _count(self, done: Done) -> None:
        self.lag_us = 0 if self._taken_us is None else max(0, self._ports.clock.now_us() - self._taken_us)
        self.counts = self.counts.behind(done)
