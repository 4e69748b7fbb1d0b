"""A dispatcher's durable state: commands without an outcome, in lanes, beside the topics it emits.

Promise: one `commit` is one transaction (FULL sync): positions, outcomes, arrivals, emitted records, and who was started.
Reads: a DispatchCommit. Emits: the commands to send now. State: one row a command without an outcome, gone when it has one;
in memory one number per (tenant, rank). Cost: about 30 µs a command from arrival to outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra import file_meta, log_tables, positions
from infra.file_meta import FORMATS, Layout
from infra.lock import FileLock
from infra.log_tables import Registered
from infra.sqlite import Connection, open_writer, storage_errors, transaction
from schemas.ports import DispatchCommit, Postponed, QueuedAction, Slot, StoredAction, Taking

LAYOUT: Final = Layout("dispatcher", FORMATS["dispatcher"])
_TABLES: Final = (
    # blocked: in how many of its lanes an earlier command is still without an outcome
    "create table actions(row integer primary key, id text not null, tenant text not null, connector text not null, "
    "lane text not null, order_lane text, rank integer not null, blocked integer not null, started integer not null default 0, "
    "doubt integer not null default 0, attempts integer not null default 0, due_us integer not null, expires_us integer not null,"
    " first integer not null, source text not null, topic text not null, partition integer not null, position integer not null, "
    "raw blob not null)",
    "create index actions_lane on actions(lane, row)",
    "create index actions_order_lane on actions(order_lane, row) where order_lane is not null",
    "create index actions_ready on actions(tenant, rank, due_us, row) where blocked = 0 and started = 0",
    "create index actions_due on actions(due_us) where blocked = 0 and started = 0",
    "create index actions_started on actions(row) where started = 1",
)
_COLUMNS: Final = "row, id, tenant, connector, attempts, doubt, expires_us, first, source, topic, partition, position, raw"
_INSERT: Final = (
    "insert into actions(id, tenant, connector, lane, order_lane, rank, blocked, due_us, expires_us, first, source, topic, "
    "partition, position, raw) values (?1, ?2, ?3, ?4, ?5, ?6, exists(select 1 from actions where lane = ?4) + "
    "exists(select 1 from actions where order_lane = ?5), ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
)


class DispatchFile:
    """The store of one dispatcher. Holds the file's lock."""

    def __init__(self, path: Path, *, vfs: str | None = None, incarnation: str | None = None) -> None:
        """Open the file or make it. Raises HomeLocked, StorageFailed, StateTooNew."""
        self.path = path
        self._lock = FileLock(path)
        try:
            self._connection = open_writer(path, vfs=vfs)
        except BaseException:
            self._lock.release()
            raise
        try:
            self._queued = _prepare(self._connection, incarnation)
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
            rows = self._connection.execute(f"select {_COLUMNS} from actions where started = 1 order by row")
            return [_stored(row) for row in rows]

    def open_actions(self) -> int:
        """Tell how many commands are without an outcome."""
        return self._queued.total()

    def next_due_us(self) -> int | None:
        """Tell when the next command may start, were there room."""
        with storage_errors(self.path):
            found = self._connection.execute("select min(due_us) from actions where blocked = 0 and started = 0").get
            return None if found is None else int(found)

    def commit(self, change: DispatchCommit) -> list[StoredAction]:
        """Make a step durable; give the commands taken, marked as started unless they have expired."""
        with transaction(self._connection):
            positions.write(self._connection, change.positions, change.sources)
            self._finish(change.done)
            self._postpone(change.postponed)
            self._arrive(change.arrived)
            if change.emitted:
                log_tables.append(self._connection, change.emitted, change.now_us)
            return self._take(change.taking) if change.taking else []

    def drop_before(self, day: int, readers: Sequence[Registered]) -> list[int]:
        """Drop days before `day` (YYYYMMDD) of what was emitted that every reader has read; give the days dropped."""
        with transaction(self._connection):
            return log_tables.drop_before(self._connection, day, readers)

    def close(self) -> None:
        """Let go of the file and its lock."""
        try:
            with storage_errors(self.path):
                self._connection.close(force=True)
        finally:
            self._lock.release()

    def _finish(self, rows: Sequence[int]) -> None:
        """Delete commands with an outcome and let the next of their lanes go."""
        for row in rows:
            tenant, rank, *lanes = self._connection.execute(
                "delete from actions where row = ? returning tenant, rank, lane, order_lane", (row,)
            ).get
            self._count(tenant, rank, -1)
            for column, lane in zip(("lane", "order_lane"), lanes, strict=True):
                if lane is not None:
                    self._connection.execute(
                        f"update actions set blocked = blocked - 1 where row = (select min(row) from actions where {column} = ?)",
                        (lane,),
                    )

    def _postpone(self, postponed: Sequence[Postponed]) -> None:
        self._connection.executemany(
            "update actions set started = 0, due_us = ?, doubt = max(doubt, ?) where row = ?",
            [(due_us, doubt, row) for row, due_us, doubt in postponed],
        )

    def _arrive(self, arrived: Sequence[QueuedAction]) -> None:
        for action in arrived:
            if not action.first and self._is_open(action):
                continue
            self._count(action.tenant, action.rank, 1)
            self._connection.execute(_INSERT, _values(action))

    def _is_open(self, action: QueuedAction) -> bool:
        """Tell whether a redriven command still waits for its outcome here: then once is enough."""
        return bool(
            self._connection.execute("select count(*) from actions where lane = ? and id = ?", (action.lane, action.id)).get
        )

    def _take(self, taking: Taking) -> list[StoredAction]:
        """Take what is due, high ranks first, tenants in turn so that none starves the others."""
        taken: list[StoredAction] = []
        busy = Counter(taking.busy)
        for tenant, rank in self._in_turn():
            room = min(taking.most - len(taken), taking.tenant_most - busy[tenant])
            if room > 0:
                found = self._due(tenant, rank, taking.now_us, room)
                busy[tenant] += len(found)
                taken.extend(found)
        self._connection.executemany(
            "update actions set started = 1, attempts = attempts + 1 where row = ? and expires_us > ?",
            [(action.row, taking.now_us) for action in taken],
        )
        return taken

    def _in_turn(self) -> list[tuple[str, int]]:
        """Give the queues by rank, beginning with another tenant each time."""
        queues = sorted(self._queued)
        if not queues:
            return []
        self._turn = (self._turn + 1) % len(queues)
        return sorted(queues[self._turn :] + queues[: self._turn], key=lambda queue: queue[1])

    def _due(self, tenant: str, rank: int, now_us: int, room: int) -> list[StoredAction]:
        rows = self._connection.execute(
            f"select {_COLUMNS} from actions where tenant = ? and rank = ? and due_us <= ? and blocked = 0 and started = 0 "
            "order by due_us, row limit ?",
            (tenant, rank, now_us, room),
        )
        return [_stored(row, 1) for row in rows]

    def _count(self, tenant: str, rank: int, by: int) -> None:
        self._queued[tenant, rank] += by
        if not self._queued[tenant, rank]:
            del self._queued[tenant, rank]


def _prepare(connection: Connection, incarnation: str | None) -> Counter[tuple[str, int]]:
    if not file_meta.is_made(connection):
        with transaction(connection):
            file_meta.make(connection, LAYOUT, {}, incarnation)
            log_tables.create(connection)
            positions.create(connection)
            for statement in _TABLES:
                connection.execute(statement)
    with storage_errors(connection.filename):
        file_meta.read(connection, LAYOUT)
    positions.upgrade(connection)
    with storage_errors(connection.filename):
        rows = connection.execute("select tenant, rank, count(*) from actions group by tenant, rank")
        return Counter({(tenant, rank): count for tenant, rank, count in rows})


def _values(action: QueuedAction) -> tuple[str | int | bytes | None, ...]:
    return (
        *(action.id, action.tenant, action.connector, action.lane, action.order_lane, action.rank),
        *(action.due_us, action.expires_us, action.first, *action.slot, action.position, action.raw),
    )


def _stored(row: tuple, attempt: int = 0) -> StoredAction:  # type: ignore[type-arg]
    """Make the record of a row; `attempt` is 1 for the attempt that starts now."""
    (at, name, tenant, connector, attempts, doubt, expires_us, first, *place, position, raw) = row
    return StoredAction(
        row=at,
        id=name,
        tenant=tenant,
        connector=connector,
        attempts=attempts + attempt,
        doubt=bool(doubt),
        expires_us=expires_us,
        first=bool(first),
        slot=Slot(*place),
        position=position,
        raw=raw,
    )
