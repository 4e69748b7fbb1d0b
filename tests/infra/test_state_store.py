import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra import positions
from infra.embedded_log import FileReader
from infra.executions import Filter, count_by_status, list_executions, show_execution
from infra.file_meta import FORMATS, OLDEST
from infra.seen import SeenWindow
from infra.sqlite import open_writer
from infra.state_store import SqliteStateStore
from schemas.errors import BrokenInvariant, Fatal, StateTooNew, StorageFailed
from schemas.ports import Append, ChangedExecution, NewExecution, Remembered, Slot, StoredExecution, Timer, TurnCommit, Wait

NOW_US = 1_700_000_000_000_000
SLOT = Slot("ingress.db", "crm.events", 3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStateStore]:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    yield store
    store.close()


def new(row: int, status: str = "running", tenant: str = "acme") -> NewExecution:
    state = None if status == "completed" else b"state %d" % row
    return NewExecution(row, row % 64, row.to_bytes(16, "big"), tenant, "onboarding", "v1", status, NOW_US, state)


def turn(number: int) -> TurnCommit:
    return TurnCommit(turn=number, now_us=NOW_US + number, positions={SLOT: 10 * number})


def test_a_turn_is_there_after_opening_again(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.meta().turn == 0
    starts = (new(1), new(2, "completed"))
    emitted = (Append("actions.http", 3, [b"do"]), Append("history", 3, [b"did", b"done"]))
    first = replace(turn(1), starts=starts, emitted=emitted, programs=(("v1", b"program"),), open_actions=1, seen={3: b"k" * 16})
    store.commit(first)
    store.commit(replace(turn(2), changes=(ChangedExecution(1, "waiting", b"later"),), timers_set=(Timer(NOW_US + 5, 1, 0),)))
    before = store.meta()
    store.close()

    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.meta() == replace(before, epoch=before.epoch + 1)
    assert (before.turn, before.now_us, before.next_row, before.open_actions) == (2, NOW_US + 2, 3, 1)
    assert before.positions == {SLOT: 20} == positions.read_file(tmp_path / "engine-0.db")
    assert store.existing([new(1).id, new(2).id, new(3).id]) == {new(1).id, new(2).id}
    assert store.load([1, 2, 3]) == {1: StoredExecution(1, 1, new(1).id, "acme", "onboarding", "v1", NOW_US, b"later")}
    assert store.program("v1") == b"program"
    assert store.program("v2") is None
    assert list(store.seen_since(NOW_US)) == [(3, NOW_US + 1, b"k" * 16)]
    assert store.due(NOW_US + 5, 10) == [Timer(NOW_US + 5, 1, 0)]
    reader = FileReader(tmp_path / "engine-0.db", lambda topic: topic == "history", {})
    assert [chunk.records for chunk in reader.poll(10)] == [[b"did", b"done"]]
    reader.close()
    store.close()


def test_waits_are_found_by_key_and_deadlines_come_in_order(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    waits = [Wait(-5, 2, 1, retract=True), Wait(7, 1, 0), Wait(7, 3, 2)]
    deadlines = [Timer(NOW_US + 9, 1, 0), Timer(NOW_US + 4, 3, 2)]
    store.commit(replace(turn(1), waits_set=waits[::-1], deadlines_set=deadlines, timers_set=[Timer(NOW_US + 1, 1, 0)]))
    store.commit(replace(turn(2), waits_gone=[waits[2]], deadlines_gone=[deadlines[0]]))
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.waiting({7, 8, -5}) == waits[:2]
    assert store.waiting(range(2_000)) == [waits[1]]
    assert (store.next_deadline_us(), store.next_due_us()) == (NOW_US + 4, NOW_US + 1)
    assert store.deadlines(NOW_US + 9, 10) == [deadlines[1]]
    store.close()


def test_timers_of_one_token_stand_side_by_side(store: SqliteStateStore) -> None:
    reminders = [Timer(NOW_US + hours * 3_600_000_000, 1, 0) for hours in (4, 4 * 24, 5 * 24)]
    store.commit(replace(turn(1), timers_set=reminders))
    assert store.due(NOW_US << 1, 10) == reminders


@pytest.mark.slow
def test_what_came_before_is_remembered_for_its_time(store: SqliteStateStore) -> None:
    hour_us = 3_600_000_000
    came = [Remembered(7, NOW_US + at * hour_us, at, b"e%d" % at) for at in range(4)]
    store.commit(replace(turn(1), remembered=[*came, Remembered(8, NOW_US, 0, b"other")]))
    assert store.remembered(7, NOW_US + hour_us) == [came[3], came[2], came[1]]
    store.commit(replace(turn(2), remember_since_us=NOW_US + 2 * hour_us))
    assert store.remembered(7, 0) == [came[3], came[2]]
    assert store.remembered(9, 0) == store.remembered(8, 0) == []


def test_live_executions_are_found_by_public_id_and_watches_that_were_discarded_only_where_a_duplicate_asks(
    store: SqliteStateStore,
) -> None:
    called, other = new(2)._replace(parent=1, parent_token=5), new(4)._replace(version="v2")
    store.commit(replace(turn(1), starts=[new(1), called, new(3, "completed"), other], programs=[("v2", b""), ("v1", b"")]))
    found = store.find([new(row).id for row in (2, 3, 9)])
    assert found == {called.id: StoredExecution(2, 2, called.id, "acme", "onboarding", "v1", NOW_US, b"state 2", 1, 5)}
    assert store.versions() == ["v1", "v2"]
    store.commit(replace(turn(2), discarded=[4]))
    assert store.existing([new(4).id, new(3).id], begun=True) == {new(3).id}
    assert store.existing([new(4).id, new(3).id]) == {new(4).id, new(3).id}
    assert not store.load([4])
    assert not store.find([new(4).id])
    assert 4 not in [one.row for one in list_executions(store.path, Filter())]


def test_what_inputs_were_read_up_to_does_not_go_back_and_an_older_file_learns_it(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    for number, past_us in ((1, NOW_US), (2, None), (3, NOW_US - 1)):
        store.commit(replace(turn(number), past_us=past_us))
        assert store.meta().past_us == NOW_US
    store.close()
    connection = open_writer(tmp_path / "engine-0.db")
    connection.execute("alter table engine drop column past_us")
    connection.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.meta().past_us == 0
    store.commit(replace(turn(4), past_us=NOW_US))
    assert store.meta().past_us == NOW_US
    store.close()


def test_a_file_of_a_format_before_the_first_release_says_what_to_do(tmp_path: Path) -> None:
    SqliteStateStore(tmp_path / "engine-0.db").close()
    connection = open_writer(tmp_path / "engine-0.db")
    connection.execute("update meta set value = '1' where key = 'format'")
    connection.close()
    with pytest.raises(StorageFailed, match=rf"written in format 1, .* reads from {OLDEST['engine']} on; start in a fresh home"):
        SqliteStateStore(tmp_path / "engine-0.db")


def test_the_cli_sees_executions_beside_the_running_engine(store: SqliteStateStore) -> None:
    assert list_executions(store.path.with_name("engine-9.db"), Filter()) == []
    store.commit(replace(turn(1), starts=[new(n, "completed" if n % 2 else "waiting", f"t{n % 3}") for n in range(1, 10)]))
    assert [found.row for found in list_executions(store.path, Filter(limit=3))] == [9, 8, 7]
    assert [found.row for found in list_executions(store.path, Filter(tenant="t0", status="completed", before=9))] == [3]
    shown = show_execution(store.path, new(4).id)
    assert shown is not None
    assert (shown.row, shown.status, shown.state) == (4, "waiting", b"state 4")
    assert show_execution(store.path, b"nobody") is None
    assert count_by_status(store.path) == {"completed": 5, "waiting": 4}


def test_an_engine_that_another_took_over_from_can_not_commit(store: SqliteStateStore) -> None:
    store.commit(turn(1))
    other = open_writer(store.path)
    other.execute("update engine set epoch = epoch + 1")
    other.close()
    with pytest.raises(Fatal, match="generation 0 epoch 2 owns the file, this engine is generation 0 epoch 1"):
        store.commit(turn(2))
    with pytest.raises(BrokenInvariant, match="open the file again"):
        store.meta()


def test_turns_follow_each_other_and_so_do_their_times(tmp_path: Path) -> None:
    for wrong in (turn(5), replace(turn(6), now_us=NOW_US)):
        store = SqliteStateStore(tmp_path / "engine-0.db")
        if store.meta().turn < 5:
            store.commit(turn(5))
        with pytest.raises(BrokenInvariant, match="does not follow turn 5"):
            store.commit(wrong)
        store.close()


def test_a_turn_that_breaks_a_key_leaves_nothing_behind(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    store.commit(replace(turn(1), starts=[new(1)]))
    with pytest.raises(BrokenInvariant, match="UNIQUE constraint failed"):
        store.commit(replace(turn(2), starts=[new(2), new(1)], emitted=[Append("history", 0, [b"x"])]))
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert (store.meta().turn, store.meta().next_row, store.existing([new(2).id])) == (1, 2, set())
    assert FileReader(store.path, lambda topic: True, {}).at_end()
    store.close()


def test_the_state_of_a_newer_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    SqliteStateStore(tmp_path / "engine-0.db").close()
    connection = open_writer(tmp_path / "engine-0.db")
    newest = FORMATS["engine"]
    connection.execute(f"update meta set value = '{newest + 1}' where key = 'format'")
    connection.close()
    with pytest.raises(StateTooNew, match=f"written in format {newest + 1}, this version of Millrace reads up to {newest}"):
        SqliteStateStore(tmp_path / "engine-0.db")


def test_another_generation_is_refused(tmp_path: Path) -> None:
    SqliteStateStore(tmp_path / "engine-0.db").close()
    with pytest.raises(Fatal, match="generation 0, wanted 1"):
        SqliteStateStore(tmp_path / "engine-0.db", generation=1)


def test_event_keys_go_when_they_are_too_old_or_too_many(tmp_path: Path) -> None:
    window = SeenWindow(window_us=3_600_000_000, keys_most=5)
    store = SqliteStateStore(tmp_path / "engine-0.db", window=window)
    for number, minute in ((1, 0), (2, 30), (3, 59), (4, 95)):
        store.commit(
            TurnCommit(number, NOW_US + minute * 60_000_000, {}, seen={7: bytes([number]) * 16, 63: bytes([number + 100]) * 16})
        )
    assert [(shard, keys[0]) for shard, _, keys in store.seen_since(0)] == [(7, 3), (63, 103), (7, 4), (63, 104)]
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db", window=window)
    store.commit(TurnCommit(5, NOW_US + 96 * 60_000_000, {}, seen={0: bytes(32)}))
    assert [keys[0] for _, _, keys in store.seen_since(0)] == [103, 4, 104, 0]
    store.close()


ENGINE = """
import sys
from pathlib import Path
from infra.state_store import SqliteStateStore
from schemas.ports import Append, NewExecution, Slot, Timer, TurnCommit
store = SqliteStateStore(Path(sys.argv[1]))
for n in range(store.meta().turn + 1, 1_000_000):
    rows = range(n * 20, n * 20 + 20)
    store.commit(TurnCommit(
        turn=n, now_us=n, positions={Slot("ingress.db", "crm.events", 0): n},
        starts=[NewExecution(row, 0, row.to_bytes(16, "big"), "t", "f", "v", "running", 0, b"s" * 300) for row in rows],
        timers_set=[Timer(row, row, 0) for row in rows], emitted=[Append("history", 0, [b"h"] * 20)]))
    print(n, flush=True)
"""


def test_an_engine_killed_at_any_moment_leaves_whole_turns_and_all_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "engine-0.db"
    for after in (2, 13, 30):
        engine = subprocess.Popen([sys.executable, "-c", ENGINE, str(path)], stdout=subprocess.PIPE)
        assert engine.stdout is not None
        told = [int(engine.stdout.readline()) for _ in range(after)]
        os.kill(engine.pid, signal.SIGKILL)
        told += [int(line) for line in engine.stdout.read().split(b"\n")[:-1]]
        engine.wait()
        engine.stdout.close()
        store = SqliteStateStore(path)
        last = store.meta().turn
        assert told[-1] <= last <= told[-1] + 1
        assert store.meta().positions == {Slot("ingress.db", "crm.events", 0): last}
        assert len(store.load(range(20, last * 20 + 40))) == len(store.due(1 << 60, 100_000)) == 20 * last
        reader = FileReader(path, lambda topic: True, {})
        assert sum(len(chunk.records) for chunk in reader.poll(100_000)) == 20 * last
        reader.close()
        store.close()
