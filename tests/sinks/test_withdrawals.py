from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.dispatch import Outcome
from schemas.records import BatchWith, Cancel, Redrive, Retry, encode
from sinks.calls import InlineCalls
from tests.sinks.script import LATER, Scripted
from tests.sinks.world import Home, action, wait_until, work_off

DOUBT = Outcome("unknown", retry=True, code="timeout", error="no answer")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


def cancel(home: Home, name: str, execution: str = "e1") -> None:
    home.withdraw(Cancel(action=name, execution=execution, tenant="acme", connector="http", at=home.clock.us, step="s"))


def ends(home: Home) -> list[tuple[str, str, str | None]]:
    return [(one.action, one.status, one.code) for one in home.results()]


def test_what_was_withdrawn_before_it_was_sent_is_cancelled_and_no_dead_letter(home: Home) -> None:
    script = Scripted()
    home.issue(action("a1", awaited=True, timeout=60_000_000), action("a2"))
    cancel(home, "a1")
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert script.asked == [("a2", 1)]
    assert sorted(ends(home)) == [("a1", "cancelled", "cancelled"), ("a2", "delivered", None)]
    assert [one.awaited for one in home.results() if one.action == "a1"] == [True]
    assert home.dead_letters() == []


def test_one_that_waits_behind_others_is_cancelled_at_once(home: Home) -> None:
    script = Scripted(a1=[LATER])
    home.issue(action("a1"), action("a2"), action("a3"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    cancel(home, "a2")
    work_off(dispatcher)
    assert ends(home) == [("a2", "cancelled", "cancelled")]
    home.clock.us += 10_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert script.asked == [("a1", 1), ("a1", 2), ("a3", 1)]


@pytest.mark.parametrize(("first", "status", "code"), [(LATER, "cancelled", "cancelled"), (DOUBT, "unknown", "unknown_outcome")])
def test_one_that_waits_for_another_attempt_gets_none(home: Home, first: Outcome, status: str, code: str) -> None:
    script = Scripted(a1=[first])
    home.issue(action("a1"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    cancel(home, "a1")
    work_off(dispatcher)
    home.clock.us += 10_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert script.asked == [("a1", 1)]
    assert ends(home) == [("a1", status, code)]


def test_one_that_waits_for_its_next_attempt_has_it_now_if_somebody_wants_that(home: Home) -> None:
    script = Scripted(a1=[LATER, LATER], a2=[LATER])
    home.issue(action("a1", "e1"), action("a2", "e2"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    for execution in ("e2", "e1"):  # the first names a command of another execution
        home.withdraw(Cancel(action="a1", execution=execution, tenant="acme", connector="http", at=home.clock.us, hurry=True))
    work_off(dispatcher)
    assert script.asked == [("a1", 1), ("a2", 1), ("a1", 2)]
    assert ends(home) == []
    home.clock.us += 10_000_000
    work_off(dispatcher)
    home.withdraw(Cancel(action="a1", execution="e1", tenant="acme", connector="http", at=home.clock.us, hurry=True))
    work_off(dispatcher)
    dispatcher.close()
    assert sorted(ends(home)) == [("a1", "delivered", None), ("a2", "delivered", None)]
    assert script.asked.count(("a1", 3)) == 1


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (Outcome("delivered"), "delivered"),
        (LATER, "cancelled"),
        (DOUBT, "unknown"),
        (Outcome("failed", code="rejected"), "failed"),
    ],
)
@pytest.mark.parametrize("restart", [True, False])
def test_one_that_is_on_its_way_ends_as_it_ends_but_is_not_repeated(
    home: Home, end: Outcome, status: str, *, restart: bool
) -> None:
    script = Scripted(a1=[end], resolves={"a1": end})
    calls = HeldCalls()
    home.issue(action("a1"))
    dispatcher = home.dispatcher(script, calls=calls)
    wait_until(lambda: not dispatcher.step())
    cancel(home, "a1")
    wait_until(lambda: not dispatcher.step())
    assert ends(home) == []
    if restart:
        crash(dispatcher)
        dispatcher = home.dispatcher(script, calls=InlineCalls())
    calls.let_go()
    work_off(dispatcher)
    home.clock.us += 60_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert [(name, found) for name, found, _ in ends(home)] == [("a1", status)]
    assert len(script.asked) <= 1


def test_a_withdrawal_of_what_is_done_or_never_came_changes_nothing(home: Home) -> None:
    script = Scripted()
    home.issue(action("a1"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    cancel(home, "a1")
    cancel(home, "never")
    home.withdraw_raw(b"{")
    work_off(dispatcher)
    assert dispatcher.idle
    dispatcher.close()
    assert ends(home) == [("a1", "delivered", None)]
    assert [letter.reason for letter in home.dead_letters()] == ["malformed-json"]


def test_a_cancelled_command_can_be_withdrawn_from_a_batch_that_was_not_sent(home: Home) -> None:
    together = BatchWith("k", 3, 1_000_000)
    script = Scripted(batch=[LATER])
    home.issue(*(action(f"a{at}", f"e{at}", batch=together) for at in range(3)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    assert script.batches == [["a0", "a1", "a2"]]
    cancel(home, "a1", "e1")
    work_off(dispatcher)
    assert ends(home) == [("a1", "cancelled", "cancelled")]
    home.clock.us += 10_000_000
    work_off(dispatcher)
    assert script.batches[1:] == [["a0", "a2"]]
    dispatcher.close()


def test_a_batch_that_may_have_been_carried_out_keeps_its_members_to_its_end(home: Home) -> None:
    together = BatchWith("k", 2, 1_000_000)
    script = Scripted(batch=[DOUBT])
    home.issue(*(action(f"a{at}", f"e{at}", batch=together) for at in range(2)))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    cancel(home, "a1", "e1")
    work_off(dispatcher)
    assert ends(home) == []
    home.clock.us += 10_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert script.batches == [["a0", "a1"]] * 2
    assert len(set(script.batch_ids)) == 1
    assert [(name, status) for name, status, _ in ends(home)] == [("a0", "delivered"), ("a1", "delivered")]


def test_a_redriven_command_after_its_cancellation_is_carried_out(home: Home) -> None:
    script = Scripted()
    home.issue(action("a1"))
    cancel(home, "a1")
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    home.operate(encode(Redrive(redrive="a1", tenant="acme", connector="http", payload=encode(action("a1")))))
    work_off(dispatcher)
    dispatcher.close()
    assert [(one.status, one.first) for one in home.results()] == [("cancelled", True), ("delivered", False)]


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        (Outcome("delivered", data={"id": 7}), "delivered", None),
        (Outcome("failed", retry=True, code="unavailable"), "dead", "unavailable"),
        (Outcome("failed", code="out_of_stock"), "failed", "out_of_stock"),
        (None, "unknown", "unknown_outcome"),
    ],
)
def test_an_unknown_end_is_looked_up_where_the_step_says_so(
    home: Home, found: Outcome | None, status: str, code: str | None
) -> None:
    script = Scripted(a1=[DOUBT], resolves={"a1": found})
    home.issue(action("a1", onunknown="look_up", retry=Retry(attempts=1)), action("b1", "e2", onunknown="ask"))
    script.outcomes["b1"] = [Outcome("unknown", code="unknown_outcome")]
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert sorted(ends(home)) == [("a1", status, code), ("b1", "unknown", "unknown_outcome")]
    assert script.resolved == ["a1"]


def test_what_was_surely_not_carried_out_is_tried_again_while_it_may(home: Home) -> None:
    no_answer = Outcome("unknown", code="unknown_outcome", error="no answer, and no key")
    script = Scripted(a1=[no_answer], resolves={"a1": Outcome("failed", retry=True, code="unavailable")})
    home.issue(action("a1", onunknown="look_up"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    home.clock.us += 10_000_000
    work_off(dispatcher)
    dispatcher.close()
    assert script.asked == [("a1", 1), ("a1", 2)]
    assert ends(home) == [("a1", "delivered", None)]


@pytest.mark.parametrize(
    ("found", "status"), [(Outcome("failed", retry=True, code="unavailable"), "cancelled"), (None, "unknown")]
)
def test_a_withdrawn_command_in_doubt_is_looked_up_too(home: Home, found: Outcome | None, status: str) -> None:
    script = Scripted(a1=[DOUBT], resolves={"a1": found})
    home.issue(action("a1", onunknown="look_up"))
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    cancel(home, "a1")
    work_off(dispatcher)
    dispatcher.close()
    assert [one.status for one in home.results()] == [status]
    assert script.asked == [("a1", 1)]


class HeldCalls(InlineCalls):
    """Calls that end when the test lets go."""

    held = True

    def collect(self, wait_us: int) -> list[tuple[int, Outcome]]:
        return [] if self.held else super().collect(wait_us)

    def let_go(self) -> None:
        self.held = False


def crash(dispatcher: object) -> None:
    """Let go of the file as the end of a process does."""
    store = dispatcher._store  # type: ignore[attr-defined]
    store.close()


def test_one_that_could_not_be_read_has_an_unknown_outcome_once(home: Home) -> None:
    script = Scripted()
    home.issue(action("a1"))
    home.issue_raw(b'{"id": "a2", damaged')
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    dispatcher = home.dispatcher(script, calls=InlineCalls())
    for name in ("a1", "a2", "a2"):
        cancel(home, name)
    home.issue(action("a3", "e3"))
    cancel(home, "a3", "e3")
    work_off(dispatcher)
    cancel(home, "a2")
    work_off(dispatcher)
    dispatcher.close()
    assert sorted(ends(home)) == [
        ("a1", "delivered", None),
        ("a2", "unknown", "unknown_outcome"),
        ("a3", "cancelled", "cancelled"),
    ]
    (told,) = [one for one in home.results() if one.action == "a2"]
    assert (told.execution, told.tenant, told.step, told.awaited, told.first, told.attempts) == ("e1", "acme", "s", True, True, 0)


def test_where_nothing_was_damaged_an_unknown_name_is_passed_over(home: Home) -> None:
    home.issue(action("a1"))
    cancel(home, "a9")
    dispatcher = home.dispatcher(Scripted(), calls=InlineCalls())
    work_off(dispatcher)
    dispatcher.close()
    assert ends(home) == [("a1", "delivered", None)]
