"""A reader that tails topics of one log file while another process writes it.

Promise: every record once, in the file's one total order, from the positions it was opened with; who restarts from stored
positions sees the same records, however they are cut.

Reads: packs of a file. Emits: chunks. State: the reader's place, in memory. Cost: 5 µs a poll of an idle file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

from infra import file_meta, packs
from infra.log_tables import FOREVER_TABLE, day_table, seq_behind
from infra.sqlite import Connection, close, has_table, open_reader, rows, snapshot, storage_errors, value
from schemas.errors import BrokenInvariant, Fatal, FileReplaced
from schemas.ports import Chunk, Damage, Slot

FETCH_RECORDS: Final = 16_384  # read ahead at most so much
FETCH_BYTES: Final = 8 << 20
POLL_BYTES: Final = 32 << 20  # a poll ends behind the record that reaches it: 8,192 records may be 128 GiB


class _Row(NamedTuple):
    seq: int
    topic: int
    partition: int
    base: int
    n: int
    appended_us: int
    pack: bytes


class FileReader:
    """Tails chosen topics of one file in its total order. The file may not exist yet."""

    def __init__(
        self,
        path: Path,
        topics: Callable[[str], bool],
        positions: Mapping[Slot, int],
        *,
        partitions: Collection[int] | None = None,
        from_first: bool = False,
        vfs: str | None = None,
    ) -> None:
        """Start at the next positions given; a slot without one starts at 0, or with `from_first` at what retention has left."""
        self.path = path
        self.source = path.name
        self.damaged: list[Damage] = []  # grows as polls pass over damage; the caller takes it away
        self._topics = topics
        self._partitions = partitions
        self._from_first = from_first
        self._vfs = vfs
        self._next = {slot: at for slot, at in positions.items() if slot.source == self.source}
        self._connection: Connection | None = None
        self._names: dict[int, str] = {}  # of wanted topics
        self._newest_topic = 0
        self._rows: deque[_Row] = deque()  # fetched, not given out
        self._pieces: deque[Chunk | Damage] = deque()  # of the row before those, still to give out
        self._place = 0  # everything up to this seq has been given out
        self._fetched = 0  # everything up to this seq has been fetched
        self.incarnation: str | None = None  # of the file that the positions belong to, once it is known

    def expecting(self, sources: Mapping[str, str]) -> Self:
        """Read no other life of the file than the stored one, if there is one; other lives raise FileReplaced."""
        self.incarnation = sources.get(self.source)
        return self

    def poll(self, limit: int) -> list[Chunk]:
        """Give up to `limit` records and POLL_BYTES that come next, [] if there are none. Raises Fatal where records are gone."""
        chunks: list[Chunk] = []
        room_bytes = POLL_BYTES
        while limit > 0 and room_bytes > 0 and self._stock():
            piece = self._pieces.popleft()
            if isinstance(piece, Damage):
                self.damaged.append(piece)
                self._next[piece.slot] = piece.base + piece.count
            else:
                chunk = self._part(piece, limit)
                chunks.append(chunk)
                limit -= len(chunk.records)
                room_bytes -= sum(map(len, chunk.records))
                self._next[chunk.slot] = chunk.end
        return chunks

    def at_end(self) -> bool:
        """Tell whether everything committed to the file so far has been given out."""
        return not self._pieces and not self._rows and not self._has_news()

    def place(self) -> int:
        """Give the seq of the file up to which everything has been given out."""
        if self._pieces:
            return self._place - 1
        return self._rows[0].seq - 1 if self._rows else self._fetched

    def positions(self) -> dict[Slot, int]:
        """Give the next position of every slot that was given at the start or read since."""
        return dict(self._next)

    def take_damaged(self) -> list[Damage]:
        """Give the damage passed over since the last call."""
        taken, self.damaged = self.damaged, []
        return taken

    def close(self) -> None:
        """Let go of the file; a poll after this opens it again, where the last one left off."""
        self._rows.clear()
        self._pieces.clear()
        if self._connection is not None:
            close(self._connection)
            self._connection = None

    def _stock(self) -> bool:
        """Have a piece at hand; False at the end of the file."""
        while not self._pieces:
            if not self._rows and not (self._has_news() and self._fetch()):
                return False
            if self._rows:
                row = self._rows.popleft()
                self._place = row.seq
                self._pieces.extend(self._unpack(row))
        return True

    def _part(self, chunk: Chunk, limit: int) -> Chunk:
        """Cut a chunk to the limit and keep the rest for the next poll."""
        if len(chunk.records) <= limit:
            return chunk
        at = (chunk.source, chunk.topic, chunk.partition)
        self._pieces.appendleft(Chunk(*at, chunk.base + limit, chunk.appended_us, chunk.records[limit:]))
        return Chunk(*at, chunk.base, chunk.appended_us, chunk.records[:limit])

    def _unpack(self, row: _Row) -> Iterator[Chunk | Damage]:
        """Turn a row into the runs of good and of damaged records that were not read before."""
        slot = Slot(self.source, self._names[row.topic], row.partition)
        start = self._start_in(slot, row)
        if start >= row.n:
            return
        pack = packs.decode(row.pack, row.n)
        if pack.reason is None:
            yield Chunk(*slot, row.base + start, row.appended_us, pack.records[start:] if start else pack.records)  # type: ignore[arg-type]
            return
        yield from _runs(slot, row, pack, start)

    def _start_in(self, slot: Slot, row: _Row) -> int:
        """Give the index of the first record of a pack that was not read before. Raises Fatal where some are missing."""
        wanted = self._next.get(slot, row.base if self._from_first else 0)
        if row.base > wanted:
            raise self._gone(slot, wanted, row.base)
        return wanted - row.base

    def _has_news(self) -> bool:
        if self._connection is None and not self._connect():
            return False
        assert self._connection is not None
        with storage_errors(self.path):
            return bool(value(self._connection, "select seq from log_counter") != self._fetched)

    def _connect(self) -> bool:
        if not self.path.exists():
            return False
        connection = open_reader(self.path, vfs=self._vfs)
        try:
            if not has_table(connection, "log_counter"):
                close(connection)
                return False
            with snapshot(connection):
                self._recognise(file_meta.incarnation(connection))
                self._learn_topics(connection)
                self._fetched = self._place = self._starting_seq(connection)
        except BaseException:
            close(connection)
            raise
        self._connection = connection
        return True

    def _recognise(self, found: str) -> None:
        """Take the file for the one that the positions belong to. Raises FileReplaced where it is another."""
        if self.incarnation is not None and self.incarnation != found:
            raise FileReplaced(
                f"{self.path}: this file was made anew (its incarnation is {found}), the positions of its reader belong to the "
                f"one before it ({self.incarnation}): put the old file back, or start in a fresh home"
            )
        self.incarnation = found

    def _learn_topics(self, connection: Connection) -> None:
        for topic, name in rows(connection, "select id, name from log_topics where id > ? order by id", (self._newest_topic,)):
            self._newest_topic = topic
            if self._topics(name):
                self._names[topic] = name

    def _starting_seq(self, connection: Connection) -> int:
        """Give the seq before the first pack that holds something unread. Raises Fatal for positions out of range."""
        unread = dict(self._next)
        behind = [value(connection, "select seq from log_counter")]
        for topic, partition, first, end in list(rows(connection, "select topic, partition, first, next from log_ends")):
            if topic not in self._names or not self._reads_partition(partition):
                continue
            slot = Slot(self.source, self._names[topic], partition)
            position = unread.pop(slot, first if self._from_first else 0)
            if not first <= position <= end:
                raise self._gone(slot, position, first) if position < first else self._ahead(slot, position, end)
            if position < end and (seq := seq_behind(connection, topic, partition, position)) is not None:
                behind.append(seq - 1)
        for slot, position in unread.items():
            if position > 0 and self._topics(slot.topic) and self._reads_partition(slot.partition):
                raise self._ahead(slot, position, 0)
        return int(min(behind))

    def _reads_partition(self, partition: int) -> bool:
        return self._partitions is None or partition in self._partitions

    def _fetch(self) -> bool:
        """Read the next packs in one short transaction; False if there was nothing new."""
        assert self._connection is not None
        before = self._fetched
        with snapshot(self._connection):
            self._learn_topics(self._connection)
            newest: int = value(self._connection, "select seq from log_counter")
            if newest < self._fetched:
                raise BrokenInvariant(
                    f"{self.path}: the log ends at {newest}, {self._fetched} was read; an older copy replaced it: restore it"
                )
            records = size = 0
            for query, least, most in _queries(self._connection, self._fetched, newest, self._filter()):
                for values in rows(self._connection, query, (least, most)):
                    row = _Row(*values)
                    self._rows.append(row)
                    self._fetched = row.seq
                    records, size = records + row.n, size + len(row.pack)
                    if records >= FETCH_RECORDS or size >= FETCH_BYTES:
                        return True
                self._fetched = most
        return self._fetched > before

    def _filter(self) -> str:
        topics = ", ".join(map(str, self._names))
        partitions = "" if self._partitions is None else f" and partition in ({', '.join(map(str, sorted(self._partitions)))})"
        return f"topic in ({topics}){partitions}"

    def _gone(self, slot: Slot, position: int, first: int) -> Fatal:
        return Fatal(
            f"{self.path}: {slot.topic}/{slot.partition} begins at position {first}, wanted {position}: the rest is gone; "
            f"see `millrace doctor --home {self.path.parent}`, then restore the file, or remove its reader to read anew"
        )

    def _ahead(self, slot: Slot, position: int, end: int) -> Fatal:
        return Fatal(
            f"{self.path}: {slot.topic}/{slot.partition} ends at position {end}, wanted {position}: the log is older than its "
            f"reader; see `millrace doctor --home {self.path.parent}`, then restore the newer copy of the file"
        )


def _queries(connection: Connection, after: int, newest: int, wanted: str) -> Iterator[tuple[str, int, int]]:
    """Give (query, after, up to) of the day tables that follow `after`, each merged with the forever table in seq order.

    `not indexed`: else SQLite looks the topics up in the index and sorts whole packs. The forever table is left out where it
    has nothing new, for a merge costs a copy of each pack.
    """
    current = value(connection, "select max(first_seq) from log_days where first_seq <= ?", (after + 1,))
    days = list(rows(connection, "select day, first_seq from log_days where first_seq >= ? order by first_seq", (current or 0,)))
    last_forever = value(connection, f"select max(seq) from {FOREVER_TABLE}") or 0
    columns = "select seq, topic, partition, base, count, appended_us, pack from"
    span = f"not indexed where seq > ?1 and seq <= ?2 and {wanted}"
    for at, (day, _) in enumerate(days):
        upto = days[at + 1][1] - 1 if at + 1 < len(days) else newest
        if upto > after:
            merged = f" union all {columns} {FOREVER_TABLE} {span}" if last_forever > after else ""
            yield f"{columns} {day_table(day)} {span}{merged} order by seq", after, upto
            after = upto
    if not days:
        yield f"{columns} {FOREVER_TABLE} {span} order by seq", after, newest


def _runs(slot: Slot, row: _Row, pack: packs.Pack, start: int) -> Iterator[Chunk | Damage]:
    """Cut a damaged pack into runs of good and of damaged records, in order."""
    at = start
    while at < row.n:
        good = pack.records[at] is not None
        end = at
        while end < row.n and (pack.records[end] is not None) == good:
            end += 1
        if good:
            yield Chunk(*slot, row.base + at, row.appended_us, [record for record in pack.records[at:end] if record is not None])
        else:
            yield Damage(slot, row.base + at, end - at, pack.reason or "")
        at = end
