"""The tables of an embedded log, in any role's file: packs of records in one total order, appended in the role's own commit.

Reads: records of a turn. Emits: one row a pack in the day's table. State: the last `seq` and the next position of each
(topic, partition), as rows. Cost: a few rows an append, whatever the number of records.

`seq` comes from a counter row, never from rowid (which starts again on an empty table). Days follow each other in seq order,
also where the clock steps back, so a reader goes from one table to the next. Retention drops tables: at once for all who
read, then piece by piece, for a large day would hold up commits for seconds. Topics of FOREVER lie in a table that never goes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from infra import packs
from infra.sqlite import Connection, close, has_table, open_reader, rows, storage_errors, value
from schemas.ports import Append, Slot
from schemas.topics import CONTROL

FOREVER: Final = frozenset({CONTROL})
FOREVER_TABLE: Final = "log_forever"
PACK_RECORDS: Final = 4096
PACK_BYTES: Final = 4 << 20  # a longer record has a pack of its own
PIECE_BYTES: Final = 4 << 20  # of packs that are freed in one transaction
PIECE_PACKS: Final = 512
DROPPED: Final = "dropped_"  # how tables begin whose pages are to be freed; behind it their first seq

_TABLES: Final = (
    "create table log_counter(one integer primary key check (one = 1), seq integer not null)",
    "insert into log_counter values (1, 0)",
    "create table log_topics(id integer primary key, name text not null unique)",
    # first: the oldest position that retention has left
    "create table log_ends(topic integer, partition integer, first integer not null, next integer not null, "
    "primary key (topic, partition)) without rowid",
    "create table log_days(day integer primary key, first_seq integer not null unique)",
)


@dataclass(frozen=True, slots=True)
class Registered:
    """A reader that retention must not pass: which topics and partitions (None: all) it reads, and how far it has come."""

    name: str
    topics: Callable[[str], bool]
    positions: Mapping[Slot, int]
    partitions: Container[int] | None = None

    def reads(self, slot: Slot) -> bool:
        """Tell whether this reader reads a slot."""
        return self.topics(slot.topic) and (self.partitions is None or slot.partition in self.partitions)


def create(connection: Connection) -> None:
    """Make the tables of an empty log, inside the caller's transaction."""
    for statement in _TABLES:
        connection.execute(statement)
    _make_table(connection, FOREVER_TABLE)


def append(connection: Connection, batch: Sequence[Append], now_us: int) -> list[int]:
    """Append inside the caller's transaction; give the base position of each item of the batch."""
    topics = {name: _topic(connection, name) for name in dict.fromkeys(item.topic for item in batch)}
    ends = {place: _end(connection, place) for place in dict.fromkeys((topics[item.topic], item.partition) for item in batch)}
    if not any(item.records for item in batch):  # a day's table begins with a pack: its first seq is its own
        return [ends[topics[item.topic], item.partition] for item in batch]
    seq: int = value(connection, "select seq from log_counter")
    table = _day_table(connection, now_us, seq + 1)
    bases: list[int] = []
    packed: dict[str, list[tuple[int, int, int, int, int, int, bytes]]] = {table: [], FOREVER_TABLE: []}
    for item in batch:
        place = (topics[item.topic], item.partition)
        bases.append(ends[place])
        into = packed[FOREVER_TABLE if item.topic in FOREVER else table]
        for records in _cut(item.records):
            seq += 1
            into.append((seq, *place, ends[place], len(records), now_us, packs.encode(records)))
            ends[place] += len(records)
    for name, lines in packed.items():
        connection.executemany(f"insert into {name} values (?, ?, ?, ?, ?, ?, ?)", lines)
    connection.executemany(
        "update log_ends set next = ? where topic = ? and partition = ?", [(end, *at) for at, end in ends.items()]
    )
    connection.execute("update log_counter set seq = ?", (seq,))
    return bases


def last_seq(path: Path, *, vfs: str | None = None) -> int:
    """Tell the seq of the last pack in a file, 0 where there is none yet."""
    if not path.exists():
        return 0
    connection = open_reader(path, vfs=vfs)
    try:
        with storage_errors(path):
            return int(value(connection, "select seq from log_counter")) if has_table(connection, "log_counter") else 0
    finally:
        close(connection)


def drop_before(connection: Connection, day: int, readers: Sequence[Registered]) -> list[int]:
    """Drop the days before `day` (YYYYMMDD) that every reader has read to their end; give the days dropped.

    Inside the caller's transaction; `free_dropped` frees what they took. Oldest first, and none behind one that must stay. A
    slot that a reader has no position of counts as unread. Readers' positions: infra.positions.read_file of each reader's file,
    before the transaction.
    """
    dropped = []
    for old in [row[0] for row in rows(connection, "select day from log_days where day < ? order by first_seq", (day,))]:
        ends = _ends_in(connection, day_table(old))
        if any(reader.positions.get(slot, 0) < end for slot, end in ends.items() for reader in readers if reader.reads(slot)):
            break
        _drop(connection, old, ends)
        dropped.append(old)
    return dropped


def free_dropped(connection: Connection) -> bool:
    """Free some pages of dropped days, inside the caller's transaction; tell whether there are more."""
    table = value(connection, "select name from sqlite_schema where type = 'table' and name glob ? limit 1", (f"{DROPPED}*",))
    if table is None:
        return False
    size = last = 0
    for seq, bytes_ in rows(connection, f"select seq, length(pack) from {table} order by seq limit ?", (PIECE_PACKS,)):
        size, last = size + bytes_, seq
        if size >= PIECE_BYTES:
            break
    connection.execute(f"delete from {table} where seq <= ?" if last else f"drop table {table}", (last,) if last else ())
    return True


def day_of(at_us: int) -> int:
    """Give the UTC day of a time as YYYYMMDD."""
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    return at.year * 10_000 + at.month * 100 + at.day


def day_table(day: int) -> str:
    """Name the table of a day."""
    return f"log_{day:08d}"


def seq_behind(connection: Connection, topic: int, partition: int, position: int) -> int | None:
    """Give the seq of the pack that holds a position, or of the first one behind it; None where there is none."""
    for table in _tables(connection):
        place = f"select seq, base, count from {table} where topic = ?1 and partition = ?2 and base"
        around = (
            f"select * from ({place} <= ?3 order by base desc limit 1) union all "
            f"select * from ({place} > ?3 order by base limit 1)"
        )
        query = f"select seq from ({around}) where base + count > ?3 order by base limit 1"
        found = value(connection, query, (topic, partition, position))
        if found is not None:
            return int(found)
    return None


def records_of(connection: Connection, topic: str) -> Iterator[bytes]:
    """Give the readable records of a topic that are kept, in order within a partition."""
    found = value(connection, "select id from log_topics where name = ?", (topic,))
    for table in _tables(connection) if found is not None else ():
        for count, blob in rows(connection, f"select count, pack from {table} where topic = ? order by seq", (found,)):
            yield from (record for record in packs.decode(blob, count).records if record is not None)


def _tables(connection: Connection) -> Iterator[str]:
    yield FOREVER_TABLE
    for (day,) in list(rows(connection, "select day from log_days order by first_seq")):
        yield day_table(day)


def _day_table(connection: Connection, now_us: int, first_seq: int) -> str:
    """Name the table to append to; make it where the day is new. A clock that steps back stays in the newest table."""
    newest = value(connection, "select max(day) from log_days")
    day = max(day_of(now_us), newest or 0)
    if day != newest:
        connection.execute("insert into log_days values (?, ?)", (day, first_seq))
        _make_table(connection, day_table(day))
    return day_table(day)


def _make_table(connection: Connection, table: str) -> None:
    connection.execute(
        f"create table {table}(seq integer primary key, topic integer not null, partition integer not null, "
        "base integer not null, count integer not null, appended_us integer not null, pack blob not null)"
    )
    connection.execute(f"create index {table}_place on {table}(topic, partition, base, count)")


def _topic(connection: Connection, name: str) -> int:
    found = value(connection, "select id from log_topics where name = ?", (name,))
    if found is not None:
        return int(found)
    connection.execute("insert into log_topics(name) values (?)", (name,))
    return connection.last_insert_rowid()


def _end(connection: Connection, place: tuple[int, int]) -> int:
    found = value(connection, "select next from log_ends where topic = ? and partition = ?", place)
    if found is None:
        connection.execute("insert into log_ends values (?, ?, 0, 0)", place)
    return int(found or 0)


def _cut(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut records into packs of at most PACK_RECORDS and, as far as records allow, PACK_BYTES."""
    if 0 < len(records) <= PACK_RECORDS and sum(map(len, records)) <= PACK_BYTES:  # nearly always
        yield records
        return
    start = size = 0
    for at, record in enumerate(records):
        size += len(record)
        if at > start and (size > PACK_BYTES or at - start == PACK_RECORDS):
            yield records[start:at]
            start, size = at, len(record)
    if start < len(records):
        yield records[start:]


def _ends_in(connection: Connection, table: str) -> dict[Slot, int]:
    source = Path(connection.filename).name
    query = f"select name, partition, max(base + count) from {table} join log_topics on id = topic group by topic, partition"
    return {Slot(source, topic, partition): end for topic, partition, end in rows(connection, query)}


def _drop(connection: Connection, day: int, ends: Mapping[Slot, int]) -> None:
    connection.executemany(
        "update log_ends set first = max(first, ?) where topic = (select id from log_topics where name = ?) and partition = ?",
        [(end, slot.topic, slot.partition) for slot, end in ends.items()],
    )
    first = value(connection, "delete from log_days where day = ? returning first_seq", (day,))
    connection.execute(f"drop index {day_table(day)}_place")
    connection.execute(f"alter table {day_table(day)} rename to {DROPPED}{first}")
