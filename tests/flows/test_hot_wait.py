"""An event that very many executions wait for: it meets them in slices of their own, in order; nothing of it shows."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.engine import masses
from flows.engine.engine import Engine, EngineSettings, Stopped
from flows.roles.engine import build_engine
from infra.file_reader import FileReader
from schemas.records import Action, decode
from schemas.topics import ACTIONS_PREFIX, engine_file
from tests.flows.driving import command, deployed

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


def _event(kind: str, name: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
    time = f"2026-01-01T00:{at // 60:02}:{at % 60:02}Z"
    return {"specversion": "1.0", "id": name, "source": "/hot", "type": kind, "tenant": "acme", "time": time, "data": data}


def _opened(name: str, at: int, size: int) -> dict[str, Any]:
    return _event("shop.opened", name, at, {"shop": {"id": "s", "size": size}})


def _home(tmp_path: Path, *last: dict[str, Any]) -> Path:
    home = deployed(tmp_path / "home", FLOWS)
    orders = [
        _event("order.placed", f"o{at}", at, {"order": {"id": f"o{at:02}", "shop": "s", "least": int(at >= SMALL)}})
        for at in range(WAITING)
    ]
    _send(tmp_path, home, *orders)
    with closing(build_engine(home, EngineSettings("wall"))) as engine:
        _drain(engine)
    _send(tmp_path, home, *last)
    return home


def _send(tmp_path: Path, home: Path, *events: dict[str, Any]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events))
    command("send", "--topic", "shop.events", str(file), home=home)


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
    with closing(build_engine(whole, EngineSettings("wall"))) as engine:
        _drain(engine)
    monkeypatch.setattr(masses, "MEET_MAX", MOST)
    sliced = _home(tmp_path / "sliced", *events)
    with closing(build_engine(sliced, EngineSettings("wall"))) as engine:
        before = engine.live
        between: list[int] = []
        engine.between = lambda: _note(between, 100)
        _drain(engine)
        assert len(between) >= 2 * WAITING // MOST
        assert engine.live == before - WAITING
    assert _issued(sliced) == _issued(whole)
    assert len(_issued(whole)) == WAITING + 1


def test_an_event_that_only_the_first_slices_wanted_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masses, "MEET_MAX", MOST)
    home = _home(tmp_path, _opened("small", 50, 0))
    for event in (_late_order(), _opened("small", 50, 0)):
        with closing(build_engine(home, EngineSettings("wall"))) as engine:
            _drain(engine)
        _send(tmp_path, home, event)
    with closing(build_engine(home, EngineSettings("wall"))) as engine:
        _drain(engine)
    assert sorted(_issued(home)) == [f"o{at:02}" for at in range(SMALL)]


def _late_order() -> dict[str, Any]:
    return _event("order.placed", "late", 52, {"order": {"id": "late", "shop": "s", "least": 0}})


@pytest.mark.parametrize("stop", (1, 2, 5, 6))  # before the row, in slices, behind the last of them
def test_a_death_between_slices_loses_none_and_doubles_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr(masses, "MEET_MAX", MOST)
    home = _home(tmp_path, _opened("large", 51, 5))
    asked: list[int] = []
    with closing(build_engine(home, EngineSettings("wall"))) as engine:
        engine.between = lambda: _note(asked, stop)
        with pytest.raises(Stopped):
            _drain(engine)
    with closing(build_engine(home, EngineSettings("wall"))) as engine:
        _drain(engine)
    expected = [f"o{at:02}" for at in range(WAITING)]
    assert sorted(_issued(home)) == expected
    _send(tmp_path, home, _late_order())
    _send(tmp_path, home, _opened("large", 51, 5))
    with closing(build_engine(home, EngineSettings("wall"))) as engine:
        _drain(engine)
    assert sorted(_issued(home)) == expected, "the same event met somebody again"
