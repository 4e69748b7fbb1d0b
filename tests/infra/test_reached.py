"""How far executions have worked on inputs that the positions are not behind yet: in the file, with each part of a turn."""

from __future__ import annotations

from pathlib import Path

from infra.sqlite import open_writer
from infra.state_store import SqliteStateStore
from schemas.ports import Slot, Stretch, TurnCommit

EVENTS = Slot("ingress.db", "shop.events", 3)
ORDERS = Slot("ingress.db", "commands", 0)


def test_the_marks_of_a_turn_stay_until_they_are_said_anew(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    some, others, more = Stretch(EVENTS, 3, 7), Stretch(EVENTS, 9, 10), Stretch(ORDERS, 0, 2)
    assert store.reached() == []
    store.commit(TurnCommit(turn=1, now_us=1, positions={}, reached=[some, others, more]))
    store.commit(TurnCommit(turn=2, now_us=2, positions={}))
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert sorted(store.reached()) == sorted([some, others, more])
    store.commit(TurnCommit(turn=3, now_us=3, positions={EVENTS: 9}, reached=[more]))
    assert store.reached() == [more]
    store.commit(TurnCommit(turn=4, now_us=4, positions={ORDERS: 2}, reached=[]))
    assert store.reached() == []
    store.close()


def test_a_file_of_an_older_version_learns_the_stretches(tmp_path: Path) -> None:
    SqliteStateStore(tmp_path / "engine-0.db").close()
    connection = open_writer(tmp_path / "engine-0.db")
    connection.execute("drop table stretches")
    connection.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.reached() == []
    store.commit(TurnCommit(turn=1, now_us=1, positions={}, reached=[Stretch(EVENTS, 3, 7)]))
    assert store.reached() == [Stretch(EVENTS, 3, 7)]
    store.close()


def test_events_that_met_some_of_their_waits_stay_until_they_are_said_anew(tmp_path: Path) -> None:
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.met() == {}
    store.commit(TurnCommit(turn=1, now_us=1, positions={}, met={b"key": "acme"}))
    store.commit(TurnCommit(turn=2, now_us=2, positions={}))
    store.close()
    store = SqliteStateStore(tmp_path / "engine-0.db")
    assert store.met() == {b"key": "acme"}
    store.commit(TurnCommit(turn=3, now_us=3, positions={}, met={}))
    assert store.met() == {}
    store.close()
