"""Law of the parts of a turn: what one part sets going comes in its place among what the next parts hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from flows.engine.settings import EngineSettings
from flows.language.definitions import control_records, load_definitions
from operators.turn.times import END_OF_TIME
from schemas.avro.schema import avro_schema
from schemas.records import Control, encode
from schemas.topics import CONTROL
from tests.laws.recorded import HOLD, PARTITIONS, TENANT, Recorded, recorded, replayed
from tests.laws.test_input_laws import transitions
from tests.simulation.business import stamp

FLOWS = """
event: order.placed
topic: shop.events
fields: {order: {id: string}}
---
flow: several
trigger: {event: order.placed}
steps:
  - parallel:
      first: [{delay: 1h}, {action: note, as: one, with: {order: "{{ order.id }}"}}]
      second: [{delay: 1h}, {delay: 0s}, {action: note, as: two, with: {order: "{{ order.id }}"}}]
      third: [{delay: 1h}, {action: note, as: three, with: {order: "{{ order.id }}"}}]
      fourth: [{wait: order.placed, as: met, correlate: met.order.id == order.id, timeout: 1h, on_timeout: continue},
               {wait: order.placed, as: again, correlate: again.order.id == order.id, timeout: 1s, on_timeout: continue}]
    join: all
    as: arms
"""


@pytest.mark.parametrize("due_most", [1, 2, 3, 20_000])
def test_a_delay_set_in_one_part_waits_for_those_of_the_next(tmp_path: Path, due_most: int) -> None:
    (tmp_path / "flows.yaml").write_text(FLOWS)
    found = load_definitions([tmp_path / "flows.yaml"])
    assert found.ok, found.problems
    numbers = iter(range(1, 10))
    controls = [encode(one) for one in control_records(found, lambda _: next(numbers), avro_schema)]
    event = {"specversion": "1.0", "source": "/law", "type": "order.placed", "tenant": TENANT, "time": "2026-03-01T00:00:00Z"}
    with recorded(EngineSettings("events", 8192, partitions=PARTITIONS), 0, due_most) as one:
        one.send(CONTROL, encode(Control(key=HOLD, value=True)), *controls)
        one.send(
            "shop.events", *(json.dumps(event | {"id": f"e{at}", "data": {"order": {"id": f"O{at}"}}}).encode() for at in "12")
        )
        one.come_to_rest()
        assert one.histories == transitions(replayed(one.order).histories())
        assert len(one.actions) == 6


RACED = """
event: order.placed
topic: shop.events
fields: {order: {id: string}}
---
event: order.paid
topic: shop.events
fields: {order: {id: string}}
---
flow: raced
trigger: {event: order.placed}
steps:
  - parallel:
      first: [{wait: order.paid, as: w10, correlate: w10.order.id == order.id, timeout: 10m, on_timeout: continue}, SAY w10]
      second: [{delay: 20m}, SAY d20]
      third: [{wait: order.paid, as: w30, correlate: w30.order.id == order.id, timeout: 30m, on_timeout: continue}, SAY w30]
      fourth: [{delay: 30m}, SAY d30]
      fifth: [{delay: 40m}, SAY d40]
    join: all
    as: arms
"""
MINUTE_US = 60_000_000


@pytest.mark.parametrize("kind", ["wall", "events"])
@pytest.mark.parametrize("due_most", [1, 2, 3, 20_000])
def test_what_is_over_comes_in_order_of_its_time_and_of_two_at_one_time_the_delay(
    tmp_path: Path, due_most: int, kind: Literal["wall", "events"]
) -> None:
    """Of all executions together, however many of them one transaction holds."""
    said = re.sub(r"SAY (\w+)", r'{action: note, as: said_\1, with: {order: "{{ order.id }}"}}', RACED)
    (tmp_path / "flows.yaml").write_text(said)
    found = load_definitions([tmp_path / "flows.yaml"])
    assert found.ok, found.problems
    numbers = iter(range(1, 10))
    controls = [encode(one) for one in control_records(found, lambda _: next(numbers), avro_schema)]
    with recorded(EngineSettings(kind, 8192, partitions=PARTITIONS), 0, due_most) as one:
        event = {"specversion": "1.0", "source": "/law", "type": "order.placed", "tenant": TENANT}
        event |= {"time": stamp(one._clock.at_us)}
        one.send(CONTROL, encode(Control(key=HOLD, value=True)), *controls)
        one.send(
            "shop.events", *(json.dumps(event | {"id": f"e{at}", "data": {"order": {"id": f"O{at}"}}}).encode() for at in "12")
        )
        while one.step():
            one.answer()
        one._clock.at_us += 60 * MINUTE_US
        one.come_to_rest()
        order = [(action["step"].removeprefix("said_"), action["data"]["order"]) for action in one.actions]
    assert order == [(step, of) for step in ("w10", "d20", "d30", "w30", "d40") for of in ("O1", "O2")]


COUNTED = """
event: order.placed
topic: shop.events
fields: {order: {id: string}}
---
event: order.paid
topic: shop.events
fields: {order: {id: string}}
---
flow: waits
trigger: {event: order.paid, conditions: [order.id == "first"]}
steps:
  - parallel:
      one: [{delay: 61m}, {action: note, as: said_one, with: {order: "{{ order.id }}"}}]
      two: [{delay: 62m}, {action: note, as: said_two, with: {order: "{{ order.id }}"}}]
      three: [{delay: 63m}, {action: note, as: said_three, with: {order: "{{ order.id }}"}}]
    join: all
    as: arms
---
flow: counted
trigger:
  event: order.placed
  window: {key: order.id, tumbling: 6h, fire: every, lateness: 10m, measures: {orders: count()}}
steps: [{action: note, as: counted, with: {order: "{{ event.id }} {{ window.orders }}"}}]
"""


def waiting(one: Recorded, path: Path, flows: str) -> tuple[int, Callable[[str, str, str, int], None]]:
    """Deploy flows and let one execution wait: its delays end 1, 2 and 3 minutes behind a time; give that, and how to send."""
    (path / "flows.yaml").write_text(flows)
    found = load_definitions([path / "flows.yaml"])
    assert found.ok, found.problems
    numbers = iter(range(1, 10))
    controls = [encode(one) for one in control_records(found, lambda _: next(numbers), avro_schema)]
    since_us = one._clock.at_us

    def send(kind: str, name: str, order: str, second: int) -> None:
        event = {"specversion": "1.0", "source": "/law", "type": kind, "tenant": TENANT, "id": name}
        event |= {"time": stamp(since_us + second * 1_000_000)}
        one.send("shop.events", json.dumps(event | {"data": {"order": {"id": order}}}).encode())

    one.send(CONTROL, encode(Control(key=HOLD, value=True)), *controls)
    send("order.paid", "e0", "first", -3600)
    assert one.step()
    return since_us, send


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_windows_go_on_from_where_they_were_when_a_turn_dies_between_its_parts(tmp_path: Path, parts: int) -> None:
    """What the clock has reached by a part is not when the events of the turn arrived: they are read again."""
    with recorded(EngineSettings("events", 8192, partitions=PARTITIONS), 0, 1) as one:
        since_us, send = waiting(one, tmp_path, COUNTED)
        send("order.placed", "e1", "O1", 0)
        send("order.paid", "e2", "second", 300)  # three delays end between the two
        assert one.step(parts)
        assert one.partings == 1
        assert one.step()
        send("order.paid", "e3", "third", 630)  # e1 came 10m30s ago: nothing before it is waited for any more
        send("order.placed", "e4", "O1", -1)
        one.come_to_rest()
        counted = [(one["data"]["order"], one["time"]) for one in one.actions if one["step"] == "counted"]
    assert one.late == [("O1", "e4")]
    assert counted == [("e1 1", stamp(since_us + 600_000_000))]
    assert len(one.actions) == 4


@pytest.mark.parametrize("parts", [END_OF_TIME, 1, 2, 3])
def test_a_start_of_a_window_that_a_limit_drops_is_told_once(tmp_path: Path, parts: int) -> None:
    limited = COUNTED.replace("flow: counted\n", "flow: counted\nlimits: {concurrency: {max: 1, over: drop}}\n").replace(
        "lateness: 10m, measures", "lateness: 0s, measures"
    )
    with recorded(EngineSettings("events", 8192, partitions=PARTITIONS), 0, 1) as one:
        _, send = waiting(
            one,
            tmp_path,
            limited.replace("steps: [{action: note, as: counted", "steps: [{delay: 1d}, {action: note, as: counted"),
        )
        send("order.placed", "e1", "O1", 0)
        send("order.placed", "e2", "O1", 1)
        send("order.paid", "e3", "second", 300)
        assert one.step(parts)
        assert one.partings == (parts < END_OF_TIME)
        one.come_to_rest()
        counted = [one["data"]["order"] for one in one.actions if one["step"] == "counted"]
    assert counted == ["e1 1"]
    assert [letter["reason"] for letter in one.dead] == ["over-limit"]
