"""Closing: outcomes first, then what is done is undone in reverse order, then the flow's on_error steps, then the end."""

from __future__ import annotations

import pytest

from operators.turn.emit import waits_of
from operators.turn.limit_book import is_ending
from operators.turn.live import Live
from schemas.program import END, Compensation, Fail, Fork, Join, Stop
from tests.operators.executions import CAUSE, HOUR, ID, NOW, TENANT, World, act, asked, data, delay, runnable, wait

RELEASE = Compensation("release", data({"id": "{{ stock.id }}"}))
VOID = Compensation("void", data({"id": "{{ paid.id }}"}))
TELL = act("tell", END, {"text": "{{ error.code }} at {{ error.step }}", "undone": "{{ error.compensated }}"})


def _saga(**more: object) -> World:
    """Reserve, charge, ship; each of the first two can be undone."""
    steps = (
        asked("stock", 1, compensate=RELEASE),
        asked("paid", 2, compensate=VOID),
        asked("ship", END, **more),
        TELL,
    )
    world = World(runnable(*steps, on_error=3)).start()
    world.answer("stock", {"id": "R-1"})
    world.answer("paid", {"id": "P-1"})
    return world


def side_by_side() -> World:
    """Give an execution that has asked for stock, which can be released, and for the payment beside it."""
    arms = (asked("stock", 3, compensate=RELEASE), asked("paid", 3))
    return World(runnable(Fork("both", (("a", 1), ("b", 2)), 3), *arms, Join("both", 2, END))).start()


def test_a_failure_undoes_what_is_done_in_reverse_order_one_after_the_other() -> None:
    world = _saga()
    world.answer("ship", None, "failed", code="no_truck")
    assert (world.status, world.issued) == ("closing", ["stock", "paid", "ship", "void"])
    undo = world.commands[-1]
    assert (undo.step, undo.data, undo.awaited, undo.undoes) == ("undo:paid", {"id": "P-1"}, True, world.commands[1].id)
    world.answer("undo:paid")
    assert (world.status, world.issued[-1]) == ("closing", "release")
    world.answer("undo:stock")
    assert world.status == "failed"
    assert world.commands[-1].data == {"text": "no_truck at ship", "undone": ["paid", "stock"]}
    assert world.end is not None
    assert (world.end.status, world.end.code) == ("failed", "no_truck")
    assert world.history[-8:] == [
        "failed ship",
        "closing ship",
        "compensation.issued paid",
        "compensation.completed paid",
        "compensation.issued stock",
        "compensation.completed stock",
        "action.issued tell",
        "ended",
    ]


def test_the_parameters_of_an_undoing_are_fixed_when_the_step_completes() -> None:
    world = _saga()
    assert world.state is not None
    assert world.state.rest is not None
    assert [undo.params for undo in world.state.rest.done] == [{"id": "R-1"}, {"id": "P-1"}]


def test_nothing_is_undone_before_the_outcome_of_what_was_sent_is_known() -> None:
    steps = (
        Fork("both", (("a", 1), ("b", 2)), 3),
        asked("stock", 3, compensate=RELEASE),
        asked("paid", 3, compensate=VOID),
        Join("both", 2, END),
    )
    world = World(runnable(*steps)).start()
    world.answer("paid", None, "failed")
    assert (world.status, world.issued, world.cancelled) == ("closing", ["stock", "paid"], ["stock"])
    world.answer("stock", {"id": "R-9"})
    assert world.commands[-1].type == "release"
    assert world.commands[-1].data == {"id": "R-9"}
    world.answer("undo:stock")
    assert world.status == "failed"


def test_what_was_never_sent_is_not_undone() -> None:
    world = side_by_side()
    world.answer("paid", None, "failed")
    world.answer("stock", None, "cancelled")
    assert (world.status, world.issued) == ("failed", ["stock", "paid"])


@pytest.mark.parametrize(("word", "undone"), [("done", ["release"]), ("not_done", [])])
def test_an_unknown_outcome_asks_a_person(word: str, undone: list[str]) -> None:
    compensate = Compensation("release", data({"order": "{{ order.id }}"}))
    world = World(runnable(asked("stock", END, compensate=compensate))).start()
    world.answer("stock", None, "unknown")
    assert (world.status, world.issued) == ("closing", ["stock"])
    assert world.order("resume", "other", outcome="done")
    assert world.history[-1] == "operator.refused other"
    world.order("resume", "stock", outcome=word)
    assert world.issued[1:] == undone
    if undone:
        world.answer("undo:stock")
    assert world.status == "failed"


def test_an_unknown_outcome_may_be_undone_anyway() -> None:
    compensate = Compensation("release", data({"order": "{{ order.id }}"}))
    world = World(runnable(asked("stock", END, compensate=compensate, on_unknown="compensate"))).start()
    world.answer("stock", None, "unknown")
    assert world.issued == ["stock", "release"]


def test_a_redriven_command_settles_an_unknown_outcome() -> None:
    world = World(runnable(asked("stock", END, compensate=RELEASE))).start()
    world.answer("stock", None, "unknown")
    world.answer("stock", {"id": "R-2"}, first=False)
    assert world.commands[-1].data == {"id": "R-2"}


def test_an_unknown_outcome_with_nothing_to_undo_needs_nobody() -> None:
    world = World(runnable(asked("stock", END))).start()
    world.answer("stock", None, "unknown")
    assert world.status == "failed"


def test_a_compensation_that_fails_keeps_closing_until_an_operator_says_how_to_go_on() -> None:
    world = _saga()
    world.answer("ship", None, "failed")
    world.answer("undo:paid", None, "dead")
    assert world.status == "closing"
    assert "compensation.failed paid" in world.history
    world.order("skip", "stock")
    assert world.history[-1] == "operator.refused stock"
    world.order("retry", "paid")
    first, again = world.commands[-2:]
    assert (again.type, again.idempotencykey) == ("void", first.idempotencykey)
    assert again.id != first.id
    world.answer("undo:paid", None, "failed")
    world.order("skip", "paid")
    assert world.issued[-1] == "release"
    world.answer("undo:stock")
    assert world.status == "failed"
    assert world.commands[-1].data["undone"] == ["stock"]


def test_an_operator_may_say_that_a_compensation_of_unknown_outcome_is_done() -> None:
    world = _saga()
    world.answer("ship", None, "failed")
    world.answer("undo:paid", None, "unknown")
    world.order("resume", "paid", outcome="done")
    world.answer("undo:stock")
    assert world.commands[-1].data["undone"] == ["paid", "stock"]


def test_a_cancel_from_outside_undoes_too_and_ends_as_cancelled() -> None:
    world = _saga()
    world.order("cancel")
    assert (world.status, world.cancelled) == ("closing", ["ship"])
    world.answer("ship", None, "cancelled")
    world.answer("undo:paid")
    world.answer("undo:stock")
    assert world.status == "cancelled"
    assert world.commands[-1].data["text"] == "cancelled at "
    assert world.state is None


def test_stop_may_undo_first_and_ends_well() -> None:
    world = World(runnable(asked("stock", 1, compensate=RELEASE), Stop("stop", "withdrawn", compensate=True), TELL, on_error=2))
    world.start().answer("stock", {"id": "R-1"})
    assert (world.status, world.issued) == ("closing", ["stock", "release"])
    world.answer("undo:stock")
    assert (world.status, world.issued) == ("completed", ["stock", "release"])
    assert world.end is not None
    assert world.end.message == "withdrawn"


def test_fail_ends_with_its_code_and_message() -> None:
    world = World(runnable(Fail("fail", "not_paid", data("no payment for {{ order.id }}")), TELL, on_error=1)).start()
    assert (world.status, world.issued) == ("failed", ["tell"])
    assert world.end is not None
    assert (world.end.code, world.end.message) == ("not_paid", "no payment for A1")


def test_on_error_steps_may_wait_while_the_execution_is_closing() -> None:
    world = World(runnable(Fail("fail", "bad"), delay("1h", 2), TELL, on_error=1)).start()
    assert world.status == "closing"
    world.at(HOUR)
    assert (world.status, world.issued) == ("failed", ["tell"])


def test_an_error_in_on_error_steps_ends_at_once() -> None:
    world = World(runnable(Fail("fail", "bad"), Fail("again", "worse"), on_error=1)).start()
    assert world.status == "failed"
    assert world.end is not None
    assert world.end.code == "bad"


def test_the_execution_timeout_closes() -> None:
    flow = runnable(asked("stock", 1, compensate=RELEASE), wait("paid", END, timeout="10d"), timeout_us=HOUR)
    world = World(flow).start()
    world.answer("stock", {"id": "R-1"})
    world.at(HOUR)
    assert (world.status, world.issued, world.waits) == ("closing", ["stock", "release"], {})
    world.answer("undo:stock")
    assert world.end is not None
    assert (world.end.status, world.end.code) == ("failed", "timeout")


def test_a_command_whose_step_gave_up_is_undone_when_it_was_done_after_all() -> None:
    steps = (asked("stock", 1, compensate=RELEASE, on_error="continue"), asked("paid", END))
    world = World(runnable(*steps)).start().at(HOUR)
    assert world.cancelled == ["stock"]
    world.answer("stock", {"id": "R-1"})
    world.answer("paid", None, "failed")
    assert world.commands[-1].data == {"id": "R-1"}


def test_a_sent_command_of_a_torn_arm_is_kept_for_compensation() -> None:
    steps = (
        Fork("race", (("slow", 1), ("fast", 2)), 3),
        asked("stock", 3, compensate=RELEASE),
        delay("10m", 3, name="fast"),
        Join("race", 2, 4, need=1),
        asked("paid", END),
    )
    world = World(runnable(*steps)).start().at(HOUR // 6)
    assert world.cancelled == []
    world.answer("stock", {"id": "R-1"})
    assert world.status == "waiting"
    world.answer("paid", None, "failed")
    assert world.issued == ["stock", "paid", "release"]


def test_an_operator_may_skip_a_step_that_waits() -> None:
    world = World(runnable(wait("paid", 1), act("use", params={"id": "{{ paid.id }}"}))).start()
    world.order("skip", "paid")
    assert (world.status, world.waits) == ("completed", {})
    assert world.commands[0].data == {"id": None}
    assert "skipped paid" in world.history


def test_an_operator_is_refused_what_cannot_be_done() -> None:
    world = World(runnable(wait("paid", 1), act("use"))).start()
    for word, step in [("retry", "paid"), ("resume", "paid"), ("skip", "use")]:
        world.order(word, step)
        assert (world.history[-1], world.status) == (f"operator.refused {step}", "waiting")


def test_a_command_that_waits_for_its_next_attempt_is_tried_now() -> None:
    world = World(runnable(asked("stock", 1), act("use"))).start()
    assert world.order("retry", "stock")
    (wish,) = world.all[-1].cancels
    assert (wish.action, wish.type, wish.hurry) == (world.commands[0].id, "stock", True)
    assert (world.history[-1], world.status) == ("action.retried stock", "waiting")
    world.order("retry")
    assert world.history[-1] == "action.retried stock"  # the only one that waits is meant
    world.answer("stock", {})
    assert world.status == "completed"


def test_why_something_is_not_tried_again_is_said() -> None:
    world = World(
        runnable(Fork("both", (("a", 1), ("b", 2)), 3), wait("paid", 3), asked("stock", 3), Join("both", 2, END))
    ).start()
    for word, step, why in [
        ("retry", "paid", "'paid' waits, and is not tried: skip it to go on without it"),
        ("retry", "", "several steps wait: say which, paid, stock"),
        ("skip", "", "several steps wait: say which, paid, stock"),
        ("retry", "other", "that step does not wait; paid, stock does"),
    ]:
        world.order(word, step)
        assert world.details("refused")[-1]["why"] == why
    world.answer("stock", None, "failed")
    assert world.status == "failed"


def test_a_closing_tries_nothing_again_and_takes_no_word_for_an_outcome_that_is_awaited() -> None:
    world = side_by_side()
    world.answer("paid", None, "failed")
    assert (world.status, world.cancelled) == ("closing", ["stock"])
    world.order("retry", "paid")
    why = world.details("refused")[-1]["why"]
    assert why == "it is closing, and paid is not tried again in it; fork it when it has ended: millrace executions fork"
    for step in ("", "stock"):
        world.order("resume", step, outcome="not_done")
        assert world.details("refused")[-1]["why"] == "no outcome of that step is unknown"
    world.answer("stock", {"id": "R-1"})
    assert (world.status, world.issued) == ("closing", ["stock", "paid", "release"])


def test_an_error_goes_to_the_handler_of_the_block_around_it() -> None:
    steps = (
        Fork("both", (("a", 1), ("b", 2)), 3, handler=4),
        asked("stock", 3),
        wait("paid", 3),
        Join("both", 2, 5),
        act("repair", 5, {"code": "{{ error.code }}"}),
        act("use"),
    )
    world = World(runnable(*steps)).start()
    world.answer("stock", None, "failed")
    assert world.issued == ["stock", "repair", "use"]
    assert world.waits == {}
    assert world.status == "completed"


def test_a_block_may_continue_behind_itself() -> None:
    steps = (
        Fork("both", (("a", 1), ("b", 2)), 3, on_error="continue"),
        Fail("fail", "bad"),
        act("never", 3),
        Join("both", 2, 4),
        act("use"),
    )
    world = World(runnable(*steps)).start()
    assert (world.issued, world.status) == (["use"], "completed")


def _waits_for(world: World) -> str | None:
    return waits_of(Live(0, 0, ID, TENANT, world.flow, NOW, CAUSE, world.state, "closing", False))[0]


def test_a_list_can_tell_what_closing_waits_for_and_when_an_operator_must_speak() -> None:
    world = _saga(compensate=RELEASE)
    world.order("cancel", "")
    assert _waits_for(world) == "ship"
    world.answer("ship", None, "unknown")
    assert _waits_for(world) == "operator ship"
    world.order("resume", "ship", outcome="not_done")
    assert _waits_for(world) == "paid"
    world.answer("undo:paid", None, "failed")
    assert _waits_for(world) == "operator paid"
    world.order("skip", "paid")
    assert _waits_for(world) == "stock"


def test_only_what_has_not_begun_to_end_can_give_way() -> None:
    world = _saga()
    assert not is_ending(world.state)
    world.answer("ship", None, "failed")
    assert world.status == "closing"
    assert is_ending(world.state)
    assert is_ending(None)
