"""Control records are kept for ever: one that nobody can carry out is set aside, and no role stumbles over it at any start."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.deployment import in_force
from flows.engine.settings import EngineSettings
from flows.roles.dispatcher import DispatcherSettings, build_dispatcher
from flows.roles.engine import build_engine
from flows.roles.server import build_server
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from operators.turn.deployed import Deployed
from schemas.connector_rules import ConnectorRules
from schemas.ports import Append
from schemas.records import Control, DeadLetter, Json, decode, encode
from schemas.topics import CONTROL, DEAD_LETTERS
from sinks.calls import InlineCalls

GOOD = encode(Control(key="connector/*/send_*", value={"connector": "http", "settings": {"url": "http://127.0.0.1:9/"}}))
BAD = {
    "a rule without a connector": encode(Control(key="connector/*/send_*", value={})),
    "a rule that is a text": encode(Control(key="connector/*/send_*", value="http")),
    "settings that are a number": encode(Control(key="connector/*/send_*", value={"connector": "http", "settings": 5})),
    "a version that is a list": encode(Control(key="active/*/greet", value={"version": []})),
    "a schema id that is no number": encode(Control(key="schema/x", value={})),
    "a contract that is none": encode(Control(key="contract/deal.closed", value=[1])),
    "no UTF-8": b'{"key":"\xff"}',
    "nested too deep": b'{"key":"a","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no JSON": b"\x00",
}


def _dead_letters(home: Path) -> list[DeadLetter]:
    reader = FileReader(home / "engine-0.db", DEAD_LETTERS.__eq__, {})
    records = [record for chunk in reader.poll(1000) for record in chunk.records]
    reader.close()
    return [decode(DeadLetter, record) for record in records]


@pytest.mark.parametrize("record", BAD.values(), ids=BAD.keys())
def test_a_control_record_that_cannot_be_carried_out_stops_no_role(tmp_path: Path, record: bytes) -> None:
    log = IngressLog(tmp_path / "ingress.db")
    log.append([Append(CONTROL, 0, [GOOD, record])], SystemClock().now_us())
    for turns in (1, 0):
        engine = build_engine(tmp_path, EngineSettings())
        assert sum(engine.step() is not None for _ in range(3)) == turns
        assert engine.deployed.connector("acme", "send_email") == "http"
        engine.close()
    assert [letter.kind for letter in _dead_letters(tmp_path)] == ["control"]
    build_dispatcher(tmp_path, DispatcherSettings(), InlineCalls()).close()
    build_server(tmp_path, log, SystemClock()).close()
    log.close()
    assert list(in_force(tmp_path).values) == ["connector/*/send_*"]


@pytest.mark.parametrize("pattern", ["send_*", "*_email", "send_emai?", "[st]end_*", "send_email"])
def test_engine_and_dispatcher_agree_on_which_rule_fits(pattern: str) -> None:
    value: Json = {"connector": "webhook", "settings": {}}
    deployed, rules = Deployed(), ConnectorRules()
    deployed.apply(Control(key=f"connector/*/{pattern}", value=value))
    rules.apply(f"connector/*/{pattern}", value)
    assert deployed.connector("acme", "send_email") == rules.rule("acme", "send_email").connector == "webhook"
