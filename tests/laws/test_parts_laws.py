"""Law of the parts of a turn: what one part sets going comes in its place among what the next parts hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.engine.settings import EngineSettings
from flows.language.definitions import control_records, load_definitions
from schemas.avro.schema import avro_schema
from schemas.records import Control, encode
from schemas.topics import CONTROL
from tests.laws.recorded import HOLD, PARTITIONS, TENANT, recorded, replayed
from tests.laws.test_input_laws import transitions

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
