"""A dispatcher's durable state: commands without an outcome, in lanes, beside the topics it emits.

Promise: one `commit` is one transaction (FULL sync): positions, outcomes, arrivals, emitted records, and who was started.
Reads: a DispatchCommit. Emits: the commands and batches to send now, and those withdrawn before they were sent. State: one row
a command without an outcome, gone when it has one, and one a batch; in memory one number per (tenant, rank), and which groups to
look at. Cost: about 30 µs a command from arrival to outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from infra import file_meta, log_tables, positions
from infra.dispatch_groups import Groups
from infra.dispatch_rows import COLUMNS, INSERT, READY, TABLES, Stage, stored, values_of
from infra.file_meta import FORMATS, Layout
from infra.log_tables import Registered
from infra.own_file import open_own
from infra.sqlite import Connection, close, storage_errors, transaction
from schemas.dispatch import DispatchCommit, QueuedAction, StoredAction, Taking, Withdrawal
from schemas.ports import Slot
from schemas.topics import RESULTS

LAYOUT: Final = Layout("dispatcher", FORMATS["dispatcher"])
_LOST: Final = (
    "create table if not exists lost(source text not null, topic text not null, partition integer not null, "
    "settled integer not null, primary key (source, topic, partition)) without rowid"
)
WITHDRAWN_MAX: Final = 1_000  # withdrawn commands given at a time


class DispatchFile:
    """The store of one dispatcher. Holds the file's lock."""

    def __init__(self, path: Path, *, vfs: str | None = None, incarnation: str | None = None) -> None:
        """Open the file or make it. Raises HomeLocked, StorageFailed, StateTooNew."""
        self.path = path
        self._lock, self._connection = open_own(path, vfs=vfs)
        try:
            _prepare(self._connection, incarnation)
            with storage_errors(path):
                self._queued = _count_queued(self._connection)
                self._batches = int(self._connection.execute("select count(*) from actions where carries > 0").get)
                self._groups = Groups(self._connection)
        except BaseException:
            self.close()
            raise
        self._turn = 0

    def positions(self) -> dict[Slot, int]:
        """Give the next position to read of every slot."""
        with storage_errors(self.path):
            return positions.read(self._connection)

    def sources(self) -> dict[str, str]:
        """Give the incarnation of each file that the positions belong to."""
        with storage_errors(self.path):
            return positions.read_sources(self._connection)

    def started(self) -> list[StoredAction]:
        """Give the commands whose attempt was started and has no outcome, in order of arrival."""
        with storage_errors(self.path):
            return self._read(f"where stage = {Stage.STARTED.value} order by row", ())

    def lost(self) -> dict[Slot, bool]:
        """Give the slots in which commands could not be read, and whether the engine counts these as ended already."""
        query = "select source, topic, partition, settled from lost"
        with storage_errors(self.path):
            return {Slot(*slot): bool(settled) for *slot, settled in self._connection.execute(query)}

    def unheard(self, withdrawn: Sequence[Withdrawal]) -> list[Withdrawal]:
        """Give those that name a command which is neither here nor has an outcome; a look at all results that are kept."""
        with storage_errors(self.path):
            named = "select count(*) from actions where lane = ? and id = ?"
            left = [one for one in withdrawn if not self._connection.execute(named, (one.execution, one.id)).get]
            wanted = {one.id.encode() for one in left}
            for record in log_tables.records_of(self._connection, RESULTS) if left else ():
                wanted = {name for name in wanted if name not in record}
                if not wanted:
                    break
        return [one for one in left if one.id.encode() in wanted]

    def open_actions(self) -> int:
        """Tell how many commands are without an outcome."""
        return self._queued.total() - self._batches

    def next_due_us(self) -> int | None:
        """Tell when the next command may start, were there room."""
        with storage_errors(self.path):
            found = self._connection.execute(f"select min(due_us) from actions where {READY}").get
        return min((time for time in (found, self._groups.next_us()) if time is not None), default=None)

    def commit(self, change: DispatchCommit) -> list[StoredAction]:
        """Make a step durable; give the commands taken, marked as started unless they have expired."""
        with transaction(self._connection):
            positions.write(self._connection, change.positions, change.sources)
            for row, due_us, doubt in change.postponed:
                self._groups.postpone(row, due_us, doubt=doubt)
            self._finish(change.done)
            self._connection.executemany("insert or replace into lost values (?, ?, ?, 0)", set(change.lost))
            self._arrive(change.arrived)
            for withdrawal in change.withdrawn:
                (self._hurry if withdrawal.hurry else self._withdraw)(withdrawal, change.now_us)
            if change.emitted:
                log_tables.append(self._connection, change.emitted, change.now_us)
            return self._take(change.taking) if change.taking else []

    def drop_before(self, day: int, readers: Sequence[Registered]) -> list[int]:
        """Drop days before `day` (YYYYMMDD) of what was emitted that every reader has read; give the days dropped."""
        with transaction(self._connection):
            return log_tables.drop_before(self._connection, day, readers)

    def free_dropped(self) -> bool:
        """Give some of the room of dropped days back to the file; tell whether there is more to do."""
        with transaction(self._connection):
            return log_tables.free_dropped(self._connection)

    def close(self) -> None:
        """Let go of the file and its lock."""
        close(self._connection)
        self._lock.release()

    def _finish(self, rows: Sequence[int]) -> None:
        """Delete commands with an outcome, and batches that have ended, and let the next of their lanes go."""
        for row in rows:
            tenant, rank, carries, places_lane, *lanes = self._connection.execute(
                "delete from actions where row = ? returning tenant, rank, carries, places_lane, lane, order_lane", (row,)
            ).get
            self._count(tenant, rank, -1)
            self._batches -= carries > 0
            self._groups.woken(None, places_lane)
            for column, lane in zip(("lane", "order_lane"), lanes, strict=True):
                if lane is not None:
                    self._let_next_go(column, lane, row)

    def _let_next_go(self, column: str, lane: str, row: int) -> None:
        """Unblock the first command of a lane, if the one that went was before it."""
        for woken in self._connection.execute(
            "update actions set blocked = blocked - 1 "
            f"where row = (select min(row) from actions where {column} = ?1) and row > ?2 returning gather_lane, places_lane",
            (lane, row),
        ):
            self._groups.woken(*woken)

    def _arrive(self, arrived: Sequence[QueuedAction]) -> None:
        for action in arrived:
            if not action.first and self._is_open(action):
                continue
            self._count(action.tenant, action.rank, 1)
            self._connection.execute(INSERT, values_of(action))
            self._groups.woken(action.gathering and action.gathering.lane, action.places and action.places.lane)

    def _withdraw(self, withdrawal: Withdrawal, now_us: int) -> None:
        """Stop a command that waits; one that is on its way, alone or in a batch, gets no further attempt."""
        named = "select row, stage, batch from actions where lane = ? and id = ?"
        found: list[Any] = self._connection.execute(named, (withdrawal.execution, withdrawal.id)).fetchall()
        for row, stage, batch in found:
            if stage == Stage.CARRIED and self._is_unsent(batch):
                for member in self._groups.members(batch):
                    self._groups.postpone(member.row, now_us, doubt=False)
                self._finish([batch])
            elif stage in (Stage.STARTED, Stage.CARRIED):
                self._connection.execute("update actions set cancelled = 1 where row = ?", (row,))
                continue
            for woken in self._connection.execute(
                f"update actions set cancelled = 1, stage = {Stage.WITHDRAWN.value} where row = ? "
                "returning gather_lane, places_lane",
                (row,),
            ):
                self._groups.woken(*woken)

    def _hurry(self, withdrawal: Withdrawal, now_us: int) -> None:
        """Let a command that waits for its next attempt have it now; a batch has its own time, and others go on as they do."""
        self._connection.execute(
            f"update actions set due_us = ?3 where lane = ?1 and id = ?2 and stage = {Stage.WAITS.value} and due_us > ?3",
            (withdrawal.execution, withdrawal.id, now_us),
        )

    def _is_unsent(self, batch: int) -> bool:
        """Tell whether surely nothing of a batch was sent, and nothing is on its way."""
        return bool(
            self._connection.execute(
                f"select stage <> {Stage.STARTED.value} and not doubt from actions where row = ?", (batch,)
            ).get
        )

    def _is_open(self, action: QueuedAction) -> bool:
        """Tell whether a redriven command still waits for its outcome here: then once is enough."""
        return bool(
            self._connection.execute("select count(*) from actions where lane = ? and id = ?", (action.lane, action.id)).get
        )

    def _take(self, taking: Taking) -> list[StoredAction]:
        """Take what is due, high ranks first, tenants in turn so that none starves the others."""
        for tenant, rank in self._groups.look(taking.now_us):
            self._count(tenant, rank, 1)
            self._batches += 1
        taken: list[StoredAction] = []
        busy = Counter(taking.busy)
        for tenant, rank in self._in_turn():
            room = min(taking.most - len(taken), taking.tenant_most - busy[tenant])
            if room > 0:
                found = self._due(tenant, rank, taking.now_us, room)
                busy[tenant] += len(found)
                taken.extend(found)
        self._connection.executemany(
            f"update actions set stage = {Stage.STARTED.value}, attempts = attempts + 1 where row = ? and expires_us > ?",
            [(action.row, taking.now_us) for action in taken],
        )
        return taken + self._read(f"where stage = {Stage.WITHDRAWN.value} order by row limit {WITHDRAWN_MAX}", ())

    def _in_turn(self) -> list[tuple[str, int]]:
        """Give the queues by rank, beginning with another tenant each time."""
        queues = sorted(self._queued)
        if not queues:
            return []
        self._turn = (self._turn + 1) % len(queues)
        return sorted(queues[self._turn :] + queues[: self._turn], key=lambda queue: queue[1])

    def _due(self, tenant: str, rank: int, now_us: int, room: int) -> list[StoredAction]:
        ready = f"where tenant = ? and rank = ? and due_us <= ? and {READY} order by due_us, row limit ?"
        return self._read(ready, (tenant, rank, now_us, room), 1)

    def _read(self, chosen: str, values: tuple[str | int, ...], attempt: int = 0) -> list[StoredAction]:
        """Give commands, batches with their members."""
        rows: list[Any] = self._connection.execute(f"select {COLUMNS}, carries from actions {chosen}", values).fetchall()
        return [stored(row, attempt, self._groups.members(row[0]) if carries else ()) for *row, carries in rows]

    def _count(self, tenant: str, rank: int, by: int) -> None:
        self._queued[tenant, rank] += by
        if not self._queued[tenant, rank]:
            del self._queued[tenant, rank]


def _prepare(connection: Connection, incarnation: str | None) -> None:
    if not file_meta.is_made(connection):
        with transaction(connection):
            file_meta.make(connection, LAYOUT, {}, incarnation)
            log_tables.create(connection)
            positions.create(connection)
            for statement in TABLES:
                connection.execute(statement)
    with storage_errors(connection.filename):
        file_meta.read(connection, LAYOUT)
    positions.upgrade(connection)
    with transaction(connection):
        connection.execute(_LOST)


def _count_queued(connection: Connection) -> Counter[tuple[str, int]]:
    rows = connection.execute("select tenant, rank, count(*) from actions group by tenant, rank")
    return Counter({(tenant, rank): count for tenant, rank, count in rows})
