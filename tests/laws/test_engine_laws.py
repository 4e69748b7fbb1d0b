"""Laws of the engine over its real files: how the input is cut, where it restarts and how topics are divided does not show.

The scenarios are those of the simulation (drawn flows, deploys on the way, duplicates, late and spoilt records) under the event
clock, where every transition has its one time; what must come out is said by the reference runner, row by row.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.sqlite import open_reader, rows
from operators.advance.advance import Moment, Runnable, fire, start
from operators.execution.execution import Cause, pack
from operators.steps.steps import make_runnable
from schemas.decode import DecodeRules, decode, key_rows
from schemas.ids import event_key, execution_id
from schemas.ports import Append, Chunk
from schemas.program import EventTrigger, Program, Webhook, unpack
from schemas.records import encode
from schemas.registry import Registry
from schemas.topics import CONTROL
from tests.examples import examples
from tests.simulation.business import DAY_US
from tests.simulation.files import Read, read_home
from tests.simulation.machine import ENGINE_FILE, ROLES, Disk, Machine, Options
from tests.simulation.outside import Receivers
from tests.simulation.reference import run_reference
from tests.simulation.run import MEMORY, Story
from tests.simulation.scenario import Scenario, draw_exact_scenario

PARTITIONS: Final = 4
Record = tuple[str, int, bytes]
Histories = dict[str, list[Any]]  # execution id → its transitions
seeds = st.integers(min_value=0, max_value=1 << 32)
cuts = st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=8)


@contextmanager
def a_machine(seed: int, options: Options) -> Iterator[Machine]:
    """Make a machine whose disk works and whose receivers answer well; it is gone behind the body."""
    home = Path(tempfile.mkdtemp(prefix="law-", dir=MEMORY if MEMORY.is_dir() else None))
    disk = Disk(f"law-{home.name}", seed, Counter())
    machine = Machine(home, disk, Random(seed), options, Receivers(Random(seed), calm=True), Counter())
    try:
        yield machine
    finally:
        machine.close()
        shutil.rmtree(home)


def scenario_of(seed: int) -> Scenario:
    return draw_exact_scenario(Random(seed), PARTITIONS)


def records_of(scenario: Scenario) -> list[Record]:
    return [(one.topic, one.partition, data) for batch in scenario.batches for one in batch for data in one.records]


def run_cut(scenario: Scenario, options: Options, sizes: Sequence[int], restarts: Sequence[int]) -> tuple[Read, Machine]:
    """Send the scenario's records in pieces of these sizes, one turn or more behind each, with restarts at these places."""
    records = records_of(scenario)
    with a_machine(1, options) as machine:
        at = 0
        for size in cycle(sizes):
            piece = [Append(topic, partition % options.partitions, [data]) for topic, partition, data in records[at : at + size]]
            assert machine.append(piece)
            machine.run_engine()
            if at in restarts:
                machine.kill("engine")
            at += size
            if at >= len(records):
                break
        story = Story(machine, scenario, Random(0), Counter(), sent=len(scenario.batches))
        story.come_to_rest()
        for role in ROLES:
            machine.kill(role)
        return read_home(machine.home), machine


def histories(read: Read) -> Histories:
    found: Histories = defaultdict(list)
    for record in read.histories:
        found[record["execution"]] += record["transitions"]
    return dict(found)


def reference(read: Read, scenario: Scenario) -> Histories:
    local = run_reference(read.ingress, lambda placed: placed.data in scenario.spoilt)
    return {
        one.id.hex(): json.loads(encode(one.history()), parse_float=Decimal)["transitions"] for one in local.executions.values()
    }


@settings(max_examples=examples(7))
@given(
    seed=seeds,
    sizes=cuts,
    turn_rows=st.sampled_from([2, 3, 8, 8192]),
    due_most=st.sampled_from([1, 2, 20_000]),
    restarts=st.lists(st.integers(0, 120), max_size=4),
)
def test_any_cut_into_turns_and_any_restart_gives_the_history_of_the_reference(
    seed: int, sizes: list[int], turn_rows: int, due_most: int, restarts: list[int]
) -> None:
    scenario = scenario_of(seed)
    read, _ = run_cut(scenario, Options("events", turn_rows, 8, 4096, due_most), sizes, restarts)
    assert histories(read) == reference(read, scenario)
    assert len({action["id"] for action in read.actions}) == len(read.actions)


@settings(max_examples=examples(4))
@given(seed=seeds, first=cuts, second=cuts)
def test_two_cuts_issue_the_same_commands(seed: int, first: list[int], second: list[int]) -> None:
    scenario = scenario_of(seed)
    reads = [run_cut(scenario, Options("events", rows_, 8, 4096), sizes, ())[0] for rows_, sizes in ((4, first), (64, second))]
    one, two = ([{key: action[key] for key in action if not key.startswith("_")} for action in read.actions] for read in reads)
    by_id = sorted(one, key=lambda action: str(action["id"]))
    assert by_id == sorted(two, key=lambda action: str(action["id"]))


@settings(max_examples=examples(4))
@given(seed=seeds, partitions=st.sampled_from([1, 2, 8, 64]))
def test_how_topics_are_divided_does_not_show(seed: int, partitions: int) -> None:
    scenario = scenario_of(seed)
    one, _ = run_cut(scenario, Options("events", 16, 8, 4096, partitions=1), [7], ())
    many, _ = run_cut(scenario, Options("events", 16, 8, 4096, partitions=partitions), [7], ())
    assert histories(one) == histories(many)
    assert {row[:5] for row in one.executions} == {row[:5] for row in many.executions}


@settings(max_examples=examples(5))
@given(seed=seeds)
def test_the_core_leaves_its_inputs_untouched(seed: int) -> None:
    registry, programs, events = Registry(), list[Program](), list[Chunk]()
    for at, (topic, partition, data) in enumerate(records_of(scenario_of(seed))):
        if topic != CONTROL:
            events.append(Chunk("law", topic, partition, at, 0, [data]))
            continue
        if data.startswith(b"{not"):
            continue
        control = json.loads(data)
        registry.apply(control["key"], control["value"])
        if control["key"].startswith("version/"):
            programs.append(unpack(b64decode(control["value"]["program"])))
    for runnable in map(make_runnable, programs):
        started = {one.event for one in runnable.program.triggers if isinstance(one, EventTrigger | Webhook)}
        for chunk in events:
            for one in decode([chunk], registry, DecodeRules(0, "events")).frames:
                if one.type in started:
                    event = one.frame.row(0, named=True)
                    (env,) = key_rows(one.frame, [name for name, _ in runnable.program.reads], one.contract.data)
                    check_untouched(runnable, event, env)


def check_untouched(runnable: Runnable, event: dict[str, Any], env: dict[str, Any]) -> None:
    """Run an execution to its end; what each call was given must be as it was."""
    env["trigger.name"] = "start_0"
    key = event_key(event["tenant"], event["source"], event["id"])
    identity = execution_id("live", event["tenant"], runnable.program.flow, key, event["time"])
    cause = Cause(event["id"], event["source"], event["time"], event["id"], 0)
    before = copy.deepcopy(env)
    advanced = start(runnable, event["tenant"], identity, cause, env, event["time"])
    assert env == before
    while advanced.state is not None:
        state = advanced.state
        packed = pack(state)
        first = min(state.parked, key=lambda parked: (parked.due_us, parked.token))
        onward = fire(Moment(runnable, event["tenant"], identity, state, first.due_us), first.token)
        assert pack(state) == packed
        again = fire(Moment(runnable, event["tenant"], identity, state, first.due_us), first.token)
        assert onward is not None
        assert again is not None
        assert onward.transitions == again.transitions
        assert onward.commands == again.commands
        advanced = onward


@settings(max_examples=examples(3))
@given(seed=seeds)
def test_state_empties_after_its_time(seed: int) -> None:
    """When all has ended no state and no timer is left, and keys seen go when their window is over."""
    scenario = scenario_of(seed)
    with a_machine(2, Options("events", 64, 8, 4096)) as machine:
        story = Story(machine, scenario, Random(0), Counter())
        story.come_to_rest()
        assert machine.engine is not None
        ended_us = machine.engine.now_us
        event = max(scenario.events.values(), key=lambda one: one.time_us)
        later = json.dumps(
            {
                "id": "later",
                "source": "/law",
                "type": "order.cancelled",
                "tenant": event.tenant,
                "time": "2026-12-01T00:00:00Z",
                "data": {"order": {"id": "later", "country": "GB"}},
            }
        ).encode()
        assert machine.append([Append("orders.events", 0, [later])])
        story.come_to_rest()
        machine.kill("engine")
        connection = open_reader(machine.home / ENGINE_FILE)
        try:
            live = list(rows(connection, "select row from executions where state is not null"))
            timers = [one for table in ("timers", "deadlines", "waits") for one in rows(connection, f"select * from {table}")]
            oldest = list(rows(connection, "select at_us from seen where at_us <= ?", (ended_us,)))
        finally:
            connection.close()
        assert not live
        assert not timers
        assert ended_us < 1_796_083_200_000_000 - 3 * DAY_US
        assert not oldest, "keys of events that nobody sends again any more are still held"
