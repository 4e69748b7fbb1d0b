"""What a trigger reads as another type than it is counts as missing, and is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.driving import deployed, process, sent, thing, value

FLOWS = """
event: thing.made
topic: lab.events
fields: {thing: {id: string, extra: any?, other: any?}}
---
action: note
params: {id: string}
---
flow: big
trigger: {event: thing.made, conditions: [thing.extra > 100]}
steps: [{action: note, with: {id: "{{ thing.id }}"}}]
---
flow: both
trigger: {event: thing.made, conditions: {any: [thing.extra == "x", thing.other == "x"]}}
steps: [{action: note, with: {id: "{{ thing.id }}"}}]
---
flow: many
trigger:
  event: thing.made
  conditions: [thing.extra > 100]
  window: {key: thing.id, sliding: 1h, measures: {things: count()}, when: window.things >= 1}
steps: [{action: note, with: {id: "{{ thing.id }}"}}]
---
flow: twice
trigger:
  - {as: one, event: thing.made, conditions: [thing.extra > 100]}
  - as: more
    event: thing.made
    conditions: [thing.extra > 10]
    window: {key: thing.id, sliding: 1h, measures: {n: count()}, when: window.n > 9}
steps: [{action: note, with: {id: "{{ thing.id }}"}}]
---
flow: chain
trigger:
  sequence:
    key: thing.id
    within: 1h
    events: [{event: thing.made, as: a, conditions: [a.thing.extra > 100]}, {event: thing.made, as: b}]
steps: [{action: note, with: {id: "{{ a.thing.id }}"}}]
---
flow: typed
trigger: {event: thing.made, conditions: [thing.id == "1"]}
steps: [{action: note, with: {id: "{{ thing.id }}"}}]
"""


@pytest.mark.slow  # all roles, each a process
def test_flow_stats_count_events_whose_fields_are_not_of_the_type_that_a_trigger_wants(tmp_path: Path) -> None:
    home = deployed(tmp_path / "home", FLOWS)
    drawn: list[dict[str, Any]] = [
        {"extra": 150},
        {"extra": "x"},
        {"extra": 12.5, "other": 3},
        {"other": "x"},
        {"extra": None},
        {"extra": [1]},
    ]
    sent(home, *(thing(str(at), **fields) for at, fields in enumerate(drawn)))
    process("up", "--until-idle", "--clock", "events", home=home)
    rows = value(
        "query", "select flow, sum(started) as started, sum(mistyped) as mistyped from flow_stats group by flow", home=home
    )
    assert {row["flow"]: (row["started"], row["mistyped"]) for row in rows} == {
        "big": (1, 2),
        "many": (1, 2),
        "twice": (1, 2),
        "chain": (0, 2),
        "both": (2, 3),
        "typed": (1, 0),
    }
