"""An event that very many executions wait for: it meets them in slices of their own, in order; nothing of it shows."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.engine import masses
from flows.engine.engine import Engine, Stopped
from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from infra.file_reader import FileReader
from schemas.records import Action, decode
from schemas.topics import ACTIONS_PREFIX, engine_file
from tests.flows.driving import command, deployed
from tests.laws.recorded import HandClock

WAITING = 43
MOST = 10
SMALL = 20  # so many orders may go on by a small shop
FLOWS = """
event: order.placed
fields: {order: {id: string, shop: string, least: int}}
topic: shop.events
---
event: shop.opened
fields: {shop: {id: string, size: int}}
topic: shop.events
---
flow: ship
trigger: {event: order.placed}
steps:
  - wait: shop.opened
    as: opened
    correlate: opened.shop.id == order.shop
    conditions: opened.shop.size >= order.least
    timeout: 9d
    on_timeout: fail
  - action: ship
    as: first
    with: {order: "{{ order.id }}"}
---
flow: greet
trigger: {event: shop.opened, conditions: shop.size > 5}
steps: [{action: greet, with: {order: "{{ shop.id }}"}}]
"""

ORDERS = """
event: order.placed
fields: {order: {id: string, shop: string, least: int}}
topic: shop.events
---
event: shop.opened
fields: {shop: {id: string, size: int}, order: {shop: string}}
topic: shop.events
---
flow: ship
"""
QUICK = ("waits", "sequence", "limited")
FORMS = {
    "waits": """trigger: {event: order.placed}
steps:
  - wait: shop.opened
    as: one
    correlate: one.shop.id == order.shop
    conditions: one.shop.size >= order.least
    timeout: 9d
    on_timeout: fail
  - {action: ship, as: first, with: {order: "{{ order.id }} one"}}
  - {wait: shop.opened, as: two, correlate: two.shop.id == order.shop, timeout: 9d, on_timeout: fail}
  - {action: ship, as: second, with: {order: "{{ order.id }} two"}}
""",
    "limited": """trigger: {event: order.placed}
limits: {concurrency: {max: 30, over: queue}}
steps:
  - {action: ship, as: begun, with: {order: "{{ order.id }} begun"}, await: false}
  - {wait: shop.opened, as: opened, correlate: opened.shop.id == order.shop, timeout: 9d, on_timeout: fail}
""",
    "sequence": """trigger:
  sequence:
    {key: order.shop, within: 400d, events: [{event: order.placed, as: placed}, EVENT one}, EVENT two}]}
steps: [{action: ship, with: {order: "{{ placed.order.id }}"}}]
""".replace("EVENT", "{event: shop.opened, as:"),
    "late sequence": """trigger:
  sequence:
    {key: order.shop, within: 400d, lateness: 2d, events: [{event: order.placed, as: placed}, EVENT one}, EVENT two}]}
steps: [{action: ship, with: {order: "{{ placed.order.id }}"}}]
""".replace("EVENT", "{event: shop.opened, as:"),
    "absence": """trigger:
  event: order.placed
  absence: {of: shop.opened, as: opened, correlate: opened.shop.id == order.shop, conditions: opened.shop.size >= order.least,
    within: 400d}
steps: [{action: ship, with: {order: "{{ order.id }}"}}]
""",
    "calls": """trigger: {event: order.placed}
steps:
  - {wait: shop.opened, as: opened, correlate: opened.shop.id == order.shop, timeout: 9d, on_timeout: fail}
  - {call: child, as: called, with: {shop: "{{ order.shop }}", order: "{{ order.id }}"}, timeout: 8d}
---
flow: child
inputs: {shop: string, order: string}
trigger: {manual: {roles: [desk]}}
steps:
  - {wait: shop.opened, as: opened, correlate: opened.shop.id == inputs.shop, timeout: 7d, on_timeout: fail}
  - {action: ship, with: {order: "{{ inputs.order }}"}}
""",
}
FORMS["calls that look back"] = FORMS["calls"].replace("inputs.shop, timeout", "inputs.shop, look_back: 1d, timeout")


def _event(kind: str, name: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
    time = f"2026-01-01T00:{at // 60:02}:{at % 60:02}Z"
    return {"specversion": "1.0", "id": name, "source": "/hot", "type": kind, "tenant": "acme", "time": time, "data": data}


def _opened(name: str, at: int, size: int) -> dict[str, Any]:
    return _event("shop.opened", name, at, {"shop": {"id": "s", "size": size}})


def _home(tmp_path: Path, *last: dict[str, Any], flows: str = FLOWS) -> Path:
    home = deployed(tmp_path / "home", flows)
    orders = [
        _event("order.placed", f"o{at}", at, {"order": {"id": f"o{at:02}", "shop": "s", "least": int(at >= SMALL)}})
        for at in range(WAITING)
    ]
    _send(tmp_path, home, *orders)
    with closing(_engine(home)) as engine:
        _drain(engine)
    _send(tmp_path, home, *last)
    return home


def _send(tmp_path: Path, home: Path, *events: dict[str, Any]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events))
    command("send", "--topic", "shop.events", str(file), home=home)


def _engine(home: Path) -> Engine:
    return build_engine(home, EngineSettings("wall"), clock=HandClock())


def _drain(engine: Engine) -> None:
    for _ in range(100):
        if not engine.step():
            return


def _note(asked: list[int], most: int) -> bool:
    asked.append(len(asked))
    return len(asked) < most


def _issued(home: Path) -> list[str]:
    with closing(FileReader(home / engine_file(0), lambda topic: topic.startswith(ACTIONS_PREFIX), {})) as reader:
        return [decode(Action, record).data["order"] for chunk in reader.poll(1_000) for record in chunk.records]


def test_masses_that_wait_for_one_event_go_on_in_slices_in_the_order_of_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = (_opened("small", 50, 0), _opened("large", 51, 9))
    whole = _home(tmp_path / "whole", *events)
    with closing(_engine(whole)) as engine:
        _drain(engine)
    monkeypatch.setattr(masses, "MEET_MAX", MOST)
    sliced = _home(tmp_path / "sliced", *events)
    with closing(_engine(sliced)) as engine:
        before = engine.live
        between: list[int] = []
        engine.between = lambda: _note(between, 100)
        _drain(engine)
        assert len(between) >= 2 * WAITING // MOST
        assert engine.live == before - WAITING
    assert _issued(sliced) == _issued(whole)
    assert len(_issued(whole)) == WAITING + 1


@pytest.mark.parametrize("deaths", ((), (2, 1), (3,), (4,), (5,)))  # behind so many parts of the turn
def test_an_event_that_only_the_first_slices_wanted_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: tuple[int, ...]
) -> None:
    monkeypatch.setattr(masses, "MEET_MAX", MOST)
    home = _home(tmp_path, _opened("small", 50, 0))
    for parts in deaths:
        asked: list[int] = []
        with closing(_engine(home)) as engine, pytest.raises(Stopped):
            engine.between = partial(_note, asked, parts)
            _drain(engine)
    for event in (_late_order(), _opened("small", 50, 0)):
        with closing(_engine(home)) as engine:
            _drain(engine)
        _send(tmp_path, home, event)
    with closing(_engine(home)) as engine:
        _drain(engine)
    assert sorted(_issued(home)) == [f"o{at:02}" for at in range(SMALL)]


def _late_order() -> dict[str, Any]:
    return _event("order.placed", "late", 52, {"order": {"id": "late", "shop": "s", "least": 0}})


@pytest.mark.parametrize("stop", (1, 2, 5, 6))  # before the row, in slices, behind the last of them
def test_a_death_between_slices_loses_none_and_doubles_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr(masses, "MEET_MAX", MOST)
    home = _home(tmp_path, _opened("large", 51, 5))
    asked: list[int] = []
    with closing(_engine(home)) as engine:
        engine.between = lambda: _note(asked, stop)
        with pytest.raises(Stopped):
            _drain(engine)
    with closing(_engine(home)) as engine:
        _drain(engine)
    expected = [f"o{at:02}" for at in range(WAITING)]
    assert sorted(_issued(home)) == expected
    _send(tmp_path, home, _late_order())
    _send(tmp_path, home, _opened("large", 51, 5))
    with closing(_engine(home)) as engine:
        _drain(engine)
    assert sorted(_issued(home)) == expected, "the same event met somebody again"


def _sells(name: str, at: int, size: int) -> dict[str, Any]:
    return _event("shop.opened", name, at, {"shop": {"id": "s", "size": size}, "order": {"shop": "s"}})


def _lives(home: Path, lives: int) -> tuple[list[str], int]:
    """Let that many engines end between two parts, the first after one, the next after two; then go on to the end."""
    for parts in range(1, lives + 1):
        asked: list[int] = []
        with closing(_engine(home)) as engine, suppress(Stopped):
            engine.between = partial(_note, asked, parts)
            _drain(engine)
    with closing(_engine(home)) as engine:
        _drain(engine)
        return _issued(home), engine.live


@pytest.mark.parametrize("form", [form if form in QUICK else pytest.param(form, marks=pytest.mark.slow) for form in FORMS])
def test_what_an_event_meets_is_the_same_whole_in_slices_and_with_a_death_behind_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    met = []
    for most, lives in ((20_000, 0), (MOST, 0), (MOST, 5)):
        monkeypatch.setattr(masses, "MEET_MAX", most)
        path = tmp_path / f"{most} {lives}"
        home = _home(path, _sells("a", 50, 0), flows=ORDERS + FORMS[form])
        met.append([_lives(home, lives)])
        for event in (_sells("a", 50, 0), _sells("b", 51, 1)):
            _send(path, home, event)
            met[-1].append(_lives(home, lives))
    whole, sliced, dying = met
    assert sliced == whole
    assert [(sorted(issued), live) for issued, live in dying] == [(sorted(issued), live) for issued, live in whole]
    assert whole[0] == whole[1], "the same event met somebody again"
    assert whole[2] != ([], WAITING)
    assert "sequence" not in form or whole[0] == ([], WAITING), "one event counted twice in a sequence"
