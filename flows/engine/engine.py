"""The engine: one turn as five stages (take, decode, match, join, advance and commit) over its ports.

Promise: everything of a turn is durable in one transaction, or nothing of it; a crash at any instant loses nothing and
repeats no command. Duplicates are dropped by event key within the window, and by execution id beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from flows.engine import letters
from flows.engine.careful import Careful
from flows.engine.join import join_turn, match_turn
from flows.engine.restore import restore_catalogue, restore_seen
from flows.engine.segments import DecodeSettings, decode_turn
from flows.engine.work import DecodedWork, Done, JoinedWork, MatchedWork, Taken
from operators.advance import Runnable
from operators.deployed import Deployed
from operators.seen import MARGIN_US, SeenKeys
from operators.steps import make_runnable
from operators.turn import Batch, Candidate, Reads, TurnResult, begin, resume
from schemas.errors import BadRecord, BrokenInvariant
from schemas.ids import LIVE, execution_id
from schemas.ports import Chunk, Clock, LogReader, Slot, StateStore, Timer, TurnCommit
from schemas.program import unpack
from schemas.records import Control, DeadLetter
from schemas.registry import Registry
from schemas.topics import PARTITIONS

DUE_MAX: Final = 20_000  # timers fired in one transaction
MANY_STARTS: Final = 2_048
RUNNABLES_MAX: Final = 50_000


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What is set for one engine."""

    clock: Literal["wall", "events"] = "wall"
    turn_rows: int = 65_536  # at most; each event type of a turn costs a millisecond
    busy_rows: int = 16_384  # at most, behind a turn that started many executions: each costs 30 µs
    partitions: int = PARTITIONS
    default_tenant: str | None = None
    namespace: str = LIVE


class Ports(NamedTuple):
    """What the engine stands on. `controls` reads the control topic from its beginning, once, at the start."""

    store: StateStore
    readers: Sequence[LogReader]
    controls: LogReader
    clock: Clock


class Counts(NamedTuple):
    """What this process has done so far."""

    turns: int = 0
    events: int = 0
    executions: int = 0
    actions: int = 0
    dead_letters: int = 0


class Engine:
    """One engine process's work, without a loop: `step`, or the stages one by one."""

    def __init__(self, ports: Ports, settings: EngineSettings, careful: Careful) -> None:
        self._store = ports.store
        self._readers = ports.readers
        self._wall = ports.clock
        self._settings = settings
        self._careful = careful
        self._deployed = Deployed()
        self._registry = Registry()
        self._seen = SeenKeys()
        self._refused: list[DeadLetter] = []
        self._read: dict[str, int] = {}
        self._pinned: set[str] = set()  # versions whose programs the store holds
        self._in_flight = False
        self._started = 0  # executions, in the last turn
        self._taken_us: int | None = None  # when the oldest record of the turn in flight was appended
        self.lag_us = 0  # from its append to the last commit; 0 where the last turn read nothing
        self.live = 0  # executions that live now, less those that lived at the start
        meta = ports.store.meta()
        self._turn, self._now_us, self._next_row = meta.turn, meta.now_us, meta.next_row
        self._open_actions = meta.open_actions
        self._positions = dict(meta.positions)
        self.counts = Counts()
        self.runnable: Callable[[str], Runnable] = lru_cache(maxsize=RUNNABLES_MAX)(self._make_runnable)
        restore_catalogue(ports.controls, self._positions, self._registry, self._deployed)
        restore_seen(ports.store, self._seen)

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
            self._read = {reader.source: reader.place() for reader in self._readers}
        return self._read

    def idle(self) -> bool:
        """Tell whether there is nothing to do now: inputs read, nothing due, and under the event clock nothing to come."""
        return not self._in_flight and all(reader.at_end() for reader in self._readers) and self._next_time() is None

    @property
    def held(self) -> bool:
        """Tell whether executions wait for an event clock that may not go on: a command has no outcome, or a sender holds it."""
        return self._settings.clock == "events" and self._clock_held() and self._store.next_due_us() is not None

    def close(self) -> None:
        """Leave in order: a start after this one is not a death."""
        self._careful.close()
        for reader in self._readers:
            reader.close()
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
        chunks = self._poll()
        damaged = [one for reader in self._readers for one in reader.take_damaged()]
        now_us = self._next_time()
        if not chunks and not damaged and now_us is None:
            return None
        positions = {one.slot: one.base + one.count for one in damaged}
        for chunk in chunks:
            positions[chunk.slot] = max(chunk.end, positions.get(chunk.slot, 0))
        self._careful.note(self._turn, positions)
        start_us = self._now_us if self._settings.clock == "events" else self._wall_now_us()
        chunks, poison = self._careful.sift(chunks, start_us)
        self._in_flight = True
        self._taken_us = min((chunk.appended_us for chunk in chunks), default=None)
        lost = [letters.damaged(one, start_us) for one in damaged]
        return Taken(chunks, positions, [*poison, *lost], start_us if chunks or now_us is None else max(start_us, now_us))

    def _poll(self) -> Sequence[Chunk]:
        if self._careful.rows:
            return next((chunks for reader in self._readers if (chunks := reader.poll(self._careful.rows))), [])
        most = self._settings.turn_rows
        left = min(most, self._settings.busy_rows) if self._started > MANY_STARTS else most
        share = max(1, left // len(self._readers))
        chunks = [chunk for reader in self._readers for chunk in reader.poll(share)]
        left -= sum(len(chunk.records) for chunk in chunks)
        for reader in self._readers:  # what some inputs do not need, others may take
            more = reader.poll(left) if left > 0 else []
            left -= sum(len(chunk.records) for chunk in more)
            chunks.extend(more)
        return chunks

    def decode(self, taken: Taken) -> DecodedWork:
        """Turn bytes into columns."""
        return decode_turn(taken, self._registry, DecodeSettings(self._settings.clock, self._settings.default_tenant))

    def match(self, work: DecodedWork) -> MatchedWork:
        """Find the flows that each event starts."""
        return match_turn(work, self._deployed, self._refuse)

    def join(self, work: MatchedWork) -> JoinedWork:
        """Give each match the values that its program reads."""
        return join_turn(work, self._deployed, self.runnable)

    def advance(self, work: JoinedWork) -> Done:
        """Advance and commit; many due timers go in transactions of their own, before the rows that come after them."""
        candidates: Sequence[Candidate] = work.candidates
        started = actions = 0
        while len(due := self._store.due(work.decoded.now_us, DUE_MAX)) == DUE_MAX:
            first, candidates = self._before(candidates, due[-1].due_us)
            part = self._run(first, due, due[-1].due_us, ())
            started, actions = started + len(part.starts), actions + part.actions
            self._commit(part, self._clock_at(due[-1].due_us), {}, 0)
        dead = [*work.decoded.dead, *self._refused]
        self._refused = []
        result = self._run(candidates, due, work.decoded.now_us, dead)
        self._commit(result, work.decoded.now_us, work.decoded.taken.positions, work.decoded.outcomes)
        rows = sum(segment.decoded.rows for segment in work.decoded.segments)
        done = Done(self._turn, rows, started + len(result.starts), actions + result.actions, len(dead))
        self._in_flight, self._started = False, done.started
        self._count(done)
        return done

    # --- advance, in parts

    def _run(self, candidates: Sequence[Candidate], due: Sequence[Timer], now_us: int, dead: Sequence[DeadLetter]) -> TurnResult:
        settings = self._settings
        seen = self._seen.among({one.key for one in candidates})
        now_us = self._clock_at(now_us)
        batch = Batch(now_us, self._next_row, settings.clock, candidates, dead, settings.namespace)
        executions = self._store.load(sorted({timer.execution for timer in due})) if due else {}
        reads = Reads(
            due, executions, seen, self._existing(candidates), self.runnable, self._deployed.connector, settings.partitions
        )
        return resume(begin(batch, reads))

    def _clock_at(self, now_us: int) -> int:
        return max(self._now_us, now_us)

    def _before(self, candidates: Sequence[Candidate], bound_us: int) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
        """Split off the candidates whose rows come before a time: under the wall clock timers go first, so none."""
        if self._settings.clock == "wall":
            return (), candidates
        split = next((index for index, one in enumerate(candidates) if one.now_us >= bound_us), len(candidates))
        return candidates[:split], candidates[split:]

    def _commit(self, result: TurnResult, now_us: int, positions: Mapping[Slot, int], outcomes: int) -> None:
        now_us = self._clock_at(now_us)
        opened = result.actions - outcomes
        fresh = sorted(result.versions - self._pinned)
        programs = [(version, self._packed(version)) for version in fresh]
        self._store.commit(
            TurnCommit(
                self._turn + 1,
                now_us,
                positions,
                result.starts,
                result.changes,
                result.timers_set,
                result.timers_gone,
                result.seen,
                programs,
                result.emitted,
                opened,
                self._wall.now_us(),
                {one.source: one.incarnation for one in self._readers if one.incarnation is not None},
            )
        )
        self._pinned.update(fresh)
        self._turn += 1
        self._now_us = now_us
        self._next_row += len(result.starts)
        self._open_actions += opened
        self.live += sum(one.state is not None for one in result.starts) - sum(one.state is None for one in result.changes)
        self._positions.update(positions)
        self._seen.add(result.keys, now_us)
        self._careful.done()

    def _existing(self, candidates: Sequence[Candidate]) -> set[bytes]:
        """Ask the store for executions of events so old that their keys may have left the window."""
        since_us = self._seen.complete_since_us
        if since_us == 0:
            return set()
        old = [one for one in candidates if one.cause.time_us <= since_us + MARGIN_US]
        namespace = self._settings.namespace
        ids = [execution_id(namespace, one.tenant, one.runnable.program.flow, one.key, one.cause.time_us) for one in old]
        return self._store.existing(ids) if ids else set()

    # --- time

    def _wall_now_us(self) -> int:
        return max(self._now_us, self._wall.now_us())

    def _next_time(self) -> int | None:
        """Tell to what time a turn without input would bring the clock, None if nothing would fall due by it."""
        due_us = self._store.next_due_us()
        if due_us is None:
            return None
        if self._settings.clock == "wall":
            now_us = self._wall_now_us()
            return now_us if due_us <= now_us else None
        if due_us <= self._now_us:
            return self._now_us
        return None if self._clock_held() or not all(reader.at_end() for reader in self._readers) else due_us

    def _clock_held(self) -> bool:
        return self._open_actions > 0 or self._deployed.clock_held

    # --- start-up and programs

    def _packed(self, version: str) -> bytes:
        packed = self._deployed.program(version) or self._store.program(version)
        if packed is None:
            raise BrokenInvariant(f"version {version} has executions and no program, neither deployed nor stored")
        return packed

    def _make_runnable(self, version: str) -> Runnable:
        return make_runnable(unpack(self._packed(version)))

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
