"""Real processes, real kill -9: engine, dispatcher and projector die again and again while events stream, and it does not show.

CHAOS_KILLS says how often each (15; `make chaos`: 50). The receiver is an HTTP server in a process of its own that honours
idempotency keys; what it must have accepted is said by the simulation's oracle, which knows nothing of the engine.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import duckdb
import pytest

from flows.demo.place import RECORDER, running_recorder
from flows.demo.recorder import FILE
from flows.deployment import append_controls, deploy, in_force, open_ingress
from flows.up.home import IdleWatch
from flows.up.supervisor import Supervisor, UpOptions
from schemas.topics import CONTROL
from tests.chaos.business import Stream
from tests.chaos.killer import Killer, make_killers
from tests.simulation.files import Read, executions_and_timers, read_home
from tests.simulation.oracle import Command, Place

KILLS: Final = int(os.environ.get("CHAOS_KILLS", "15"))
SECONDS_A_KILL: Final = 12.0  # at the outside: a start of Python with our libraries takes two
REST_S: Final = 180.0
EVENTS_A_SECOND: Final = 100
START_US: Final = 1_700_000_000_000_000  # events are of the past, so none is ahead of any clock
HOPS_MOST: Final = 64


@dataclass(slots=True)
class Ruin:
    """What a home looks like after all the kills."""

    home: Path
    stream: Stream
    killers: list[Killer]
    restarts: Mapping[str, int]
    log: list[str] = field(default_factory=list)
    read: Read | None = None


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ruin(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Ruin:
    home = tmp_path_factory.mktemp("chaos")
    (home / RECORDER).mkdir()
    rng = Random(seed)
    stream = Stream(rng, START_US)
    killers = make_killers(home, KILLS, rng)
    ruin = Ruin(home, stream, killers, {})
    supervisor = Supervisor(UpOptions(home), lambda role, line: ruin.log.append(f"{role}: {line}"))
    with running_recorder(home, seed) as url:
        with open_ingress(home) as ingress:
            deploy(ingress, home, stream.draw_flows())
            append_controls(ingress, {"connector/*/*": {"connector": "http", "settings": {"url": url}}})
        stream.know(in_force(home).registry)
        try:
            _harass(supervisor, ruin)
            _come_to_rest(supervisor, home)
            ruin.restarts = dict(supervisor.restarts)
        finally:
            supervisor.stop()
    ruin.read = read_home(home)
    return ruin


def _harass(supervisor: Supervisor, ruin: Ruin) -> None:
    """Send events at a steady rate and kill, until every role was killed as often as it shall be."""
    _await(supervisor, lambda: all(supervisor.statuses.values()), 60.0, "the roles do not start")
    started_s = time.monotonic()
    sent = 0

    def work() -> bool:
        nonlocal sent
        wanted = int((time.monotonic() - started_s) * EVENTS_A_SECOND)
        if wanted > sent:
            ingress.append(ruin.stream.next(wanted - sent))
            sent = wanted
        for killer in ruin.killers:
            killer.strike(supervisor)
        return not any(killer.left for killer in ruin.killers)

    with open_ingress(ruin.home) as ingress:
        _await(supervisor, work, 60.0 + KILLS * SECONDS_A_KILL, "the roles do too little work to be killed in the midst of it")


def _come_to_rest(supervisor: Supervisor, home: Path) -> None:
    watch = IdleWatch(home)
    waiting = home / "views.duckdb"
    assert waiting.exists()
    _await(supervisor, lambda: watch.look(supervisor) and _nothing_waits(home), REST_S, "it does not come to rest")


def _nothing_waits(home: Path) -> bool:
    """Under the wall clock an engine is idle while executions wait for their time."""
    return not executions_and_timers(home)[1]


def _await(supervisor: Supervisor, done: Any, within_s: float, what: str) -> None:
    until_s = time.monotonic() + within_s
    while not done():
        supervisor.poll(0.005)
        assert time.monotonic() < until_s, f"{what}: {dict(supervisor.statuses)}"


@pytest.mark.timeout(int(400 + KILLS * SECONDS_A_KILL))
def test_every_kill_met_a_process_that_had_worked(ruin: Ruin, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        os.write(1, f"\n{_summary(ruin)}\n".encode())
    for killer in ruin.killers:
        assert sum(killer.moments.values()) == KILLS
        assert all(done > 0 for done in killer.work), f"{killer.role} had done nothing before a kill: {killer.work}"
        assert killer.moments["commit"] > 0, f"{killer.role} was never killed as it wrote"
        assert ruin.restarts[killer.role] == KILLS, (
            f"{killer.role} was started again {ruin.restarts[killer.role]} times; {ruin.log[-40:]}"
        )


def test_nothing_is_lost_and_nothing_is_doubled(ruin: Ruin) -> None:
    read = _of(ruin)
    expected = _expected(ruin)
    issued = Counter((_place(action), action["step"]) for action in read.actions)
    assert max(issued.values()) == 1
    assert set(issued) == set(expected)
    ids = [action["id"] for action in read.actions]
    assert len(set(ids)) == len(ids)
    results = {result["action"]: result for result in read.results}
    assert len(results) == len(read.results)
    assert set(results) == set(ids)
    accepted = _received(ruin.home)
    bodies = {(_place(body), body["step"]): body for body in accepted}
    assert len(bodies) == len(accepted), "a command was carried out twice"
    for action in read.actions:
        status = results[action["id"]]["status"]
        was = (_place(action), action["step"]) in bodies
        assert was if status == "delivered" else status in ("unknown", "dead"), f"{status}, accepted: {was}: {action}"
    _check_bodies(bodies, expected)


def test_executions_end_as_they_must(ruin: Ruin) -> None:
    read = _of(ruin)
    wanted = {place: one.status for place, one in ruin.stream.oracle.expected.executions.items()}
    places = {record["execution"]: Place(record["tenant"], record["flow"], record["event"]) for record in read.histories}
    assert {places[row.id]: row.status for row in read.executions} == wanted
    assert not read.timers


def test_exactly_the_spoilt_records_are_set_aside(ruin: Ruin) -> None:
    read = _of(ruin)
    spoilt = {placed[:3] for placed in read.ingress if ruin.stream.sent.get(placed.data, 1) is None}
    letters = [(letter["topic"], letter["partition"], letter["position"]) for letter in read.letters if letter["kind"] == "event"]
    assert len(letters) == len(set(letters)) == ruin.stream.spoilt
    assert set(letters) == spoilt


def test_views_agree_with_topics(ruin: Ruin) -> None:
    read = _of(ruin)
    with duckdb.connect(str(ruin.home / "views.duckdb"), read_only=True) as views:
        events = views.execute("select topic, partition, position from events").fetchall()
        executions = views.execute("select tenant, execution, status from executions").fetchall()
        actions = views.execute("select tenant, action, execution, step, type, status from actions").fetchall()
        letters = views.execute("select kind, topic, partition, position from dead_letters").fetchall()
    good = [placed[:3] for placed in read.ingress if placed.topic != CONTROL and ruin.stream.sent.get(placed.data) is not None]
    assert sorted(events) == sorted(good)
    assert sorted(executions) == sorted((row.tenant, row.id, row.status) for row in read.executions)
    status = {result["action"]: result["status"] for result in read.results}
    wanted = [(a["tenant"], a["id"], a["subject"], a["step"], a["type"], status[a["id"]]) for a in read.actions]
    assert sorted(actions) == sorted(wanted)
    both = [*read.letters, *read.action_letters]
    assert sorted(letters) == sorted((one["kind"], one["topic"], one["partition"], one["position"]) for one in both)


def _of(ruin: Ruin) -> Read:
    assert ruin.read is not None
    return ruin.read


def _expected(ruin: Ruin) -> dict[tuple[Place, str], Command]:
    """Ask the oracle, event by event, in the order of the log."""
    oracle = ruin.stream.oracle
    for placed in _of(ruin).ingress:
        event = ruin.stream.sent.get(placed.data)
        if event is not None:
            oracle.take(event)
    executions = oracle.expected.executions
    commands = [one for one in oracle.expected.commands() if (executions[one.place].event.hops or 0) < HOPS_MOST]
    return {(one.place, one.step): one for one in commands}


def _place(action: Mapping[str, Any]) -> Place:
    return Place(action["tenant"], action["flow"], action["causationid"])


def _received(home: Path) -> list[dict[str, Any]]:
    """Read what the receiver has accepted; the same key with another body would be a conflict."""
    with (home / RECORDER / FILE).open(encoding="utf-8") as lines:
        received = [json.loads(line, parse_float=Decimal) for line in lines]
    assert not [line for line in received if line["what"] == "conflict"]
    return [line["body"] for line in received if line["what"] == "accepted"]


def _check_bodies(bodies: Mapping[tuple[Place, str], Mapping[str, Any]], expected: Mapping[tuple[Place, str], Command]) -> None:
    for key, body in bodies.items():
        command = expected[key]
        assert body["type"] == command.type
        assert _plain(body["data"]) == _plain(command.params), f"{key} carried {body['data']}, must carry {command.params}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _summary(ruin: Ruin) -> str:
    read = _of(ruin)
    again = sum(1 for line in (ruin.home / RECORDER / FILE).read_text().splitlines() if '"what":"again"' in line)
    lines = [
        f"chaos: {len(read.ingress)} records ({ruin.stream.doubled} doubled, {ruin.stream.spoilt} spoilt), "
        f"{len(read.executions)} executions, {len(read.actions)} commands, {again} keys redelivered; "
        f"results {dict(Counter(result['status'] for result in read.results))}"
    ]
    for killer in ruin.killers:
        work = sorted(killer.work)
        span = f"{work[0]} to {work[-1]}, median {work[len(work) // 2]}"
        lines.append(f"  {killer.role}: kills {dict(killer.moments)}; packs of work between two: {span}")
    return "\n".join(lines)
