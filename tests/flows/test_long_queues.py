"""A long queue that may go all at once, as when a quota begins anew, goes in pieces: no turn grows with it, its order stays."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine
from infra.file_reader import FileReader
from operators.turn import limited
from schemas.records import Action, decode
from schemas.topics import ACTIONS_PREFIX, engine_file
from tests.flows.driving import command, deployed
from tests.laws.recorded import HandClock

HOUR_US = 3_600_000_000
MOST = 4
QUOTA = 30
FLOWS = """
event: job.made
fields: {job: {id: string}}
topic: job.events
---
flow: work
trigger: {event: job.made}
limits: {quota: {max: 30, per: 1h, over: queue}}
steps: [{action: work, with: {id: "{{ job.id }}"}}]
"""


def _events(first: int, count: int) -> str:
    base = {"specversion": "1.0", "source": "/jobs", "type": "job.made", "tenant": "acme", "time": "2026-01-01T00:00:00Z"}
    return "\n".join(
        json.dumps({**base, "id": f"e{at}", "data": {"job": {"id": f"j{at:03}"}}}) for at in range(first, first + count)
    )


def _worked(home: Path) -> list[str]:
    with closing(FileReader(home / engine_file(0), lambda topic: topic.startswith(ACTIONS_PREFIX), {})) as reader:
        return [decode(Action, record).data["id"] for chunk in reader.poll(1_000) for record in chunk.records]


def test_a_queue_that_may_go_at_once_goes_in_pieces_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "LET_GO_MOST", MOST)
    home = deployed(tmp_path / "home", FLOWS)
    file = tmp_path / "events.jsonl"
    file.write_text(_events(0, 2 * QUOTA))
    command("send", "--topic", "job.events", str(file), home=home)
    clock = HandClock()
    with closing(build_engine(home, EngineSettings("wall"), clock=clock)) as engine:
        while engine.step():
            clock.at_us += 10
        assert len(_worked(home)) == QUOTA
        clock.at_us += 2 * HOUR_US
        pieces, before = [], QUOTA
        while engine.step():
            clock.at_us += 10
            pieces.append(len(_worked(home)) - before)
            before += pieces[-1]
        assert max(pieces) <= MOST
        assert sum(pieces) == QUOTA
        assert engine.live == 0
    assert _worked(home) == [f"j{at:03}" for at in range(2 * QUOTA)]
