"""What is said to nobody: to an execution that is not alive, to another tenant's, to a flow that nobody has. It is set aside."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from flows.engine.settings import EngineSettings
from flows.language.definitions import control_records, load_definitions
from schemas.avro.schema import avro_schema
from schemas.records import Decision, OperatorCommand, encode
from schemas.topics import COMMANDS, CONTROL, DECISIONS
from tests.laws.recorded import PARTITIONS, TENANT, recorded

NOBODY = "0" * 31 + "1"
DECIDED = Decision(tenant="acme", execution=NOBODY, step="ask", outcome="approved", by="ann", at=1)
FORGED = Decision(tenant="acme", execution=NOBODY, step="ask", outcome="rejected", by="", at=1, refused="forged")
CANCELLED = OperatorCommand(command="cancel", tenant="acme", execution=NOBODY, by="ann", at=1)


@pytest.mark.parametrize(
    ("said", "topic", "kind", "reason"),
    [
        (DECIDED, DECISIONS, "decision", "not-alive"),
        (FORGED, DECISIONS, "decision", "forged"),
        (CANCELLED, COMMANDS, "command", "not-alive"),
    ],
)
def test_it_is_set_aside_with_what_was_said(said: Decision | OperatorCommand, topic: str, kind: str, reason: str) -> None:
    with recorded(EngineSettings(partitions=PARTITIONS), 1, 10) as home:
        home.send(topic, encode(said))
        while home.step():
            pass
        home.answer()
        (letter,) = home.dead
        assert (letter["kind"], letter["reason"], letter["tenant"], letter["topic"]) == (kind, reason, "acme", topic)
        assert home.histories == {}


CALLS = """
event: order.placed
topic: shop.events
fields: {order: {id: string}}
---
flow: called
inputs: {id: string}
trigger: {manual: {roles: [desk]}, id: inputs.id}
steps: [{action: note, with: {order: "{{ inputs.id }}"}}]
---
flow: caller
trigger: {event: order.placed}
steps:
  - {call: called, as: back, with: {id: "{{ order.id }}"}, AWAITED}
  - {action: note, as: beside, with: {order: "{{ order.id }}"}}
"""


@pytest.mark.parametrize("awaited", [True, False])
def test_a_call_of_a_version_that_is_not_known_fails_and_the_engine_goes_on(tmp_path: Path, *, awaited: bool) -> None:
    (tmp_path / "flows.yaml").write_text(CALLS.replace("AWAITED", "timeout: 1d" if awaited else "await: false"))
    found = load_definitions([tmp_path / "flows.yaml"])
    assert found.ok, found.problems
    known = [one for one in control_records(found, lambda _: 1, avro_schema) if "called" not in one.key]
    (version,) = [flow.version for flow in found.flows if flow.name == "called"]
    event = {"specversion": "1.0", "source": "/law", "type": "order.placed", "tenant": TENANT, "time": "2026-02-01T00:00:00Z"}
    with recorded(EngineSettings("wall", partitions=PARTITIONS), 1, 10) as home:
        home.send(CONTROL, *(encode(one) for one in known if version not in one.key))
        home.send("shop.events", json.dumps(event | {"id": "e1", "data": {"order": {"id": "o1"}}}).encode())
        while home.step():
            home.answer()
        home.answer()
        (letter,) = home.dead
        (did,) = home.histories.values()
        assert (letter["kind"], letter["reason"]) == ("command", "no-such-flow")
        assert version in letter["detail"]
        assert json.loads(b64decode(letter["payload"]))["inputs"] == {"id": "o1"}
        assert did[-1][1:] == (["ended", "", "", "failed"] if awaited else ["ended", "", "", "completed"])
        assert len(home.actions) == (0 if awaited else 1)
