"""Starts after the end of another flow: what they see of it."""

from __future__ import annotations

from typing import Any

from operators.after import PARTS, after_env
from schemas.expression.types import STRING
from schemas.program import After
from tests.operators.executions import act, runnable

READS = (("event.correlationid", STRING), ("after.first.status", STRING), ("after.second.status", STRING))
ENDED: dict[str, Any] = dict.fromkeys(PARTS) | {"flow": "first", "status": "failed", "event.correlationid": "C-1"}


def test_a_start_sees_the_end_of_that_flow_and_the_event_that_tells_it() -> None:
    program = runnable(act("say"), reads=READS).program
    env = after_env(After(("first", "second"), "any"), program, ENDED)
    assert env is not None
    assert {key: env[key] for key, _ in READS} == {
        "event.correlationid": "C-1",
        "after.first.status": "failed",
        "after.second.status": None,
    }


def test_another_end_starts_nothing() -> None:
    program = runnable(act("say"), reads=READS).program
    assert after_env(After(("first",)), program, ENDED) is None
    assert after_env(After(("second",), "any"), program, ENDED) is None
