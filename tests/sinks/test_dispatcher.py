import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.dispatch import Outcome
from schemas.records import Json, Redrive, Retry, encode
from sinks.calls import InlineCalls
from sinks.connectors.file import FileConnector
from sinks.connectors.http import HttpConnector
from tests.sinks.script import LATER, Scripted
from tests.sinks.world import NOW_US, Answer, Home, action, receiving, wait_until, work_off

DAY_US = 86_400_000_000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


def test_commands_are_delivered_and_each_has_one_result(home: Home) -> None:
    with receiving() as receiver:
        home.rule("http", url=receiver.url, headers={"Authorization": "Bearer {{ secrets.token }}"})
        home.issue(*(action(f"a{at}", f"e{at % 7}") for at in range(40)))
        dispatcher = home.dispatcher(HttpConnector())
        work_off(dispatcher)
        assert dispatcher.idle
        dispatcher.close()
    assert sorted(receiver.keys) == sorted(f"a{at}" for at in range(40))
    assert {headers["authorization"] for headers, _ in receiver.requests} == {"Bearer s3"}
    results = home.results()
    assert sorted(result.action for result in results) == sorted(receiver.keys)
    assert {(result.status, result.attempts, result.first) for result in results} == {("delivered", 1, True)}
    assert results[0].data == {"ok": True}
    assert home.dead_letters() == []


def test_commands_of_an_execution_keep_their_order_and_others_do_not_wait(home: Home) -> None:
    script = Scripted(a1=[LATER])
    home.issue(action("a1", "e1"), action("a2", "e1"), action("b1", "e2"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert script.asked == [("a1", 1), ("b1", 1)]
    assert [result.action for result in home.results()] == ["b1"]
    home.clock.us = NOW_US + 1_000_000
    work_off(dispatcher)
    assert script.asked[2:] == [("a1", 2), ("a2", 1)]
    dispatcher.close()


def test_commands_of_one_order_key_follow_each_other_across_executions(home: Home) -> None:
    script = Scripted(a1=[LATER])
    home.issue(action("a1", "e1", orderkey="k"), action("b1", "e2", orderkey="k"), action("b2", "e2"), action("c1", "e3"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert [name for name, _ in script.asked] == ["a1", "c1"]
    home.clock.us = NOW_US + 1_000_000
    work_off(dispatcher)
    assert [name for name, _ in script.asked] == ["a1", "c1", "a1", "b1", "b2"]
    dispatcher.close()


def test_high_priority_goes_first_and_a_tenant_cannot_take_every_place(home: Home) -> None:
    script = Scripted()
    home.issue(*(action(f"l{at}", f"l{at}", tenant="loud") for at in range(8)))
    home.issue(action("q", "q", tenant="quiet"), action("h", "h", tenant="quiet", priority="high"))
    dispatcher = home.dispatcher(script, calls=InlineCalls(), in_flight=4, tenant_share=2)
    dispatcher.step()
    asked = [name for name, _ in script.asked]
    assert asked[0] == "h"
    assert sorted(asked) == ["h", "l0", "l1", "q"]
    work_off(dispatcher)
    assert len(script.asked) == 10
    dispatcher.close()


def test_what_fails_as_often_as_it_may_is_dead_and_can_be_redriven_under_its_key(home: Home) -> None:
    script = Scripted(a1=[LATER, LATER])
    home.issue(action("a1", retry=Retry(attempts=2, wait_us=1_000_000, factor=2.0)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    home.clock.us += 1_000_000
    work_off(dispatcher)
    (result,) = home.results()
    assert (result.status, result.attempts, result.code, result.first) == ("dead", 2, "unavailable", True)
    (letter,) = home.dead_letters()
    assert (letter.kind, letter.id, letter.tenant, letter.topic, letter.reason) == (
        "action",
        "a1",
        "acme",
        "actions.http",
        "unavailable",
    )
    script.outcomes.clear()
    home.operate(encode(Redrive(redrive="a1", tenant="acme", connector="http", payload=letter.payload)))
    work_off(dispatcher)
    assert [(one.status, one.first) for one in home.results()] == [("dead", True), ("delivered", False)]
    dispatcher.close()


def test_not_after_ends_retries_and_retry_after_is_kept(home: Home) -> None:
    slow = Outcome("failed", retry=True, after_us=60_000_000, code="rate_limited", error="slow down")
    script = Scripted(a1=[slow], b1=[slow])
    home.issue(action("a1", "e1"), action("b1", "e2", notafter=30_000_000))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    home.clock.us = NOW_US + 59_000_000
    work_off(dispatcher)
    assert [(one.action, one.status, one.code) for one in home.results()] == [("b1", "dead", "timeout")]
    home.clock.us = NOW_US + 60_000_000
    work_off(dispatcher)
    assert script.asked == [("a1", 1), ("b1", 1), ("a1", 2)]
    dispatcher.close()


def test_a_doubtful_command_that_runs_out_of_time_is_unknown_not_dead(home: Home) -> None:
    doubt = Outcome("unknown", retry=True, code="timeout", error="no answer")
    script = Scripted(a1=[doubt, LATER])
    home.issue(action("a1", retry=Retry(attempts=2, wait_us=1_000)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    home.clock.us += 1_000_000
    work_off(dispatcher)
    assert [(one.status, one.code) for one in home.results()] == [("unknown", "unknown_outcome")]
    dispatcher.close()


def test_records_that_are_no_commands_become_dead_letters_and_their_neighbours_go_on(home: Home) -> None:
    home.issue_raw(b"{", b'{"id": 1}', encode(action("a1")), encode(action("a2", time="yesterday")))
    dispatcher = home.dispatcher(Scripted(), calls=InlineCalls())
    work_off(dispatcher)
    assert [result.action for result in home.results()] == ["a1"]
    assert [(letter.kind, letter.reason, letter.position) for letter in home.dead_letters()] == [
        ("action", "malformed-json", 0),
        ("action", "wrong-schema", 1),
        ("action", "bad-time", 3),
    ]
    assert home.dead_letters()[1].payload == b'{"id": 1}'
    dispatcher.close()


def test_a_redrive_of_what_is_no_command_is_set_aside_too(home: Home) -> None:
    payloads = [encode(action("a1", time="yesterday")), b"{", encode(action("a2"))]
    for payload in payloads:
        home.operate(encode(Redrive(redrive="a", tenant="acme", connector="http", payload=payload)))
    for _ in range(2):
        dispatcher = home.dispatcher(Scripted(), calls=InlineCalls(), event_time=True)
        work_off(dispatcher)
        dispatcher.close()
    assert [result.action for result in home.results()] == ["a2"]
    assert [(one.reason, one.payload) for one in home.dead_letters()] == [
        ("bad-time", payloads[0]),
        ("malformed-json", payloads[1]),
    ]


@pytest.mark.parametrize(
    ("stamped_us", "status"),
    [(0, "dead"), (-5 * DAY_US, "delivered"), (-7 * DAY_US, "dead"), (400 * DAY_US, "delivered")],  # from the reading on
)
def test_a_redrive_counts_from_the_later_of_its_append_and_its_own_stamp(home: Home, stamped_us: int, status: str) -> None:
    now_us = home.clock.us
    home.clock.us -= 8 * DAY_US  # a clock that was set back stamps the append
    at = now_us + stamped_us if stamped_us else 0
    home.operate(encode(Redrive(redrive="a", tenant="acme", connector="http", payload=encode(action("a1")), at=at)))
    home.clock.us = now_us
    dispatcher = home.dispatcher(Scripted(), calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert [one.status for one in home.results()] == [status]


def test_under_the_event_clock_results_carry_the_time_of_their_action(home: Home) -> None:
    home.clock.us = NOW_US + 5
    home.issue(action("a1"))
    dispatcher = home.dispatcher(Scripted(), calls=InlineCalls(), event_time=True)
    work_off(dispatcher)
    (result,) = home.results()
    assert (result.at, result.wall) == (NOW_US, NOW_US + 5)
    dispatcher.close()


def test_an_unknown_connector_and_a_missing_secret_say_what_to_do(home: Home) -> None:
    home.rule("http", url="http://127.0.0.1:9/", token="secrets.nobody_set_it")
    home.issue(action("a1", "e1", retry=Retry(attempts=1)))
    home.issue(action("b1", "e2"), connector="pigeon")
    dispatcher = home.dispatcher(Scripted(), calls=InlineCalls())
    work_off(dispatcher)
    said = {result.action: (result.status, result.error or "") for result in home.results()}
    assert said["a1"][0] == "dead" and "MILLRACE_SECRET_NOBODY_SET_IT" in said["a1"][1]
    assert said["b1"][0] == "failed" and "'pigeon'" in said["b1"][1]
    dispatcher.close()


_CHILD = """
import sys
from pathlib import Path
from flows.roles.dispatcher import DispatcherSettings, build_dispatcher
dispatcher = build_dispatcher(Path(sys.argv[1]), DispatcherSettings())
while True:
    dispatcher.step(5000)
"""


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_kill_between_started_and_outcome_never_repeats_in_silence(home: Home, *, idempotent: bool) -> None:
    with receiving(lambda body, before: Answer(hang=not before)) as receiver:
        home.clock.us = 4_000_000_000_000_000  # the child's wall clock is before this: its not-after is far away
        home.rule("http", url=receiver.url, idempotent=idempotent)
        home.issue(action("a1"), action("a2"))
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(home.path)], cwd=Path(__file__).parents[2])
        wait_until(lambda: receiver.requests)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        receiver.answer = lambda body, before: Answer()
        dispatcher = home.dispatcher(HttpConnector())
        work_off(dispatcher)
        dispatcher.close()
    results = [(result.action, result.status) for result in home.results()]
    if idempotent:
        assert receiver.keys == ["a1", "a1", "a2"]
        assert results == [("a1", "delivered"), ("a2", "delivered")]
    else:
        assert receiver.keys == ["a1", "a2"]
        assert results == [("a1", "unknown"), ("a2", "delivered")]


@pytest.mark.parametrize(
    ("contract", "rule", "asked"),
    [
        ({}, {}, 3),  # told again under the same key, in vain
        ({"idempotent": True}, {}, 3),
        ({"idempotent": False}, {}, 1),
        ({"idempotent": False}, {"idempotent": True}, 3),  # this receiver does know keys
        ({"idempotent": True}, {"idempotent": False}, 1),
    ],
)
def test_what_does_a_thing_twice_when_told_twice_is_told_once(
    home: Home, contract: dict[str, Json], rule: dict[str, Json], asked: int
) -> None:
    told = action("a1", retry=Retry(attempts=3, wait_us=0, most_us=0))
    with receiving(lambda body, before: Answer(status=500)) as receiver:
        home.rule("http", url=receiver.url, **rule)
        home.contract(told.type, **contract)
        home.issue(told)
        dispatcher = home.dispatcher(HttpConnector())
        work_off(dispatcher)
        dispatcher.close()
    assert receiver.keys == ["a1"] * asked
    assert [result.status for result in home.results()] == ["unknown"]


def test_a_stopped_dispatcher_goes_on_where_it_was(home: Home, tmp_path: Path) -> None:
    home.issue(*(action(f"a{at}", f"e{at}") for at in range(30)), connector="file")
    for _ in range(30):
        dispatcher = home.dispatcher(FileConnector(tmp_path), in_flight=3, tenant_share=1, intake=2)
        dispatcher.step(20_000)
        dispatcher.close()
    dispatcher = home.dispatcher(FileConnector(tmp_path))
    work_off(dispatcher)
    dispatcher.close()
    lines = (tmp_path / "actions" / "acme" / "create_project.jsonl").read_bytes().splitlines()
    assert len(lines) == 30
    assert sorted(result.action for result in home.results()) == sorted(f"a{at}" for at in range(30))
