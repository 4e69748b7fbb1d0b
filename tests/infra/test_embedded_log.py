import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from infra import log_tables
from infra.embedded_log import FileReader, IngressLog, last_seq
from infra.file_reader import POLL_BYTES
from infra.log_tables import PIECE_BYTES, Registered
from infra.sqlite import PAGE_BYTES, close, open_reader, open_writer, value
from schemas.errors import Fatal, StateTooNew, StorageFailed
from schemas.ports import Append, Chunk, Damage, Slot

DAY_US = 86_400_000_000
NOW_US = 20_000 * DAY_US  # 2024-10-04
CRM, CONTROL = Slot("ingress.db", "crm.events", 0), Slot("ingress.db", "control", 0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IngressLog]:
    log = IngressLog(tmp_path / "ingress.db")
    yield log
    log.close()


def everything(topic: str) -> bool:
    return True


def read(reader: FileReader, limit: int = 100) -> list[tuple[str, int, bytes]]:
    """Read to the end; give (topic, position, record)."""
    taken: list[tuple[str, int, bytes]] = []
    while chunks := reader.poll(limit):
        taken += [(chunk.topic, chunk.base + at, record) for chunk in chunks for at, record in enumerate(chunk.records)]
    return taken


def append(log: IngressLog, *records: bytes, topic: str = "crm.events", day: int = 0) -> int:
    return log.append([Append(topic, 0, records)], NOW_US + day * DAY_US)[0]


def test_positions_are_dense_and_the_order_is_that_of_the_file(log: IngressLog) -> None:
    assert log.append(
        [Append("crm.events", 0, [b"a", b"b"]), Append("control", 0, [b"c"]), Append("crm.events", 0, [b"d"])], NOW_US
    ) == [
        0,
        0,
        2,
    ]
    assert append(log, b"e") == 3
    reader = FileReader(log.path, everything, {})
    assert read(reader) == [
        ("crm.events", 0, b"a"),
        ("crm.events", 1, b"b"),
        ("control", 0, b"c"),
        ("crm.events", 2, b"d"),
        ("crm.events", 3, b"e"),
    ]
    assert reader.place() == last_seq(log.path) == 4
    assert reader.at_end()


def test_a_reader_waits_for_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    reader = FileReader(tmp_path / "ingress.db", everything, {})
    assert reader.poll(10) == []
    assert reader.at_end()
    assert last_seq(tmp_path / "ingress.db") == 0
    log = IngressLog(tmp_path / "ingress.db")
    assert reader.poll(10) == []
    append(log, b"a")
    assert not reader.at_end()
    assert reader.poll(10) == [Chunk("ingress.db", "crm.events", 0, 0, NOW_US, [b"a"])]
    log.close()
    log = IngressLog(tmp_path / "ingress.db")
    append(log, b"b")
    assert read(reader) == [("crm.events", 1, b"b")]
    log.close()


def test_a_reader_of_some_topics_and_partitions_sees_only_those_and_new_ones_of_them(log: IngressLog) -> None:
    log.append([Append("crm.events", 0, [b"a"]), Append("crm.events", 1, [b"b"]), Append("control", 0, [b"c"])], NOW_US)
    reader = FileReader(log.path, lambda topic: topic.endswith(".events"), {}, partitions={1})
    assert read(reader) == [("crm.events", 0, b"b")]
    log.append([Append("orders.events", 1, [b"d"]), Append("orders.events", 2, [b"e"])], NOW_US)
    assert read(reader) == [("orders.events", 0, b"d")]
    assert reader.place() == last_seq(log.path)


def test_retention_drops_days_that_every_reader_has_read_and_never_control(log: IngressLog) -> None:
    append(log, b"old")
    append(log, b"setting", topic="control")
    append(log, b"new", day=1)
    append(log, b"newer", day=2)
    slow = Registered("engine-0", everything, {CRM: 0})
    fast = Registered("projector", everything, {CRM: 3, CONTROL: 1})
    assert log.drop_before(99999999, [slow, fast]) == []
    assert log.drop_before(99999999, [fast, Registered("engine-0", everything, {CRM: 2})]) == [20241004, 20241005]
    assert read(FileReader(log.path, everything, {CRM: 2})) == [("control", 0, b"setting"), ("crm.events", 2, b"newer")]
    assert append(log, b"newest", day=2) == 3
    with pytest.raises(Fatal, match=r"crm.events/0 begins at position 2, wanted 1: .*millrace doctor"):
        FileReader(log.path, everything, {CRM: 1}).poll(1)
    with pytest.raises(Fatal, match="begins at position 2, wanted 0"):
        FileReader(log.path, everything, {}).poll(1)
    assert [at for _, at, _ in read(FileReader(log.path, lambda topic: topic != "control", {}, from_first=True))] == [2, 3]


def test_when_all_days_are_gone_the_counters_go_on(log: IngressLog) -> None:
    append(log, b"a", b"b")
    assert log.drop_before(20241005, []) == [20241004]
    reader = FileReader(log.path, everything, {CRM: 2})
    assert reader.poll(1) == []
    assert append(log, b"c") == 2
    assert read(reader) == [("crm.events", 2, b"c")]
    assert last_seq(log.path) == 2


def _free_pages(log: IngressLog) -> int:
    connection = open_reader(log.path)
    try:
        return int(value(connection, "pragma freelist_count"))
    finally:
        close(connection)


def test_what_dropped_days_took_is_freed_piece_by_piece_also_after_a_restart(log: IngressLog) -> None:
    for number in range(3):
        append(log, *[bytes([number]) * (PIECE_BYTES // 8)] * 8)
    append(log, b"new", day=1)
    assert log.drop_before(20241005, []) == [20241004]
    freed = [_free_pages(log)]
    assert log.free_dropped()
    freed.append(_free_pages(log))
    log.close()
    log = IngressLog(log.path)
    append(log, b"a day of the same name", day=0)
    while log.free_dropped():
        freed.append(_free_pages(log))
        assert [record for _, _, record in read(FileReader(log.path, everything, {CRM: 24}))] == [
            b"new",
            b"a day of the same name",
        ]
    steps = [after - before for before, after in pairwise(freed)]
    assert len(steps) >= 3
    assert max(steps) * PAGE_BYTES < 2 * PIECE_BYTES  # bounded: the rest of the day waits
    assert sum(steps) * PAGE_BYTES > 2 * PIECE_BYTES
    append(log, *[b"x" * (PIECE_BYTES // 8)] * 8, day=1)
    assert _free_pages(log) * PAGE_BYTES <= freed[-1] * PAGE_BYTES - PIECE_BYTES  # what was freed is used again
    log.close()


def test_a_clock_that_steps_back_does_not_turn_the_order_around(log: IngressLog) -> None:
    append(log, b"a", day=3)
    append(log, b"b", day=1)
    append(log, b"c", day=4)
    assert [record for _, _, record in read(FileReader(log.path, everything, {}))] == [b"a", b"b", b"c"]


def test_positions_ahead_of_the_log_stop_the_reader(log: IngressLog) -> None:
    append(log, b"a")
    with pytest.raises(Fatal, match=r"crm.events/0 ends at position 1, wanted 2: the log is older than its reader"):
        FileReader(log.path, everything, {CRM: 2}).poll(1)
    with pytest.raises(Fatal, match=r"deals.events/0 ends at position 0, wanted 5"):
        FileReader(log.path, everything, {Slot("ingress.db", "deals.events", 0): 5}).poll(1)


def test_damage_is_reported_and_passed_over(log: IngressLog) -> None:
    append(log, b"first", b"second", b"third")
    append(log, b"fourth")
    log.close()
    connection = open_writer(log.path)
    table = log_tables.day_table(20241004)
    pack = bytearray(connection.execute(f"select pack from {table} where seq = 1").get)
    pack[pack.index(b"second")] ^= 1
    connection.execute(f"update {table} set pack = ? where seq = 1", (bytes(pack),))
    connection.execute(f"update {table} set pack = x'00' where seq = 2")
    connection.close()
    reader = FileReader(log.path, everything, {})
    assert read(reader) == [("crm.events", 0, b"first"), ("crm.events", 2, b"third")]
    assert reader.take_damaged() == [
        Damage(CRM, 1, 1, "the record fails its checksum"),
        Damage(CRM, 3, 1, "the pack is 1 bytes long, too short for 1 records"),
    ]
    assert reader.take_damaged() == []
    assert reader.positions() == {CRM: 4}


def test_large_appends_are_cut_into_packs_that_read_as_one(log: IngressLog) -> None:
    records = [b"%d" % n for n in range(10_000)]
    log.append([Append("crm.events", 0, records)], NOW_US)
    log.append([Append("crm.events", 0, [b"x" * (5 << 20), b"y" * (5 << 20)])], NOW_US)
    assert last_seq(log.path) == 3 + 2
    taken = read(FileReader(log.path, everything, {}), limit=777)
    assert [record for _, _, record in taken[:10_000]] == records
    assert [(at, len(record)) for _, at, record in taken[10_000:]] == [(10_000, 5 << 20), (10_001, 5 << 20)]


def test_a_poll_of_large_records_is_bounded_in_bytes(log: IngressLog) -> None:
    size = 8 << 20
    for _ in range(6):
        log.append([Append("crm.events", 0, [b"x" * size])], NOW_US)
    reader = FileReader(log.path, everything, {})
    polls = [sum(len(chunk.records) for chunk in reader.poll(100)) for _ in range(3)]
    assert polls == [POLL_BYTES // size, 6 - POLL_BYTES // size, 0]
    assert reader.at_end()


def test_the_partitions_and_the_incarnation_of_a_log_stay(tmp_path: Path) -> None:
    log = IngressLog(tmp_path / "ingress.db", partitions=4)
    log.close()
    again = IngressLog(tmp_path / "ingress.db", partitions=8)
    assert (again.partitions, again.incarnation) == (4, log.incarnation)
    again.close()


def test_a_file_of_a_newer_format_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    IngressLog(tmp_path / "ingress.db").close()
    connection = open_writer(tmp_path / "ingress.db")
    connection.execute("update meta set value = '7' where key = 'format'")
    with pytest.raises(StateTooNew, match="written in format 7, this version of Millrace reads up to 1"):
        IngressLog(tmp_path / "ingress.db")
    connection.execute("update meta set value = 'engine' where key = 'kind'")
    with pytest.raises(StorageFailed, match="kind 'engine', wanted 'log'"):
        IngressLog(tmp_path / "ingress.db")
    connection.close()
    (tmp_path / "other.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StorageFailed, match="not a SQLite file"):
        IngressLog(tmp_path / "other.db")


WRITER = """
import sys
from pathlib import Path
from infra.embedded_log import IngressLog
from schemas.ports import Append
log = IngressLog(Path(sys.argv[1]))
for n in range(1_000_000):
    records = [b"%d-%d" % (n, k) for k in range(50)]
    bases = log.append([Append("crm.events", p, records) for p in range(4)], 20_000 * 86_400_000_000 + n)
    print(bases[0] + 50, flush=True)
"""


def test_what_a_killed_writer_was_told_is_durable_is_in_the_log_and_batches_are_whole(tmp_path: Path) -> None:
    reader = FileReader(tmp_path / "ingress.db", everything, {})
    ends = dict.fromkeys(range(4), 0)
    for after in (3, 17, 40):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "ingress.db")], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(after)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
        writer.wait()
        writer.stdout.close()
        while chunks := reader.poll(1000):
            for chunk in chunks:
                assert chunk.base == ends[chunk.partition]
                ends[chunk.partition] = chunk.end
        assert len(set(ends.values())) == 1
        assert told[-1] <= ends[0] <= told[-1] + 50
    reader.close()


def test_a_closed_reader_goes_on_where_it_left_off(log: IngressLog) -> None:
    append(log, b"a", b"b", b"c")
    append(log, b"d")
    reader = FileReader(log.path, everything, {})
    assert [chunk.records for chunk in reader.poll(2)] == [[b"a", b"b"]]
    assert reader.place() == 0
    reader.close()
    assert [chunk.records for chunk in reader.poll(10)] == [[b"c"], [b"d"]]
    assert reader.place() == 2
    reader.close()
