"""Shares of a turn between tenants, over the engine's real files: nothing is lost, doubled or overtaken within a tenant.

Wherever the engine is killed: it reads again what waited for its share, and nothing that was worked on.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.engine import sharing, slices
from flows.engine.engine import Stopped
from flows.language.definitions import Source, check_sources, control_records
from infra.sqlite import open_reader, rows
from schemas.avro.schema import avro_schema
from schemas.ports import Append
from schemas.records import encode
from schemas.topics import CONTROL, LATE, partition_of
from tests.examples import examples
from tests.simulation.business import MINUTE_US, START_US, stamp
from tests.simulation.files import read_home, records_of
from tests.simulation.machine import ENGINE_FILE, ROLES, Disk, Machine, Options
from tests.simulation.outside import Receivers
from tests.simulation.run import MEMORY, Story
from tests.simulation.scenario import Scenario

PARTITIONS: Final = 2
FLOWS: Final = """
event: job.made
fields: {job: {id: string}}
---
flow: worker
trigger: {event: job.made}
steps: [{action: work, with: {id: "{{ job.id }}"}}, {delay: 1s}, {action: rest, with: {id: "{{ job.id }}"}}]
"""


@pytest.fixture(autouse=True)
def _small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "TURN_ROWS", 3)
    monkeypatch.setattr(sharing, "MUCH_ROWS", 3)
    monkeypatch.setattr(slices, "DUE_MAX", slices.DUE_MAX)  # a machine sets it


def controls() -> Append:
    found = check_sources([Source("shares.yaml", FLOWS)])
    return Append(CONTROL, 0, [encode(one) for one in control_records(found, lambda one: 1, avro_schema)])


def batch(tenants: str, start: int) -> list[Append]:
    appends = []
    for at, tenant in enumerate(tenants, start):
        record = {"specversion": "1.0", "id": f"e{at}", "source": "/jobs", "type": "job.made", "tenant": tenant}
        data = json.dumps(record | {"time": stamp(START_US), "data": {"job": {"id": f"j{at}"}}}).encode()
        appends.append(Append("job.events", partition_of(tenant, PARTITIONS), [data]))
    return appends


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(st.text("aaaaaaaabcd", max_size=40), min_size=1, max_size=8),
    kills=st.sets(st.integers(0, 30), max_size=4),
    partings=st.sets(st.integers(0, 30), max_size=4),
)
@example(["a" * 20 + "bc", "b", "c"], set(), {1, 2})
def test_who_waits_for_a_share_is_neither_lost_nor_doubled(turns: list[str], kills: set[int], partings: set[int]) -> None:
    home = Path(tempfile.mkdtemp(prefix="shares-", dir=MEMORY if MEMORY.is_dir() else None))
    disk = Disk(home.name, 1, Counter())
    options = Options("wall", 8192, 8, 4096, due_most=4, partitions=PARTITIONS)
    machine = Machine(home, disk, Random(1), options, Receivers(Random(1), calm=True), Counter())
    machine.wall_us = START_US
    try:
        assert machine.append([controls()])
        machine.run_engine()
        sent = 0
        for done, tenants in enumerate(turns):
            assert machine.append(batch(tenants, sent))
            sent += len(tenants)
            machine.start("engine")
            assert machine.engine is not None
            machine.wall_us += 2_000_000
            if done in partings:
                machine.engine.between = lambda: False  # it stops behind the first part of its turn
            with suppress(Stopped):
                machine.engine.step()
            if done in kills | partings:
                machine.kill("engine")
        scenario = Scenario(False, False, True, [], {}, {}, {}, Counter())
        Story(machine, scenario, Random(0), Counter()).come_to_rest(calm=True)
        for role in ROLES:
            machine.kill(role)
        _check(home, "".join(turns))
    finally:
        machine.close()
        shutil.rmtree(home)


def _check(home: Path, tenants: str) -> None:
    worked: dict[str, list[int]] = defaultdict(list)
    for action in read_home(home).actions:
        if action["type"] == "work":
            worked[action["tenant"]].append(int(action["data"]["id"].removeprefix("j")))
    wanted = {tenant: [at for at, one in enumerate(tenants) if one == tenant] for tenant in set(tenants)}
    assert worked == wanted
    connection = open_reader(home / ENGINE_FILE)
    try:
        assert list(rows(connection, "select * from held_back")) == []
    finally:
        connection.close()


def test_a_quiet_tenant_does_not_wait_behind_a_burst(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        Disk("quiet", 1, Counter()),
        Random(1),
        Options("wall", 8192, 8, 4096, partitions=PARTITIONS),
        Receivers(Random(1), calm=True),
        Counter(),
    )
    machine.wall_us = START_US
    try:
        assert machine.append([controls()])
        machine.run_engine()
        assert machine.append(batch("a" * 40 + "b", 0))
        machine.start("engine")
        machine.start("dispatcher")
        assert machine.engine is not None
        machine.engine.step()
        assert any(action["tenant"] == "b" for action in read_home(tmp_path).actions)
        assert sum(action["tenant"] == "a" for action in read_home(tmp_path).actions) <= 3
        assert not machine.engine.idle()
    finally:
        machine.close()


def test_who_waits_goes_on_though_one_row_starts_more_than_a_turn_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "TURN_ROWS", 1)
    options = Options("wall", 8192, 8, 4096, partitions=PARTITIONS)
    machine = Machine(tmp_path, Disk("many", 1, Counter()), Random(1), options, Receivers(Random(1), calm=True), Counter())
    machine.wall_us = START_US
    contract, flow = FLOWS.split("---\n")
    several = [contract, *(flow.replace("worker", f"worker_{at}") for at in range(5))]
    found = check_sources([Source("shares.yaml", "---\n".join(several))])
    try:
        assert machine.append([Append(CONTROL, 0, [encode(one) for one in control_records(found, lambda _: 1, avro_schema)])])
        for start in range(0, 30, 6):
            assert machine.append(batch("aaaaab", start))
            machine.run_engine()
        for _ in range(100):
            machine.run_engine()
        assert machine.engine is not None
        assert machine.engine.counts.executions == 5 * 30
    finally:
        machine.close()


PATIENT: Final = """
event: job.made
fields: {job: {id: string}}
---
event: job.done
fields: {job: {id: string}}
---
flow: patient
trigger: {event: job.made}
steps:
  - wait: job.done
    as: done
    correlate: done.job.id == job.id
    timeout: 10m
    on_timeout: [{action: nag, with: {id: "{{ job.id }}"}}]
"""


def test_no_deadline_passes_what_is_held_back_in_its_own_turn(tmp_path: Path) -> None:
    options = Options("wall", 8192, 8, 4096, partitions=PARTITIONS)
    machine = Machine(tmp_path, Disk("patient", 1, Counter()), Random(1), options, Receivers(Random(1), calm=True), Counter())
    machine.wall_us = START_US
    numbers = iter((1, 2))
    found = check_sources([Source("patient.yaml", PATIENT)])
    deployed = [encode(one) for one in control_records(found, lambda one: next(numbers), avro_schema)]
    try:
        assert machine.append([Append(CONTROL, 0, deployed)])
        assert machine.append(batch("a", 0))
        machine.run_engine()
        machine.wall_us += 5 * MINUTE_US
        done = batch("a", 0)[0].records[0].replace(b"job.made", b"job.done").replace(b'"e0"', b'"d0"')
        assert machine.append([*batch("a" * 40 + "b", 1), Append("job.events", partition_of("a", PARTITIONS), [done])])
        machine.wall_us += 120 * MINUTE_US
        machine.start("engine")
        machine.start("dispatcher")
        assert machine.engine is not None
        machine.engine.step()
        assert not machine.engine.idle(), "all was taken at once"
        for _ in range(100):
            machine.run_engine()
        assert "j0" not in {action["data"]["id"] for action in read_home(tmp_path).actions}
    finally:
        machine.close()


ABSENT: Final = """
event: job.made
fields: {job: {id: string}}
---
event: job.done
fields: {job: {id: string}}
---
flow: absent
trigger: {event: job.made, absence: {of: job.done, as: done, correlate: done.job.id == job.id, within: 5m}}
steps: [{action: nag, with: {id: "{{ job.id }}"}}]
"""


def begin_late(machine: Machine) -> None:
    """Let one verdict be given, two more be due, and then send what comes too late for the first, with a burst behind it."""
    numbers = iter((1, 2))
    found = check_sources([Source("absent.yaml", ABSENT)])
    deployed = [encode(one) for one in control_records(found, lambda _: next(numbers), avro_schema)]
    machine.wall_us = START_US
    assert machine.append([Append(CONTROL, 0, deployed)])
    assert machine.append(batch("b", 0))
    machine.run_engine()
    machine.wall_us += 6 * MINUTE_US  # it was not done within five minutes
    machine.run_engine()
    now = stamp(machine.wall_us).encode()
    for one in batch("bb", 1):
        assert machine.append([one._replace(records=[data.replace(stamp(START_US).encode(), now) for data in one.records])])
    machine.run_engine()
    machine.wall_us += 2 * MINUTE_US
    done = batch("b", 0)[0].records[0].replace(b"job.made", b"job.done").replace(b'"e0"', b'"d0"')
    assert machine.append([Append("job.events", partition_of("b", PARTITIONS), [done])])
    machine.wall_us += 20 * MINUTE_US  # the time of the other two is over behind what is late
    assert machine.append(batch("a" * 40 + "b", 3))


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_what_is_late_is_told_once_though_a_tenant_waits_and_the_engine_dies_between_parts(tmp_path: Path, deaths: int) -> None:
    options = Options("wall", 8192, 8, 4096, due_most=1, partitions=PARTITIONS)
    machine = Machine(tmp_path, Disk("late", 1, Counter()), Random(1), options, Receivers(Random(1), calm=True), Counter())
    try:
        begin_late(machine)
        for _ in range(deaths):
            machine.start("engine")
            assert machine.engine is not None
            machine.engine.between = lambda: False
            with pytest.raises(Stopped):
                machine.engine.step()
            machine.kill("engine")
        for _ in range(100):
            machine.run_engine()
        assert machine.engine is not None
        late = [json.loads(one.data)["event"] for one in records_of(tmp_path / ENGINE_FILE) if one.topic == LATE]
        assert late == ["d0"]
        assert machine.engine._store.reached() == [], "nobody waits any more, and the positions are behind all"
    finally:
        machine.close()
