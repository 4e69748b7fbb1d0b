"""The default engine: the stages of a turn as a Bytewax dataflow, and what crosses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bytewax.visualize import to_json, to_mermaid

from flows.demo.flows import demo_files
from flows.engine.engine import Engine
from flows.engine.settings import EngineSettings
from flows.engine.work import Done
from flows.language.definitions import control_records, load_definitions
from flows.roles.engine import build_engine
from flows.run_bytewax import _DynamicSource, _Failure, make_dataflow, run
from infra.embedded_log import IngressLog
from schemas.errors import BrokenInvariant, StorageFailed
from schemas.ports import Append
from schemas.records import encode
from schemas.topics import CONTROL, INGRESS_FILE, partition_of

STAGES = ["input", "decode", "match", "join", "advance", "commit"]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IngressLog]:
    written = IngressLog(tmp_path / INGRESS_FILE)
    definitions = load_definitions([Path(str(path)) for path in demo_files()])
    numbers = {one.event: at for at, one in enumerate(definitions.contracts, start=1)}
    records = control_records(definitions, lambda one: numbers[one.event], lambda _: None)
    written.append([Append(CONTROL, 0, [encode(one) for one in records])], 1)
    yield written
    written.close()


@pytest.fixture
def engine(log: IngressLog, tmp_path: Path) -> Iterator[Engine]:
    built = build_engine(tmp_path, EngineSettings("events"))
    yield built
    built.close()


def _send(log: IngressLog, *ids: str) -> None:
    deal = {"id": "d", "value": 20_000, "stage": "Won", "account": "A", "agent": "Ann", "product": "GTX"}
    event = {"source": "/crm", "type": "deal.closed", "tenant": "acme", "time": "2026-01-01T00:00:00Z", "data": {"deal": deal}}
    records = [json.dumps({"id": one, **event}).encode() for one in ids]
    log.append([Append("crm.events", partition_of("acme", log.partitions), records)], 2)


def _until_idle(engine: Engine) -> list[Done]:
    done: list[Done] = []
    looks = iter(range(100_000))
    run(engine, lambda: next(looks) < 50 or (next(looks) < 100_000 and not engine.idle()), done.append)
    return done


def test_the_graph_is_the_way_of_the_data(engine: Engine) -> None:
    flow = make_dataflow(engine, lambda: True, lambda _: None, _Failure())
    drawn = json.loads(to_json(flow))
    assert [step["step_id"].removeprefix("millrace.") for step in drawn["substeps"]] == STAGES
    assert "millrace.match" in to_mermaid(flow)


def test_events_run_through_and_each_starts_its_flows_once(engine: Engine, log: IngressLog) -> None:
    _send(log, "e1", "e2", "e1")
    done = _until_idle(engine)
    assert sum(one.started for one in done) == 4  # two deals, each onboarded and invoiced
    _send(log, "e2")
    assert sum(one.started for one in _until_idle(engine)) == 0


def test_what_a_stage_raises_comes_out_whole_and_nothing_of_its_turn_is_committed(
    engine: Engine, log: IngressLog, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _until_idle(engine)
    before = engine.counts
    broken = StorageFailed("the disk is full")

    def fail(_: object) -> None:
        raise broken

    monkeypatch.setattr(engine, "match", fail)
    _send(log, "e1")
    with pytest.raises(StorageFailed) as raised:
        run(engine, lambda: True, lambda _: None)
    assert raised.value is broken
    assert engine.counts == before
    assert "panicked" not in capfd.readouterr().err


def test_more_than_one_worker_is_refused(engine: Engine) -> None:
    source = _DynamicSource(engine, lambda: True, _Failure())
    with pytest.raises(BrokenInvariant, match="one worker, not 2"):
        source.build("input", 0, 2)
