"""A record on which the engine raises is found and set aside as one that kills it is; nobody else stops working for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest

from flows.engine.careful import DEATHS
from infra.clock import SystemClock
from infra.embedded_log import IngressLog
from infra.file_reader import FileReader
from schemas.contracts import EventContract, encode_contract
from schemas.expression.tree import Compare, Constant, Field
from schemas.expression.types import Type
from schemas.ports import Append
from schemas.program import EventTrigger, Program, Stop, pack
from schemas.records import Control, DeadLetter, decode, encode
from schemas.topics import CONTROL, DEAD_LETTERS

CONTRACT = EventContract(event="deal.closed", topic="crm.events", data=Type("record", fields=(("n", Type("int")),)))
RAISES = Compare("<", Field("n", (), Type("int")), Constant("x", Type("string")))  # `check` would never let it pass
DEADLINE_S = 30.0


def _fill(home: Path) -> None:
    program = Program("greet", "v1", (), (EventTrigger("deal.closed", RAISES),), (), (Stop("stop_end", "end"),))
    controls = {
        "contract/deal.closed": json.loads(encode_contract(CONTRACT)),
        "version/*/greet/v1": {"program": b64encode(pack(program)).decode()},
        "active/*/greet": {"version": "v1"},
    }
    event = {"id": "1", "source": "s", "type": "deal.closed", "time": "2026-05-28T20:26:40Z", "tenant": "acme", "data": {"n": 1}}
    log = IngressLog(home / "ingress.db")
    records = [encode(Control(key=key, value=value)) for key, value in controls.items()]
    log.append([Append(CONTROL, 0, records), Append("crm.events", 0, [json.dumps(event).encode()])], SystemClock().now_us())
    log.close()


def _engine(home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flows", "run", "engine", "--home", str(home)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _letters(home: Path) -> list[DeadLetter]:
    reader = FileReader(home / "engine-0.db", DEAD_LETTERS.__eq__, {})
    records = [record for chunk in reader.poll(10) for record in chunk.records]
    reader.close()
    return [decode(DeadLetter, record) for record in records]


@pytest.mark.slow
def test_a_record_on_which_the_engine_raises_is_set_aside_after_four_deaths(tmp_path: Path) -> None:
    _fill(tmp_path)
    for _ in range(DEATHS + 2):
        assert _engine(tmp_path).wait(DEADLINE_S) == 1
    last = _engine(tmp_path)
    give_up_s = time.monotonic() + DEADLINE_S
    while not _letters(tmp_path) and last.poll() is None and time.monotonic() < give_up_s:
        os.sched_yield()
    last.terminate()
    assert last.wait(DEADLINE_S) == 0
    assert [(one.kind, one.topic, one.position) for one in _letters(tmp_path)] == [("poison", "crm.events", 0)]
