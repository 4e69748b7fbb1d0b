"""Laws of the embedded log: cuts, restarts, filters and day tables do not show; damage stays where it is."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from infra import log_tables, packs
from infra.embedded_log import FileReader, IngressLog
from infra.log_tables import Registered
from infra.sqlite import open_writer, transaction
from schemas.ports import Append, Slot
from tests.examples import examples

DAY_US = 86_400_000_000
TOPICS = ("control", "crm.events", "orders.events")
Entry = tuple[Slot, int, bytes]

records = st.lists(st.binary(max_size=40), max_size=6)
items = st.builds(Append, st.sampled_from(TOPICS), st.integers(0, 2), records)
batches = st.lists(st.tuples(st.integers(0, 3), st.lists(items, max_size=5)), max_size=8)  # (day, batch)
limits = st.lists(st.integers(1, 9), min_size=1)


def everything(topic: str) -> bool:
    return True


def write(folder: str, days: list[tuple[int, list[Append]]]) -> tuple[Path, list[Entry]]:
    """Write the batches; give the file and what is in it, from their own words."""
    log = IngressLog(Path(folder) / "ingress.db")
    written: list[Entry] = []
    for day, batch in days:
        bases = log.append(batch, (20_000 + day) * DAY_US)
        for base, item in zip(bases, batch, strict=True):
            slot = Slot("ingress.db", item.topic, item.partition)
            written += [(slot, base + at, record) for at, record in enumerate(item.records)]
    log.close()
    return log.path, written


def take(reader: FileReader, cuts: list[int], most: int | None = None) -> list[Entry]:
    """Poll with changing limits, to the end or for so many polls."""
    taken: list[Entry] = []
    for turn in range(most if most is not None else 1 << 30):
        chunks = reader.poll(cuts[turn % len(cuts)])
        assert sum(len(chunk.records) for chunk in chunks) <= cuts[turn % len(cuts)]
        if not chunks:
            break
        taken += [(chunk.slot, chunk.base + at, record) for chunk in chunks for at, record in enumerate(chunk.records)]
    return taken


@settings(max_examples=examples(40), deadline=None)
@given(batches, limits)
def test_what_was_written_is_read_in_its_order_however_it_is_cut(days: list[tuple[int, list[Append]]], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, written = write(folder, days)
        reader = FileReader(path, everything, {})
        assert take(reader, cuts) == written
        assert reader.at_end()
        assert reader.place() == log_tables.last_seq(path)
        reader.close()


@settings(max_examples=examples(40), deadline=None)
@given(batches, limits, st.integers(0, 12))
def test_a_restart_from_stored_positions_does_not_show(days: list[tuple[int, list[Append]]], cuts: list[int], polls: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, written = write(folder, days)
        first = FileReader(path, everything, {})
        taken = take(first, cuts, polls)
        first.close()
        second = FileReader(path, everything, first.positions())
        assert taken + take(second, cuts) == written
        second.close()


@settings(max_examples=examples(40), deadline=None)
@given(batches, limits, st.sets(st.sampled_from(TOPICS)), st.none() | st.sets(st.integers(0, 2)))
def test_a_filter_takes_records_away_and_changes_nothing_else(
    days: list[tuple[int, list[Append]]], cuts: list[int], topics: set[str], partitions: set[int] | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, written = write(folder, days)
        reader = FileReader(path, topics.__contains__, {}, partitions=partitions)
        wanted = [
            entry for entry in written if entry[0].topic in topics and (partitions is None or entry[0].partition in partitions)
        ]
        assert take(reader, cuts) == wanted
        reader.close()


@settings(max_examples=examples(40), deadline=None)
@given(batches, limits, st.integers(0, 12), st.integers(0, 4))
def test_retention_never_takes_what_a_registered_reader_has_not_read(
    days: list[tuple[int, list[Append]]], cuts: list[int], polls: int, day: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, written = write(folder, days)
        reader = FileReader(path, everything, {})
        taken = take(reader, cuts, polls)
        log = IngressLog(path)
        before = log_tables.day_of((20_000 + day) * DAY_US)
        dropped = log.drop_before(before, [Registered("engine-0", everything, reader.positions())])
        assert all(gone < before for gone in dropped)
        reader.close()
        again = FileReader(path, everything, reader.positions())
        assert taken + take(again, cuts) == written
        again.close()
        log.close()


@settings(max_examples=examples(40), deadline=None)
@given(batches, batches)
def test_reading_while_writing_shows_whole_batches_once(
    before: list[tuple[int, list[Append]]], after: list[tuple[int, list[Append]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reader = FileReader(Path(folder) / "ingress.db", everything, {})
        _, first = write(folder, before)
        assert take(reader, [1000]) == first
        _, second = write(folder, after)
        assert take(reader, [3]) == second
        reader.close()


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=20), st.data())
def test_damage_takes_only_the_records_it_touches_and_every_one_is_accounted_for(some: list[bytes], data: st.DataObject) -> None:
    whole = packs.encode(some)
    start = len(whole) - sum(map(len, some))
    at = data.draw(st.integers(start, len(whole) - 1))
    broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path, written = write(folder, [(0, [Append("crm.events", 0, some)])])
        with_writer(path, lambda table: (f"update {table} set pack = ?", (broken,)))
        reader = FileReader(path, everything, {})
        taken = take(reader, [7])
        [damage] = reader.take_damaged()
        reader.close()
    assert damage.count == 1
    assert taken == [entry for entry in written if entry[1] != damage.base]
    end = start
    for record in some[: damage.base + 1]:
        begin, end = end, end + len(record)
    assert begin <= at < end


def with_writer(path: Path, statement: Callable[[str], tuple[str, tuple[bytes]]]) -> None:
    connection = open_writer(path)
    with transaction(connection):
        connection.execute(*statement(log_tables.day_table(log_tables.day_of(20_000 * DAY_US))))
    connection.close()
