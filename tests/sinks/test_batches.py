import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dispatch import Outcome
from schemas.ids import batch_id
from schemas.records import Action, AtOnceWith, BatchWith, Cancel, Retry, encode
from sinks.calls import InlineCalls
from sinks.connectors.file import FileConnector
from tests.sinks.script import LATER, Scripted
from tests.sinks.test_withdrawals import DOUBT, HeldCalls, crash
from tests.sinks.world import NOW_US, Home, action, wait_until, work_off

TOGETHER = BatchWith("k", 3, 30_000_000)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


def gathered(name: str, execution: str, **changed: object) -> Action:
    return action(name, execution, **{"batch": TOGETHER, **changed})


def test_commands_of_one_key_travel_together_once_there_are_enough_or_the_first_has_waited(home: Home) -> None:
    script = Scripted()
    home.issue(*(gathered(f"a{at}", f"e{at}") for at in range(4)), gathered("b", "f", batch=BatchWith("other", 3, 60_000_000)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert (script.batches, script.asked) == ([["a0", "a1", "a2"]], [])
    assert script.batch_ids == [batch_id(["a0", "a1", "a2"])]
    assert dispatcher.open_actions == 2
    assert dispatcher.next_due_us() == NOW_US + 30_000_000
    home.clock.us += 30_000_000
    work_off(dispatcher)
    assert script.batches[1:] == [["a3"]]
    home.clock.us += 30_000_000
    work_off(dispatcher)
    assert script.batches[2:] == [["b"]]
    assert dispatcher.idle
    dispatcher.close()
    assert sorted((one.action, one.status, one.attempts) for one in home.results()) == [
        *((f"a{at}", "delivered", 1) for at in range(4)),
        ("b", "delivered", 1),
    ]


def test_a_batch_has_one_tenant_one_type_and_one_receiver(home: Home) -> None:
    script, other = Scripted(), Scripted()
    other.name = "webhook"
    home.issue(gathered("a", "e1"), gathered("b", "e2", tenant="zeta"), gathered("c", "e3", type="send_email"))
    home.issue(gathered("d", "e4"), connector="webhook")
    dispatcher = home.dispatcher(script, other, calls=InlineCalls())
    home.clock.us += 30_000_000
    work_off(dispatcher)
    home.clock.us += 30_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert sorted(script.batches) == [["a"], ["b"], ["c"]]
    assert other.batches == [["d"]]


def test_commands_that_allow_different_numbers_travel_apart(home: Home) -> None:
    script = Scripted()
    fewer = BatchWith("k", 2, 30_000_000)
    home.issue(gathered("a1", "e1"), gathered("b1", "e2", batch=fewer), gathered("a2", "e3"), gathered("b2", "e4", batch=fewer))
    home.issue(gathered("b3", "e5", batch=fewer), gathered("a3", "e5"), gathered("a4", "e6"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert sorted(script.batches) == [["a1", "a2", "a4"], ["b1", "b2"]]  # a3 comes behind b3 of its execution
    home.clock.us += 30_000_000
    work_off(dispatcher)
    home.clock.us += 30_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert script.batches[2:] == [["b3"], ["a3"]]


def test_commands_of_one_execution_travel_in_one_batch_in_their_order_and_the_next_waits(home: Home) -> None:
    script = Scripted()
    home.issue(gathered("a1", "e1"), gathered("a2", "e1"), gathered("a3", "e1"), action("a4", "e1"))
    home.issue(gathered("b2", "e2", orderkey="o"), action("b1", "e2"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert script.batches == [["a1", "a2", "a3"]]
    assert script.asked == [("a4", 1)]
    dispatcher.close()


def test_a_command_behind_one_of_another_kind_does_not_overtake_it(home: Home) -> None:
    script = Scripted(a1=[LATER])
    home.issue(action("a1", "e1"), gathered("a2", "e1"), gathered("b", "e2"), gathered("c", "e3"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    home.clock.us += 30_000_000
    work_off(dispatcher)
    home.clock.us += 30_000_000
    work_off(dispatcher)
    assert script.asked == [("a1", 1), ("a1", 2)]
    assert script.batches == [["b", "c"], ["a2"]]
    dispatcher.close()


def test_a_batch_that_failed_as_a_whole_is_retried_as_itself(home: Home) -> None:
    script = Scripted(batch=[LATER, DOUBT, LATER])
    home.issue(*(gathered(f"a{at}", f"e{at}", retry=Retry(attempts=3, wait_us=1_000)) for at in range(3)))
    for _ in range(4):
        dispatcher = home.dispatcher(script, calls=InlineCalls())
        work_off(dispatcher)
        home.issue(gathered("late", "e9"))
        dispatcher.close()
        home.clock.us += 1_000_000
    assert script.batches[:3] == [["a0", "a1", "a2"]] * 3
    assert len(set(script.batch_ids[:3])) == 1
    ends = {one.action: (one.status, one.attempts) for one in home.results() if one.action != "late"}
    assert ends == {f"a{at}": ("unknown", 3) for at in range(3)}
    assert sorted(letter.id for letter in home.dead_letters()) == ["a0", "a1", "a2"]


def test_what_the_receiver_says_of_single_commands_counts_for_each(home: Home) -> None:
    items = (Outcome("delivered", data=1), Outcome("failed", code="rejected"), LATER)
    script = Scripted(batch=[Outcome("delivered", items=items)])
    home.issue(*(gathered(f"a{at}", f"e{at}") for at in range(3)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert [(one.action, one.status, one.data) for one in home.results()] == [("a0", "delivered", 1), ("a1", "failed", None)]
    for _ in range(2):
        home.clock.us += 31_000_000
        work_off(dispatcher)
    dispatcher.close()
    assert script.batches[1:] == [["a2"]]
    assert [(one.action, one.status, one.attempts) for one in home.results()[2:]] == [("a2", "delivered", 2)]


@pytest.mark.parametrize(
    ("first", "ends"), [(LATER, {"a0": "dead", "a1": "delivered"}), (DOUBT, dict.fromkeys(["a0", "a1"], "unknown"))]
)
def test_a_batch_whose_first_command_runs_out_of_time_is_over_and_the_others_go_on_if_nothing_was_sent(
    home: Home, first: Outcome, ends: dict[str, str]
) -> None:
    slow = Outcome(first.status, retry=True, after_us=60_000_000, code=first.code)
    script = Scripted(batch=[slow])
    home.issue(*(gathered(f"a{at}", f"e{at}", notafter=31_000_000 + at * 600_000_000) for at in range(2)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    for _ in range(5):
        work_off(dispatcher)
        home.clock.us += 30_000_000
    dispatcher.close()
    assert len(script.batch_ids) == len(set(script.batch_ids))
    assert {one.action: one.status for one in home.results()} == ends


def test_a_kill_while_a_batch_is_on_its_way_asks_about_that_batch(home: Home) -> None:
    script = Scripted(resolves={"batch": Outcome("unknown", retry=True, code="timeout")})
    home.issue(*(gathered(f"a{at}", f"e{at}") for at in range(3)))
    dispatcher = home.dispatcher(script, calls=HeldCalls())
    wait_until(lambda: not dispatcher.step())
    crash(dispatcher)
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert script.resolved == script.batch_ids[:1]
    assert script.batches == [["a0", "a1", "a2"]] * 2
    assert [one.status for one in home.results()] == ["delivered"] * 3


def test_an_unknown_batch_is_looked_up_item_by_item(home: Home) -> None:
    found = Outcome("delivered", items=(Outcome("delivered"), Outcome("failed", retry=True, code="unavailable")))
    script = Scripted(batch=[DOUBT], resolves={"batch": found})
    once = Retry(attempts=1)
    home.issue(gathered("a0", "e0", retry=once, onunknown="look_up"), gathered("a1", "e1", retry=once, onunknown="look_up"))
    home.issue(gathered("a2", "e2", retry=once))
    script.resolves = {"batch": Outcome("delivered", items=(*found.items, Outcome("delivered")))}
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert [(one.action, one.status) for one in home.results()] == [("a0", "delivered"), ("a1", "dead"), ("a2", "unknown")]


def test_the_file_connector_writes_a_line_a_member(home: Home, tmp_path: Path) -> None:
    home.issue(*(gathered(f"a{at}", f"e{at}") for at in range(3)), connector="file")
    dispatcher = home.dispatcher(FileConnector(tmp_path))
    work_off(dispatcher)
    dispatcher.close()
    assert len((tmp_path / "actions" / "acme" / "create_project.jsonl").read_bytes().splitlines()) == 3
    assert [one.status for one in home.results()] == ["delivered"] * 3


def test_at_most_n_of_a_key_are_on_their_way(home: Home) -> None:
    calls, script = HeldCalls(), Scripted()
    two = AtOnceWith("depot", 2)
    home.issue(
        *(action(f"a{at}", f"e{at}", concurrency=two) for at in range(5)), action("b", "f", concurrency=AtOnceWith("x", 1))
    )
    home.issue(action("z", "z", tenant="zeta", concurrency=two), action("h", "h", concurrency=two, priority="high"))
    dispatcher = home.dispatcher(script, calls=calls)
    wait_until(lambda: not dispatcher.step())
    assert sorted(name for name, _ in script.asked) == ["a0", "b", "h", "z"]
    calls.let_go()
    work_off(dispatcher)
    dispatcher.close()
    assert len(home.results()) == 8


def test_a_command_that_waits_for_another_attempt_leaves_its_place_to_others(home: Home) -> None:
    script = Scripted(a0=[Outcome("failed", retry=True, after_us=60_000_000, code="rate_limited")])
    one = AtOnceWith("depot", 1)
    home.issue(*(action(f"a{at}", f"e{at}", concurrency=one) for at in range(3)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert script.asked == [("a0", 1), ("a1", 1), ("a2", 1)]
    home.clock.us += 60_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert script.asked[3:] == [("a0", 2)]


def test_only_the_codes_that_the_retry_names_are_tried_again(home: Home) -> None:
    script = Scripted(
        a1=[Outcome("failed", retry=True, code="rate_limited")],
        b1=[Outcome("failed", code="out_of_stock")],
        c1=[Outcome("failed", code="rejected")],
    )
    picky = Retry(attempts=3, wait_us=1_000, codes=("unavailable", "out_of_stock"))
    home.issue(action("a1", "e1", retry=picky), action("b1", "e2", retry=picky), action("c1", "e3"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    home.clock.us += 1_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert {one.action: (one.status, one.attempts) for one in home.results()} == {
        "a1": ("dead", 1),
        "b1": ("delivered", 2),
        "c1": ("failed", 1),
    }


def test_an_awaited_command_is_not_tried_after_its_step_has_timed_out(home: Home) -> None:
    slow = Outcome("failed", retry=True, after_us=50_000_000, code="rate_limited")
    script = Scripted(a1=[slow, slow])
    home.issue(action("a1", awaited=True, timeout=80_000_000))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    for _ in range(3):
        work_off(dispatcher)
        home.clock.us += 50_000_000
    dispatcher.close()
    assert script.asked == [("a1", 1), ("a1", 2)]
    assert [(one.status, one.code, one.awaited) for one in home.results()] == [("dead", "timeout", True)]


_ends = st.sampled_from([Outcome("delivered"), LATER, DOUBT, Outcome("failed", code="rejected")])
_keys = st.sampled_from([None, BatchWith("k", 2, 5_000_000), BatchWith("l", 3, 0)])
_places = st.sampled_from([None, AtOnceWith("p", 1), AtOnceWith("p", 2)])
_commands = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([None, "o"]), _keys, _places, st.lists(_ends, max_size=3)),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    commands=_commands,
    steps=st.lists(st.sampled_from(["step", "crash", "withdraw", "tick"]), max_size=25),
    batch=st.lists(_ends, max_size=6),
)
def test_whatever_happens_each_command_has_one_result_and_lanes_keep_their_order(
    tmp_path_factory: pytest.TempPathFactory, commands: list[Any], steps: list[str], batch: list[Outcome]
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    outcomes = {f"a{at}": ends for at, (*_, ends) in enumerate(commands)}
    script = Scripted(resolves={}, batch=batch, **outcomes)
    for at, (execution, order, together, places, _) in enumerate(commands):
        home.issue(action(f"a{at}", f"e{execution}", orderkey=order, batch=together, concurrency=places))
    dispatcher = home.dispatcher(script, calls=InlineCalls(), in_flight=4)
    for number, step in enumerate([*steps, *["tick"] * 30]):
        if step == "crash":
            crash(dispatcher)
            dispatcher = home.dispatcher(script, calls=InlineCalls(), in_flight=4)
        elif step == "withdraw":
            at = number % len(commands)
            home.withdraw_raw(encode(_cancel(at, commands[at][0])))
        else:
            dispatcher.step()
            home.clock.us += 400_000_000 if step == "tick" else 0
    assert dispatcher.idle
    dispatcher.close()
    results = home.results()
    assert Counter(one.action for one in results) == dict.fromkeys(outcomes, 1)
    for lane in range(4):
        ours = [f"a{at}" for at, (execution, *_) in enumerate(commands) if execution == lane]
        last = {name: at for at, (name, _) in enumerate(script.asked)}
        first = {name: at for at, (name, _) in reversed(list(enumerate(script.asked)))}
        sent = [name for name in ours if name in first]
        assert all(last[before] < first[after] for before, after in itertools.pairwise(sent))
    home.close()


def _cancel(at: int, execution: int) -> Cancel:
    return Cancel(action=f"a{at}", execution=f"e{execution}", tenant="acme", connector="http", at=0)


@pytest.mark.parametrize("waits", [{"concurrency": AtOnceWith("k", 1)}, {"batch": BatchWith("k", 3, 0)}])
def test_a_command_that_waits_for_another_attempt_over_a_restart_is_tried_when_it_is_time(
    home: Home, waits: dict[str, object]
) -> None:
    script = Scripted(a=[LATER], batch=[Outcome("delivered", items=(LATER,))])
    home.issue(action("a", "e", retry=Retry(attempts=2, wait_us=1_000_000), **waits))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    due_us = dispatcher.next_due_us()
    assert due_us is not None
    home.clock.us = max(home.clock.us, due_us)
    work_off(dispatcher)
    assert dispatcher.idle
    dispatcher.close()
    assert [(one.status, one.attempts) for one in home.results()] == [("delivered", 2)]
