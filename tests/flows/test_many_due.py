"""Very many timers due at once: the engine reports and can be stopped between its transactions, and nothing shows of it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from flows.engine import slices
from flows.engine.engine import Stopped
from flows.engine.settings import EngineSettings
from flows.roles.dispatcher import DispatcherSettings, build_dispatcher
from flows.roles.engine import build_engine
from infra.file_reader import FileReader
from schemas.records import Action, decode
from schemas.topics import ACTIONS_PREFIX, engine_file
from tests.flows.driving import LAB, command, deployed, thing

FLOW = LAB.replace("steps:\n", "steps:\n  - delay: 2d\n")
DUE = 40
EVENTS = EngineSettings("events")


def _issued(home: Path) -> Counter[str]:
    with closing(FileReader(home / engine_file(0), lambda topic: topic.startswith(ACTIONS_PREFIX), {})) as reader:
        return Counter(decode(Action, record).subject for chunk in reader.poll(1_000) for record in chunk.records)


def test_the_engine_reports_between_the_transactions_of_a_turn_and_stops_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "DUE_MAX", 10)
    home = deployed(tmp_path / "home", FLOW)
    file = tmp_path / "things.jsonl"
    file.write_text("\n".join(json.dumps(thing(f"t{at}")) for at in range(DUE)))
    command("send", "--topic", "lab.events", str(file), home=home)
    waiting: list[int] = []
    with closing(build_engine(home, EVENTS)) as engine:

        def between() -> bool:
            waiting.append(engine.live)
            return len(waiting) < 2

        engine.between = between
        with pytest.raises(Stopped):
            while engine.step():
                pass
    assert waiting == [DUE - 10, DUE - 20]
    assert sum(_issued(home).values()) == 20
    with closing(build_engine(home, EVENTS)) as engine:
        while engine.step():
            pass
        assert not engine.held or engine.open_actions
    with closing(build_dispatcher(home, DispatcherSettings("events"))) as dispatcher:
        while not dispatcher.idle:
            dispatcher.step(1_000)
    with closing(build_engine(home, EVENTS)) as engine:
        while engine.step():
            pass
        assert engine.live == 0
    assert _issued(home) == Counter(dict.fromkeys(_issued(home), 1))
    assert len(_issued(home)) == DUE
