"""Old days go once every role has read them, from every file; roles that start again, or anew, go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from flows.engine.settings import EngineSettings
from flows.roles.dispatcher import DispatcherSettings, build_dispatcher
from flows.roles.engine import build_engine, open_store
from flows.roles.projector import build_projector
from flows.roles.retention import DAY_US, Days, Retention, Telling, readers_of, told_positions
from infra.dispatch_store import DispatchFile
from infra.embedded_log import IngressLog
from infra.log_ends import log_ends
from infra.log_tables import Registered
from schemas.ports import Append, Slot
from schemas.topics import DEAD_LETTERS, INGRESS_FILE, dispatcher_file, engine_file
from sinks.calls import InlineCalls
from sinks.projection.projector import ProjectorSettings
from sinks.projection.query_socket import FILE
from sinks.projection.views_file import ViewsFile

NOW_US = 1_780_000_000_000_000
EVENTS = "crm.events"


class HandClock:
    """A clock that is set by hand."""

    us = NOW_US

    def now_us(self) -> int:
        return self.us

    def sleep_us(self, us: int) -> None:
        self.us += us


def _work_off(home: Path, clock: HandClock) -> None:
    """Let every role read what is there, once, from where it was."""
    engine = build_engine(home, EngineSettings(), clock=clock)
    while engine.step() is not None:
        pass
    engine.close()
    dispatcher = build_dispatcher(home, DispatcherSettings(clock=clock), InlineCalls())
    while not dispatcher.idle:
        dispatcher.step()
    dispatcher.close()


def _project(home: Path, clock: HandClock) -> int:
    views = ViewsFile(home / FILE)
    projector = build_projector(home, views, ProjectorSettings(), clock)
    shown = sum(iter(projector.step, 0))
    Telling(home, clock).tick(projector.positions)
    views.close()
    return shown


def _drop(home: Path, ingress: IngressLog, clock: HandClock) -> list[int]:
    """Give how many days each file dropped."""
    store, dispatched = open_store(home), DispatchFile(home / dispatcher_file(0))
    logs: dict[str, Days] = {INGRESS_FILE: ingress, engine_file(0): store, dispatcher_file(0): dispatched}
    gone = [len(Retention(home, file, log, 7, clock).tick()) for file, log in logs.items()]
    store.close()
    dispatched.close()
    return gone


def _firsts(home: Path) -> dict[str, int]:
    files = (INGRESS_FILE, engine_file(0), dispatcher_file(0))
    return {end.topic: end.first for file in files for end in log_ends(home / file) if end.next}


def test_days_go_from_every_file_when_all_have_read_them_and_not_before(tmp_path: Path) -> None:
    clock = HandClock()
    ingress = IngressLog(tmp_path / INGRESS_FILE)
    for day in range(3):
        clock.us = NOW_US + day * DAY_US
        bad = json.dumps({"id": str(day), "tenant": "acme"}).encode()  # becomes a dead letter of the engine
        ingress.append([Append(EVENTS, 0, [bad, bad])], clock.us)
        _work_off(tmp_path, clock)
    clock.us = NOW_US + 30 * DAY_US
    assert _drop(tmp_path, ingress, clock) == [0, 0, 0]  # the projector never ran
    assert _project(tmp_path, clock) == 6 + 6
    ingress.append([Append(EVENTS, 0, [b"{}"])], clock.us)
    assert _drop(tmp_path, ingress, clock) == [3, 3, 0]
    assert _firsts(tmp_path) == {EVENTS: 6, DEAD_LETTERS: 6}

    _work_off(tmp_path, clock)
    assert _project(tmp_path, clock) == 1 + 1
    (tmp_path / FILE).unlink()
    assert _project(tmp_path, clock) == 1 + 1  # views made anew show what is left
    assert told_positions(tmp_path)
    ingress.close()


def test_each_role_holds_back_every_topic_that_it_reads(tmp_path: Path) -> None:
    """What the engine has not read of what is said to it must not go, nor withdrawals that the dispatcher has not read."""
    said = {name: Slot(INGRESS_FILE, name, 0) for name in ("crm.events", "control", "decisions", "commands")}
    ingress = {one.name: one for one in readers_of(tmp_path, INGRESS_FILE)}
    assert all(ingress["engine"].reads(slot) for slot in said.values())
    assert [name for name, slot in said.items() if ingress["dispatcher"].reads(slot)] == ["commands"]
    own = {name: Slot(engine_file(0), name, 0) for name in ("actions.http", "cancels", "approvals.events", "history", "late")}
    engine = {one.name: one for one in readers_of(tmp_path, engine_file(0))}
    assert [name for name, slot in own.items() if engine["dispatcher"].reads(slot)] == ["actions.http", "cancels"]
    assert [name for name, slot in own.items() if engine["engine"].reads(slot)] == ["approvals.events"]
    assert engine["projector"].reads(own["late"])


class _Large:
    """A log of which one day takes ten pieces to free, each of 5 ms."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.left = 0
        self.freed_us: list[int] = []

    def drop_before(self, day: int, readers: Sequence[Registered]) -> list[int]:
        self.left = 10
        return [day]

    def free_dropped(self) -> bool:
        if self.left:
            self.freed_us.append(self.clock.us)
            self.clock.us += 5_000
            self.left -= 1
        return self.left > 0


def test_freeing_a_large_day_leaves_nine_tenths_of_the_time_to_commits(tmp_path: Path) -> None:
    clock = HandClock()
    log = _Large(clock)
    retention = Retention(tmp_path, INGRESS_FILE, log, 7, clock)
    for _ in range(2_000):
        retention.tick()
        clock.us += 1_000
    assert log.left == 0
    assert all(later - earlier >= 50_000 for earlier, later in pairwise(log.freed_us))
    assert log.freed_us[-1] - log.freed_us[0] < 600_000
