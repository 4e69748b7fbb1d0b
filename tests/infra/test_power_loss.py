import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.dispatch_store import DispatchFile
from infra.embedded_log import FileReader, IngressLog
from infra.faults import FaultyDisk
from infra.state_store import SqliteStateStore
from schemas.errors import BrokenInvariant, StorageFailed
from schemas.ports import Append, NewExecution, Slot, Timer, TurnCommit

# SQLite answers a failed switch to WAL with the old mode and swallows the error, which apsw then reports as unraisable
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
NOW_US = 1_700_000_000_000_000
SLOT = Slot("ingress.db", "crm.events", 0)
_names = map("disk-{}".format, itertools.count())


def new_disk(seed: int) -> FaultyDisk:
    return FaultyDisk(next(_names), seed)


def turn(number: int) -> TurnCommit:
    rows = range(number * 10, number * 10 + 5)
    return TurnCommit(
        turn=number,
        now_us=NOW_US + number,
        positions={SLOT: number},
        starts=[NewExecution(row, 0, row.to_bytes(16, "big"), "t", "f", "v", "running", 0, b"s" * 3000) for row in rows],
        timers_set=[Timer(NOW_US + number * 1_000_000, row, 0) for row in rows],
        seen={number: b"k" * 16},
        emitted=[Append("history", 0, [b"%d" % number] * 3)],
    )


def holds_whole_turns(path: Path, disk: FaultyDisk) -> int:
    """Open the store, check that every turn in it is whole, and give the last one."""
    store = SqliteStateStore(path, vfs=disk.name)
    reader = FileReader(path, lambda topic: True, {}, vfs=disk.name)
    try:
        last = store.meta().turn
        assert len(store.load(range(1, 100))) == 5 * last == len(store.due(1 << 60, 100))
        assert store.meta().positions == ({SLOT: last} if last else {})
        assert len(list(store.seen_since(0))) == last
        assert sum(len(chunk.records) for chunk in reader.poll(100)) == 3 * last
        return last
    finally:
        reader.close()
        store.close()


def run(path: Path, disk: FaultyDisk, last: int) -> int:
    """Open, commit turns up to `last` and close; give the last turn that was promised to be durable."""
    promised = 0
    store = None
    try:
        store = SqliteStateStore(path, vfs=disk.name)
        for number in range(store.meta().turn + 1, last + 1):
            store.commit(turn(number))
            promised = number
    except StorageFailed:
        pass
    finally:
        if store is not None:
            store.close()
    return promised


@pytest.mark.slow
def test_power_lost_at_any_operation_from_the_making_of_the_file_on_leaves_whole_turns(tmp_path: Path) -> None:
    calm = new_disk(0)
    run(tmp_path / "calm.db", calm, 2)
    outcomes = set()
    seeds = range(4)  # so many that a commit is also found whole which nobody was promised
    for operation, seed in itertools.product(range(1, calm.operations + 1), seeds):
        disk = new_disk(operation * 2 + seed)
        path = tmp_path / f"{operation}-{seed}.db"
        disk.crash_at = operation
        promised = run(path, disk, 2)
        assert disk.off
        disk.power_cycle()
        last = holds_whole_turns(path, disk)
        assert last >= promised
        outcomes.add((promised, last))
        assert run(path, disk, 3) == 3
    assert {(0, 0), (1, 1), (2, 2)} < outcomes <= {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}


def test_a_second_loss_of_power_while_recovering_does_no_more_harm(tmp_path: Path) -> None:
    for seed in range(40):
        disk = new_disk(seed)
        path = tmp_path / f"{seed}.db"
        promised = run(path, disk, 1)
        for after in (7 + seed, 3 + seed % 5, 1 + seed % 11):
            disk.crash_at = disk.operations + after
            promised = max(promised, run(path, disk, 4))
            disk.power_cycle()
        assert promised <= holds_whole_turns(path, disk) <= promised + 1


def test_a_full_disk_stops_the_engine_and_loses_nothing(tmp_path: Path) -> None:
    disk = new_disk(1)
    path = tmp_path / "engine-0.db"
    store = SqliteStateStore(path, vfs=disk.name)
    store.commit(turn(1))
    disk.full = True
    with pytest.raises(StorageFailed, match="the disk is full"):
        for number in range(2, 100):
            store.commit(turn(number))
    with pytest.raises(BrokenInvariant, match="a commit failed"):
        store.commit(turn(99))
    store.close()
    disk.full = False
    last = holds_whole_turns(path, disk)
    assert run(path, disk, last + 1) == last + 1


def test_a_disk_that_fails_once_at_any_operation_of_a_commit_leaves_whole_turns(tmp_path: Path) -> None:
    def operations(act: Callable[[SqliteStateStore], None]) -> int:
        disk = new_disk(0)
        store = SqliteStateStore(tmp_path / "calm.db", vfs=disk.name)
        store.commit(turn(1))
        before = disk.operations
        act(store)
        store.close()
        return disk.operations - before

    for operation in range(1, operations(lambda store: store.commit(turn(2)))):
        disk = new_disk(operation)
        path = tmp_path / f"{operation}.db"
        store = SqliteStateStore(path, vfs=disk.name)
        store.commit(turn(1))
        disk.fail_at = disk.operations + operation
        promised = 1
        try:
            store.commit(turn(2))
            promised = 2
        except StorageFailed:
            pass
        store.close()
        assert holds_whole_turns(path, disk) >= promised


def test_an_ingress_log_keeps_every_batch_that_it_promised(tmp_path: Path) -> None:
    for seed in range(30):
        disk = new_disk(seed)
        path = tmp_path / f"{seed}.db"
        log = IngressLog(path, vfs=disk.name)
        disk.crash_at = disk.operations + 5 + 3 * seed
        promised = 0
        with pytest.raises(StorageFailed):
            while True:
                promised = log.append([Append("crm.events", p, [b"a", b"b"]) for p in range(3)], NOW_US)[0] + 2
        log.close()
        disk.power_cycle()
        reader = FileReader(path, lambda topic: True, {}, vfs=disk.name)
        taken = [sum(len(chunk.records) for chunk in reader.poll(1000) if chunk.partition == p) for p in range(1)]
        reader.close()
        assert promised <= taken[0] <= promised + 2


OPENERS: dict[str, Callable[[Path, str], Any]] = {
    "engine": lambda path, vfs: SqliteStateStore(path, vfs=vfs),
    "dispatcher": lambda path, vfs: DispatchFile(path, vfs=vfs),
    "ingress": lambda path, vfs: IngressLog(path, partitions=4, vfs=vfs),
}


@pytest.mark.parametrize("kind", sorted(OPENERS))
@pytest.mark.parametrize("fault", ["crash_at", "fail_at"])
def test_whatever_fails_while_a_file_is_opened_is_told_in_our_words(tmp_path: Path, kind: str, fault: str) -> None:
    failed = 0
    for operation in itertools.count(1):
        disk = new_disk(operation)
        setattr(disk, fault, operation)
        path = tmp_path / f"{operation}.db"
        for _ in range(2):  # what was half made is opened again
            try:
                OPENERS[kind](path, disk.name).close()
            except StorageFailed:
                failed += 1
            if disk.off:
                disk.power_cycle()
        if disk.operations < operation:
            break
    assert failed > 5


def test_power_does_not_come_back_under_open_files(tmp_path: Path) -> None:
    disk = new_disk(1)
    store = SqliteStateStore(tmp_path / "engine-0.db", vfs=disk.name)
    with pytest.raises(BrokenInvariant, match="close every store"):
        disk.power_cycle()
    store.close()
    disk.power_cycle()


def kill(log: IngressLog, disk: FaultyDisk) -> None:
    """End a writer as kill -9 does: nothing more of it reaches the disk."""
    disk.off = True
    log.close()
    disk.off = False


def all_of(path: Path, disk: FaultyDisk, position: int) -> int:
    """Read from a position on; give the next one."""
    reader = FileReader(path, lambda topic: True, {SLOT: position}, vfs=disk.name)
    try:
        while reader.poll(100):
            pass
        return reader.positions()[SLOT]
    finally:
        reader.close()


@pytest.mark.parametrize("heir", ["reader", "writer"])
def test_what_was_read_after_a_writer_died_in_a_commit_survives_a_loss_of_power(tmp_path: Path, heir: str) -> None:
    """A commit whose sync failed is in the WAL; whoever opens the file next finds it there, synced or not."""
    batch = [Append(SLOT.topic, SLOT.partition, [b"x" * 100])]
    unpromised = 0
    for operation, seed in itertools.product(range(1, 10), range(8)):
        disk = new_disk(operation * 10 + seed)
        path = tmp_path / f"{heir}-{operation}-{seed}" / SLOT.source
        path.parent.mkdir()
        log = IngressLog(path, vfs=disk.name)
        log.append(batch, NOW_US)
        disk.fail_at = disk.operations + operation
        try:
            for _ in range(5):
                log.append(batch, NOW_US)
        except StorageFailed:
            unpromised += 1
        kill(log, disk)
        opened = IngressLog(path, vfs=disk.name) if heir == "writer" else None
        position = all_of(path, disk, 0)
        disk.off = True
        if opened is not None:
            opened.close()
        disk.power_cycle()
        assert all_of(path, disk, position) == position
    assert unpromised > 10
