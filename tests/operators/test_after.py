"""Starts after the end of another flow: what they see of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from operators.advance.gather import gather, open_gathering
from operators.execution.execution import State
from operators.execution.run import Moment
from operators.steps.steps import make_runnable
from operators.triggers.after import PARTS, after_env, gather_key
from schemas.expression.tree import Field
from schemas.expression.types import ANY, STRING, Type
from schemas.program import After
from tests.operators.executions import CAUSE, HOUR, ID, NOW, TENANT, act, runnable

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


OUTPUT = Type("record", fields=(("book", STRING), ("total", Type("money", currency="GBP"))))
BOTH = After(
    ("first", "second"), join="all", within_us=HOUR, key=Field("after.first.output", ("book",), STRING), outputs=(OUTPUT, ANY)
)


def the_end(flow: str, book: str = "main", correlation: str = "C-1") -> dict[str, Any]:
    ended = dict.fromkeys(PARTS) | {"flow": flow, "status": "completed", "execution": f"x-{flow}"}
    return ended | {"output": {"book": book, "total": "2.50 GBP"}, "event.correlationid": correlation}


def test_an_output_is_read_by_the_type_it_had_and_what_is_another_now_is_missing() -> None:
    program = runnable(act("say")).program
    env = after_env(BOTH, program, the_end("first"))
    assert env is not None
    assert env["after.first.output"] == {"book": "main", "total": Decimal("2.50")}
    changed = the_end("first") | {"output": {"book": "main", "total": 7}}
    assert (after_env(BOTH, program, changed) or {})["after.first.output"] == {"book": "main", "total": None}


def test_ends_belong_together_by_the_key_whatever_version_gathers_them() -> None:
    def key(trigger: After, version: str, ended: dict[str, Any], tenant: str = "acme") -> int | None:
        program = msgspec.structs.replace(runnable(act("say")).program, triggers=(trigger,), version=version)
        return gather_key(program, 0, tenant, after_env(trigger, program, ended) or {})

    first = key(BOTH, "v1", the_end("first"))
    assert first is not None
    assert first == key(BOTH, "v2", the_end("first", correlation="C-2"))
    others = (key(BOTH, "v1", the_end("first", "other")), key(BOTH, "v1", the_end("first"), "globex"))
    assert first not in (*others, key(msgspec.structs.replace(BOTH, name="b"), "v1", the_end("first")))
    assert key(BOTH, "v1", the_end("second")) is None  # it has no value at the key
    by_correlation = msgspec.structs.replace(BOTH, key=None)
    assert key(by_correlation, "v1", the_end("first")) == key(by_correlation, "v1", the_end("second"))


def test_a_flow_that_ends_again_takes_the_place_of_its_earlier_end() -> None:
    trigger = msgspec.structs.replace(BOTH, key=None, condition=None)
    program = msgspec.structs.replace(runnable(act("say")).program, triggers=(trigger,), reads=READS)
    ready = make_runnable(program)

    def env(flow: str, book: str) -> dict[str, Any]:
        return after_env(trigger, program, the_end(flow, book)) or {}

    def moment(state: State | None, at_us: int) -> Moment:
        return Moment(ready, TENANT, ID, state, at_us)

    opened = open_gathering(moment(None, NOW), (CAUSE, 0, 7), env("first", "one"))
    again = gather(moment(opened.state, NOW + 1), msgspec.structs.replace(CAUSE, event="e2"), env("first", "two"))
    assert again is not None
    assert (again.status, again.waits_set, again.timers_set, again.timers_gone) == ("watching", (), [], [])
    too_late = msgspec.structs.replace(CAUSE, event="e3", time_us=NOW + HOUR + 1)
    assert gather(moment(again.state, NOW + 2), too_late, env("second", "two")) is None
    last = msgspec.structs.replace(CAUSE, event="e3", time_us=NOW + HOUR)
    begun = gather(moment(again.state, NOW + 2), last, env("second", "two"))
    assert begun is not None
    assert begun.begun == last
    assert (begun.env["after.first.output"]["book"], begun.env["after.second.output"]["book"]) == ("two", "two")
    assert begun.waits_gone == tuple((one.key, one.token) for one in opened.waits_set)
    assert [(one.due_us, one.token) for one in begun.timers_gone] == [(NOW + HOUR, 0)]
    assert begun.transitions[0].kind == "started"


def test_ends_that_are_read_behind_a_clock_that_ran_ahead_belong_together_by_their_times() -> None:
    trigger = msgspec.structs.replace(BOTH, key=None)
    ready = make_runnable(msgspec.structs.replace(runnable(act("say")).program, triggers=(trigger,), reads=READS))
    far_us = NOW + 9 * HOUR
    env = [after_env(trigger, ready.program, the_end(flow)) or {} for flow in ("first", "second")]
    opened = open_gathering(Moment(ready, TENANT, ID, None, far_us), (CAUSE, 0, 7), env[0])
    assert [one.due_us for one in opened.timers_set] == [far_us + HOUR]
    last = msgspec.structs.replace(CAUSE, event="e2", time_us=NOW + HOUR)
    assert gather(Moment(ready, TENANT, ID, opened.state, far_us), last, env[1]) is not None
    beyond = msgspec.structs.replace(last, time_us=NOW + HOUR + 1)
    assert gather(Moment(ready, TENANT, ID, opened.state, far_us), beyond, env[1]) is None
