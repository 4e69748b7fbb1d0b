"""Which flows began behind the ends of several others: told again from the ends in their order, with nothing of the product's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.topics import FLOW_EVENTS, is_events
from tests.simulation.invariants import _time_us
from tests.simulation.recorder import Recorder
from tests.simulation.stories.account import Home
from tests.simulation.stories.counting import own_time_us
from tests.simulation.stories.draw_triggers import span_us
from tests.simulation.stories.script import Script

NAME = "joined"


class Told(NamedTuple):
    """The end of a flow as it was taken in: at which clock, and up to which time deadlines had passed before."""

    said: dict[str, Any]
    now_us: int
    past_us: int


@dataclass(slots=True)
class Open:
    """Ends of one key that wait for the others."""

    until_us: int  # of the times of ends
    due_us: int
    flows: set[str] = field(default_factory=set)


def check_gathered(script: Script, home: Home, recorder: Recorder, coverage: Counter[str]) -> None:
    """Hold that exactly those flows began behind several ends that had to, each behind its last one."""
    if NAME not in script.active:
        return
    trigger = script.active[NAME]["trigger"]
    must, lapsed = _retell(trigger, script, recorder)
    found = Counter((one.tenant, one.event) for one in home.accounts.values() if one.flow == NAME)
    assert found == must, f"began behind several ends: {found - must} must not, {must - found} must"
    letters = sum(letter["reason"] == "incomplete" for letter in home.read.letters)
    assert letters == lapsed, f"{letters} dead letters tell what was not complete in time, {lapsed} must"
    coverage["story: joined, complete"] += sum(must.values())
    coverage["story: joined, incomplete"] += lapsed


def _retell(trigger: dict[str, Any], script: Script, recorder: Recorder) -> tuple[Counter[tuple[str, str]], int]:
    within_us, lapsed = span_us(trigger["within"]), 0
    waiting: dict[tuple[str, str], Open] = {}
    began: Counter[tuple[str, str]] = Counter()
    heard = set[str]()
    for one in _ends(script, recorder):
        said, time_us = one.said, _time_us(one.said["time"])
        fits = said["data"]["flow"] in trigger["after"] and trigger["status"] in ("any", said["data"]["status"])
        if not fits or said["id"] in heard:
            continue
        heard.add(said["id"])
        key = said["tenant"], said["tenant"] if "key" in trigger else said["correlationid"]
        open_ = waiting.get(key)
        if open_ is not None and (open_.due_us <= one.past_us or time_us > open_.until_us):
            del waiting[key]
            lapsed += 1
            open_ = None
        if open_ is None:
            due_us = max(time_us, one.now_us) + within_us
            open_ = waiting[key] = Open(time_us + within_us, due_us)
        open_.flows.add(said["data"]["flow"])
        if open_.flows == set(trigger["after"]):
            del waiting[key]
            began[said["tenant"], said["id"]] += 1
    return began, lapsed + len(waiting)


def _ends(script: Script, recorder: Recorder) -> Iterator[Told]:
    clock = passed = 0
    for piece in recorder.pieces:
        for taken in piece.taken:
            if not is_events(taken.topic):
                continue
            if script.scenario.exact:
                clock = max(clock, script.time_us(taken.data) or own_time_us(taken.data))
                passed = max(passed, clock - 1)
            else:
                clock, passed = max(clock, piece.now_us), max(passed, taken.past_us)
            if taken.topic == FLOW_EVENTS:
                yield Told(json.loads(taken.data), clock, passed)
        clock, passed = max(clock, piece.now_us), max(passed, piece.past_us)
