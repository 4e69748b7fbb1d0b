"""One engine's durable state: executions, timers, ids seen, programs, positions and everything it emits, in one file.

Promise: a turn is in the file whole, or not at all; when `commit` returns it is on the disk. After an error of `commit` the
store refuses every call: what happened, the file alone can tell.

Reads and emits: turns. State: the file. Cost: 2-4 µs a row of the turn, and one sync.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Final

from infra import (
    ended,
    executions,
    file_meta,
    held_back,
    limits,
    log_tables,
    positions,
    programs,
    reached,
    remembered,
    schedules,
    seen,
    timers,
    verdicts,
    waits,
    windows,
)
from infra.ended import EndedSweep
from infra.file_meta import FORMATS, Layout
from infra.limits import StoredLimits
from infra.log_tables import Registered
from infra.own_file import open_own
from infra.programs import Programs
from infra.seen import SeenPurge, SeenWindow
from infra.sqlite import Connection, close, has_table, storage_errors, transaction, value
from infra.timers import DEADLINES, TimerIndex
from schemas.errors import BrokenInvariant, Fatal
from schemas.ports import (
    HeldBack,
    MetPlace,
    MissedVerdict,
    Remembered,
    SchedulePlace,
    StoredExecution,
    StoredWindows,
    StoreMeta,
    Stretch,
    Timer,
    TurnCommit,
    Wait,
)

LAYOUT: Final = Layout("engine", FORMATS["engine"])

_PAST: Final = "past_us integer not null default 0"
_TABLES: Final = (
    "create table engine(one integer primary key check (one = 1), generation integer not null, epoch integer not null, "
    "turn integer not null, now_us integer not null, next_row integer not null, open_actions integer not null, "
    f"live integer not null, {_PAST})",
    "insert into engine values (1, 0, 0, 0, 0, 1, 0, 0, 0)",
)


class SqliteStateStore:
    """The state of the engine that owns the file. Holds the file's lock; opening raises the epoch."""

    def __init__(
        self,
        path: Path,
        *,
        generation: int = 0,
        window: SeenWindow | None = None,
        ended_days: int | None = None,
        vfs: str | None = None,
        incarnation: str | None = None,
    ) -> None:
        """Open the store or make it; ended executions stay `ended_days`, or for ever.

        Raises HomeLocked, StorageFailed, StateTooNew; Fatal for another generation.
        """
        self.path = path
        self._broken: BaseException | None = None
        self._lock, self._connection = open_own(path, vfs=vfs)
        try:
            self._incarnation = _prepare(self._connection, incarnation)
            self._generation = generation
            self._epoch = _raise_epoch(self._connection, generation)
            self._purge = SeenPurge(self._connection, window or SeenWindow())
            self._sweep = EndedSweep(self._connection, ended_days)
            self._programs = Programs(self._connection)
        except BaseException:
            self.close()
            raise
        self._timers = TimerIndex(self._connection)
        self._deadlines = TimerIndex(self._connection, DEADLINES)
        self._limits = StoredLimits(self._connection)
        self._last_verdict_us = verdicts.last_us(self._connection)

    @property
    def limits(self) -> StoredLimits:
        """Give what holds, waits for and has spent the limits."""
        return self._limits

    def held_back(self) -> dict[HeldBack, int]:
        """Give from which position on each tenant's rows wait for their share."""
        with self._using():
            return held_back.read(self._connection)

    def reached(self) -> list[Stretch]:
        """Give what executions have worked on and the positions are not behind yet."""
        with self._using():
            return reached.read(self._connection)

    def met(self) -> dict[bytes, str]:
        """Give the events that met waits in slices and are not seen yet: tenants by key."""
        with self._using():
            return reached.read_met(self._connection)

    def meta(self) -> StoreMeta:
        """Tell where the last commit left off."""
        with self._using():
            query = "select turn, now_us, next_row, open_actions, live, past_us from engine"
            turn, now_us, next_row, open_actions, live, past_us = value(self._connection, query)
            read = positions.read(self._connection)
            sources = positions.read_sources(self._connection)
        return StoreMeta(turn, now_us, next_row, open_actions, read, self._incarnation, self._epoch, sources, live, past_us)

    def existing(self, ids: Sequence[bytes], *, begun: bool = False) -> set[bytes]:
        """Give those of the execution ids that the store knows, ended ones too; `begun`: but no watches that were discarded."""
        with self._using():
            return executions.existing(self._connection, ids, begun=begun)

    def load(self, rows: Sequence[int]) -> dict[int, StoredExecution]:
        """Read live executions by row; ended ones are not in the answer."""
        with self._using():
            return executions.load(self._connection, rows)

    def program(self, version: str) -> bytes | None:
        """Read a program that an execution is pinned to."""
        with self._using():
            return programs.find(self._connection, version)

    def seen_since(self, at_us: int) -> Iterator[tuple[int, int, bytes]]:
        """Give (shard, at_us, packed event keys) of every turn since a time, oldest first."""
        with self._using():
            yield from seen.since(self._connection, at_us)

    def due(self, until_us: int, limit: int) -> list[Timer]:
        """Give the first `limit` timers with due_us <= until_us, in order, without taking them away."""
        with self._using():
            return self._timers.due(until_us, limit)

    def next_due_us(self) -> int | None:
        """Tell when the next timer falls due."""
        with self._using():
            return self._timers.next_due_us()

    def deadlines(self, until_us: int, limit: int) -> list[Timer]:
        """Give the first `limit` deadlines with due_us <= until_us, in order, without taking them away."""
        with self._using():
            return self._deadlines.due(until_us, limit)

    def next_deadline_us(self) -> int | None:
        """Tell when the next deadline passes."""
        with self._using():
            return self._deadlines.next_due_us()

    def waiting(self, keys: Collection[int], most: int | None = None) -> list[Wait]:
        """Give the waits found by any of the keys, sorted; no more are read than `most`."""
        with self._using():
            return waits.find(self._connection, keys, most)

    def waiting_behind(self, keys: Collection[int], place: MetPlace, most: int) -> list[Wait]:
        """Give the first `most` waits of the keys of one event behind a place, in the order in which they are met."""
        with self._using():
            return waits.find_behind(self._connection, keys, place, most)

    def find(self, ids: Sequence[bytes]) -> dict[bytes, StoredExecution]:
        """Read live executions by public id; ended ones are not in the answer."""
        with self._using():
            return executions.find(self._connection, ids)

    def remembered(self, key: int, since_us: int) -> list[Remembered]:
        """Give the events of a key that came at or after a time, the latest first."""
        with self._using():
            return remembered.find(self._connection, key, since_us)

    def last_verdict_us(self) -> int | None:
        """Give the latest time of what did not come in time."""
        return self._last_verdict_us

    def verdicts(self, since: Mapping[int, int]) -> Sequence[MissedVerdict]:
        """Give the verdicts of absences and sequences under each of the keys whose latest time is not before that of the key."""
        with self._using():
            return verdicts.find(self._connection, since)

    def schedules(self) -> Sequence[SchedulePlace]:
        """Give how far each schedule is accounted for."""
        with self._using():
            return schedules.read(self._connection)

    def windows(self) -> StoredWindows:
        """Give everything that windows hold."""
        with self._using():
            return windows.read(self._connection)

    def versions(self) -> list[str]:
        """Name the versions whose programs are stored."""
        with self._using():
            return programs.versions(self._connection)

    def unpinned(self) -> list[str]:
        """Give the versions whose programs have left, since it was last asked: a new execution brings its program again."""
        return self._programs.take_gone()

    def commit(self, turn: TurnCommit) -> None:
        """Make the turn durable (FULL sync). After an error the caller must stop; the file decides what happened."""
        with self._using():
            try:
                with transaction(self._connection):
                    self._write(turn)
            except BaseException as error:
                self._broken = error
                raise
            self._timers.committed(turn.timers_gone, turn.timers_set, turn.now_us)
            self._deadlines.committed(turn.deadlines_gone, turn.deadlines_set, turn.now_us)

    def drop_before(self, day: int, readers: Sequence[Registered]) -> list[int]:
        """Drop days before `day` (YYYYMMDD) of what was emitted that every reader has read; give the days dropped."""
        with self._using(), transaction(self._connection):
            return log_tables.drop_before(self._connection, day, readers)

    def free_dropped(self) -> bool:
        """Give some of the room of dropped days back to the file; tell whether there is more to do."""
        with self._using(), transaction(self._connection):
            return log_tables.free_dropped(self._connection)

    def close(self) -> None:
        """Let go of the file and its lock."""
        close(self._connection)
        self._lock.release()

    def _write(self, turn: TurnCommit) -> None:
        connection = self._connection
        self._stand_at(turn)
        executions.write(connection, turn.starts, turn.changes)
        executions.discard(connection, turn.discarded)
        wall_us = turn.now_us if turn.wall_us is None else turn.wall_us
        self._sweep.end(turn.changes, turn.discarded)
        self._sweep.run(turn.starts, wall_us)
        self._programs.write(turn, wall_us)
        self._timers.write(turn.timers_gone, turn.timers_set, turn.now_us)
        self._deadlines.write(turn.deadlines_gone, turn.deadlines_set, turn.now_us)
        waits.write(connection, turn.waits_gone, turn.waits_set)
        remembered.write(connection, turn.remembered, turn.remember_since_us)
        if turn.verdicts:
            verdicts.write(connection, turn.verdicts, turn.now_us)
            self._last_verdict_us = max(self._last_verdict_us or 0, *(one.time_us for one in turn.verdicts))
        schedules.write(connection, turn.schedules, turn.schedules_gone)
        if turn.windows is not None:
            windows.write(connection, turn.windows)
        if turn.limits is not None:
            limits.write(connection, turn.limits, turn.now_us)
        if turn.held_back is not None:
            held_back.write(connection, turn.held_back)
        if turn.reached is not None:
            reached.write(connection, turn.reached)
        if turn.met is not None:
            reached.write_met(connection, turn.met)
        seen.write(connection, turn.turn, turn.now_us, turn.seen)
        self._purge.run(turn.now_us, turn.seen)
        positions.write(connection, turn.positions, turn.sources)
        log_tables.append(connection, turn.emitted, wall_us)

    def _stand_at(self, turn: TurnCommit) -> None:
        """Check the fence and move the engine's row, in one statement and before all others."""
        last_row = max(map(itemgetter(0), turn.starts), default=-1)
        self._connection.execute(
            "update engine set turn = ?1, now_us = ?2, next_row = max(next_row, ?3 + 1), open_actions = open_actions + ?4, "
            "live = live + ?7, past_us = max(past_us, ?8) where generation = ?5 and epoch = ?6 and turn < ?1 and now_us <= ?2",
            (turn.turn, turn.now_us, last_row, turn.open_actions, self._generation, self._epoch, turn.lives, turn.past_us or 0),
        )
        if self._connection.changes() != 1:
            raise self._fenced(turn)

    def _fenced(self, turn: TurnCommit) -> Fatal:
        generation, epoch, last, now_us = value(self._connection, "select generation, epoch, turn, now_us from engine")
        if (generation, epoch) != (self._generation, self._epoch):
            return Fatal(
                f"{self.path}: generation {generation} epoch {epoch} owns the file, this engine is generation {self._generation} "
                f"epoch {self._epoch}: another engine took over; end this one"
            )
        return BrokenInvariant(
            f"{self.path}: turn {turn.turn} at {turn.now_us} does not follow turn {last} at {now_us}; this is a bug: report it"
        )

    @contextmanager
    def _using(self) -> Iterator[None]:
        if self._broken is not None:
            raise BrokenInvariant(f"{self.path}: a commit failed ({self._broken}); open the file again to learn what is in it")
        with storage_errors(self.path):
            yield


def _prepare(connection: Connection, incarnation: str | None) -> str:
    """Make the tables of a new file; give its incarnation."""
    if not file_meta.is_made(connection):
        with transaction(connection):
            file_meta.make(connection, LAYOUT, {}, incarnation)
            for statement in _TABLES:
                connection.execute(statement)
            for part in (
                executions,
                ended,
                programs,
                timers,
                waits,
                remembered,
                verdicts,
                schedules,
                windows,
                limits,
                held_back,
                reached,
                seen,
                positions,
                log_tables,
            ):
                part.create(connection)
    with storage_errors(connection.filename):
        meta = file_meta.read(connection, LAYOUT)
    positions.upgrade(connection)
    _upgrade(connection)
    return meta["incarnation"]


def _upgrade(connection: Connection) -> None:
    """Give a file of an older version what came later; the time up to which its inputs had been read, the next turn fills in."""
    names = [column[1] for column in connection.execute("pragma table_info(engine)")]
    if "past_us" not in names:
        with transaction(connection):
            connection.execute(f"alter table engine add column {_PAST}")
    if not has_table(connection, "executions_live"):
        with transaction(connection):
            connection.execute(executions.INDEX_LIVE)


def _raise_epoch(connection: Connection, generation: int) -> int:
    with transaction(connection):
        stored, epoch = value(connection, "select generation, epoch from engine")
        if stored != generation:
            raise Fatal(
                f"{connection.filename}: generation {stored}, wanted {generation}: the home was rescaled; start roles of {stored}"
            )
        connection.execute("update engine set epoch = epoch + 1")
    return int(epoch) + 1
