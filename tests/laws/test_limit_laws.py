"""Limits hold on every path: starts by event, by hand, by call and by absence, cancels and restarts, under both clocks.

What lived when is read from the histories in the log, from outside.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.language.definitions import Source, check_sources, control_records
from schemas.avro.schema import avro_schema
from schemas.expression.literals import print_timestamp
from schemas.ids import LIVE, event_key, execution_id
from schemas.ports import Append
from schemas.records import OperatorCommand, encode
from schemas.topics import COMMANDS, CONTROL, partition_of
from tests.examples import examples
from tests.simulation.business import MINUTE_US, START_US
from tests.simulation.files import Read, read_home
from tests.simulation.machine import ROLES, Disk, Machine, Options
from tests.simulation.outside import Receivers
from tests.simulation.run import MEMORY, Story
from tests.simulation.scenario import Scenario

PARTITIONS: Final = 4
AT_ONCE: Final = 2
A_WINDOW: Final = 3
WINDOW_US: Final = 30 * MINUTE_US
FLOWS: Final = """
event: job.made
fields: {job: {id: string, key: string, kind: string}}
---
event: job.done
fields: {job: {id: string}}
---
flow: worker
inputs: {key: string, id: string}
trigger:
  - {as: made, event: job.made, conditions: [job.kind == "event"]}
  - {as: hand, manual: {roles: [desk]}, id: inputs.id}
  - as: missing
    event: job.made
    conditions: [job.kind == "watch"]
    absence: {of: job.done, as: done, correlate: done.job.id == job.id, within: 10m}
limits: LIMITS
steps:
  - delay: 45m
  - {action: work, with: {id: "{{ coalesce(job.id, inputs.id, '') }}"}}
---
flow: caller
trigger: {event: job.made, conditions: [job.kind == "call"]}
steps: [{call: worker, with: {key: "{{ job.key }}", id: "{{ job.id }}"}, timeout: 30d, on_error: continue}]
"""
KEY: Final = "key: 'coalesce(job.key, inputs.key)'"
Over = Literal["queue", "drop", "cancel_running"]


class Asked(NamedTuple):
    """One thing that comes in."""

    kind: Literal["event", "call", "watch", "hand", "done", "cancel"]
    key: str
    of: int  # which of those before: for done and cancel
    gap: int  # minutes behind the one before


asked = st.lists(
    st.builds(
        Asked,
        st.sampled_from(["event", "event", "call", "call", "watch", "watch", "hand", "hand", "done", "cancel"]),
        st.sampled_from("ab"),
        st.integers(0, 30),
        st.sampled_from([0, 0, 0, 1, 7, 20]),
    ),
    min_size=4,
    max_size=25,
)


def controls(limits: str) -> Append:
    found = check_sources([Source("limits.yaml", FLOWS.replace("LIMITS", limits))])
    assert not found.errors, found.errors
    numbers = {one.event: at for at, one in enumerate(found.contracts, 1)}
    return Append(CONTROL, 0, [encode(one) for one in control_records(found, lambda one: numbers[one.event], avro_schema)])


def records(drawn: Sequence[Asked]) -> list[Append]:
    found: list[Append] = []
    time_us = START_US
    for at, one in enumerate(drawn):
        time_us += one.gap * MINUTE_US
        of = one.of % (at or 1)
        if one.kind in ("hand", "cancel"):
            order = _start(at, one, time_us) if one.kind == "hand" else _cancel(drawn, of, time_us)
            found.append(Append(COMMANDS, partition_of("acme", PARTITIONS), [encode(order)]))
        else:
            data = {"job": {"id": f"j{of}"} if one.kind == "done" else {"id": f"j{at}", "key": one.key, "kind": one.kind}}
            kind = "job.done" if one.kind == "done" else "job.made"
            found.append(Append("job.events", partition_of("acme", PARTITIONS), [_event(kind, f"e{at}", time_us, data)]))
    return found


def _event(kind: str, name: str, time_us: int, data: dict[str, Any]) -> bytes:
    record = {"specversion": "1.0", "id": name, "source": "/jobs", "type": kind, "tenant": "acme", "data": data}
    return json.dumps(record | {"time": print_timestamp(time_us)}).encode()


def _start(at: int, one: Asked, time_us: int) -> OperatorCommand:
    inputs = {"key": one.key, "id": f"j{at}"}
    return OperatorCommand(command="start", tenant="acme", flow="worker", inputs=inputs, roles=["desk"], by="ann", at=time_us)


def _cancel(drawn: Sequence[Asked], of: int, time_us: int) -> OperatorCommand:
    at_us = START_US + sum(one.gap for one in drawn[: of + 1]) * MINUTE_US
    identity = execution_id(LIVE, "acme", "worker", event_key("acme", "/jobs", f"e{of}"), at_us)
    return OperatorCommand(command="cancel", tenant="acme", execution=identity.hex(), by="ann", at=time_us)


@contextmanager
def lived(drawn: Sequence[Asked], limits: str, clock: Literal["wall", "events"], cut: tuple[int, int]) -> Iterator[Read]:
    """Let a machine live through it, in pieces of some records, killed at a place; give what lies there in the end."""
    size, killed = cut
    home = Path(tempfile.mkdtemp(prefix="limits-", dir=MEMORY if MEMORY.is_dir() else None))
    machine = Machine(
        home, Disk(home.name, 1, Counter()), Random(1), Options(clock, 64, 8, 4096), Receivers(Random(1), calm=True), Counter()
    )
    machine.wall_us = START_US
    try:
        batches = records(drawn)
        assert machine.append([controls(limits)])
        for at in range(0, len(batches), size):
            assert machine.append(batches[at : at + size])
            machine.wall_us += sum(one.gap for one in drawn[at : at + size]) * MINUTE_US
            machine.run_engine()
            if at <= killed < at + size:
                machine.kill("engine")
        scenario = Scenario(clock == "events", False, True, [], {}, {}, {}, Counter())
        Story(machine, scenario, Random(0), Counter()).come_to_rest(calm=True)
        for role in ROLES:
            machine.kill(role)
        yield read_home(home)
    finally:
        machine.close()
        shutil.rmtree(home)


def lives(read: Read, drawn: Sequence[Asked]) -> dict[str, list[tuple[int, int]]]:
    """Give by key when each worker began and ended; everything has ended, each exactly once."""
    spans: dict[str, dict[str, int]] = defaultdict(dict)
    keys: dict[str, str] = {}
    for history in read.histories:
        if history["flow"] != "worker":
            continue
        execution = history["execution"]
        for at, kind, *_ in history["transitions"]:
            if kind in ("started", "ended"):
                assert kind not in spans[execution], f"{kind} twice"
                spans[execution][kind] = at
    for action in read.actions:
        keys[action["subject"]] = drawn[int(action["data"]["id"].removeprefix("j"))].key
    by_key: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for execution, span in spans.items():
        assert "ended" in span, "it waits for ever"
        if execution in keys:
            by_key[keys[execution]].append((span["started"], span["ended"]))
    return by_key


def most_at_once(spans: Sequence[tuple[int, int]]) -> int:
    steps = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    live = most = 0
    for _, step in steps:
        live += step
        most = max(most, live)
    return most


def wanted(drawn: Sequence[Asked]) -> set[str]:
    """Give the jobs that must be worked on where nothing is cancelled, dropped or done in time."""
    return {f"j{at}" for at, one in enumerate(drawn) if one.kind in ("event", "call", "hand")}


clocks = st.sampled_from(["wall", "events"])
cuts = st.tuples(st.integers(1, 9), st.integers(-1, 24))


@settings(max_examples=examples(25))
@given(drawn=asked, clock=clocks, cut=cuts)
def test_never_do_more_live_than_may_and_all_have_their_turn(
    drawn: list[Asked], clock: Literal["wall", "events"], cut: tuple[int, int]
) -> None:
    with lived(drawn, f"{{concurrency: {{{KEY}, max: {AT_ONCE}, over: queue}}}}", clock, cut) as read:
        assert all(most_at_once(spans) <= AT_ONCE for spans in lives(read, drawn).values())
        worked = Counter(action["data"]["id"] for action in read.actions)
        assert max(worked.values(), default=1) == 1
        if all(one.kind != "cancel" for one in drawn):
            assert wanted(drawn) <= set(worked)


@settings(max_examples=examples(25))
@given(drawn=asked, clock=clocks, cut=cuts, over=st.sampled_from(["queue", "drop"]))
def test_in_no_stretch_of_time_do_more_start_than_may(
    drawn: list[Asked], clock: Literal["wall", "events"], cut: tuple[int, int], over: Over
) -> None:
    with lived(drawn, f"{{rate: {{{KEY}, max: {A_WINDOW}, per: 30m, over: {over}}}}}", clock, cut) as read:
        for spans in lives(read, drawn).values():
            starts = sorted(start for start, _ in spans)
            assert all(later - start >= WINDOW_US for start, later in zip(starts, starts[A_WINDOW:], strict=False))
        worked = {action["data"]["id"] for action in read.actions}
        refused = sum(letter["kind"] == "limit" for letter in read.letters)
        if all(one.kind != "cancel" for one in drawn):
            missing = wanted(drawn) - worked
            assert len(missing) <= refused, "whoever was not let in stands in the dead letters"


@settings(max_examples=examples(10))
@given(drawn=asked, clock=clocks, cut=cuts)
def test_the_running_give_way(drawn: list[Asked], clock: Literal["wall", "events"], cut: tuple[int, int]) -> None:
    with lived(drawn, f"{{concurrency: {{{KEY}, max: {AT_ONCE}, over: cancel_running}}}}", clock, cut) as read:
        assert all(most_at_once(spans) <= AT_ONCE for spans in lives(read, drawn).values())
        ended = [t[4] for h in read.histories if h["flow"] == "worker" for t in h["transitions"] if t[1] == "ended"]
        assert set(ended) <= {"completed", "cancelled"}
        told = [t for h in read.histories if h["flow"] == "worker" for t in h["transitions"]]
        if all(one.kind not in ("cancel", "watch") for one in drawn):
            assert sum(t[1] == "started" for t in told) == len(wanted(drawn))
            assert not [t for t in told if t[1] == "entered" and t[3] == "limit"], "nobody waits where the running give way"
        assert not [t for t in told if t[1] == "refused" and t[4]["by"] == "limit"]
