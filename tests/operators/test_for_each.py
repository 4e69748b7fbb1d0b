"""Loops: items in order, so many at a time, each with names of its own."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.program import Arm, Branch, Compensation, EachEnd, Fail, ForEach, Fork, Join, Set
from tests.operators.executions import MINUTE, NOW, World, act, asked, condition, data, delay, runnable, tree, wait

USE = {"results": "{{ picks.results }}", "errors": "{{ picks.errors }}"}


def _loop(*body: Any, result: Any = None, **more: Any) -> World:
    """Make a loop over the order's lines; the body stands at 1, its end behind it."""
    end = 1 + len(body)
    loop = ForEach("loop", tree("order.lines"), "item", 1, end, end + 1, bind="picks", **more)
    ends = EachEnd("loop", None if result is None else data(result))
    return World(runnable(loop, *body, ends, act("use", params=USE))).start()


PICK = asked("picked", 2, {"sku": "{{ item }}"})


def test_items_come_one_after_the_other_and_give_their_results_in_order() -> None:
    world = _loop(PICK, result={"sku": "{{ item }}", "bin": "{{ picked.bin }}"})
    for place, sku in enumerate("xyz"):
        assert world.commands[-1].data == {"sku": sku}
        world.answer("picked", {"bin": place})
    assert world.commands[-1].data["results"] == [{"sku": sku, "bin": place} for place, sku in enumerate("xyz")]
    assert world.status == "completed"
    assert [one.id for one in world.commands] == list(dict.fromkeys(one.id for one in world.commands))


def test_several_at_a_time() -> None:
    world = _loop(PICK, result="{{ picked.bin }}", concurrency=2)
    assert [one.data["sku"] for one in world.commands] == ["x", "y"]
    world.answer("picked", {"bin": 2})
    assert [one.data["sku"] for one in world.commands] == ["x", "y", "z"]
    world.answer("picked", {"bin": 3})
    world.answer("picked", {"bin": 1}, back=2)
    assert world.commands[-1].data["results"] == [1, 2, 3]


def test_a_body_that_does_not_wait_runs_through() -> None:
    world = _loop(act("mail", 2, {"to": "{{ item }}"}), concurrency=2)
    assert [one.data.get("to") for one in world.commands] == ["x", "y", "z", None]
    assert world.commands[-1].data == {"results": [], "errors": []}


def test_an_empty_list_ends_at_once() -> None:
    loop = ForEach("loop", tree("order.lines"), "item", 1, 2, 3, bind="picks")
    world = World(runnable(loop, PICK, EachEnd("loop"), act("use", params=USE))).start(**{"order.lines": []})
    assert world.issued == ["use"]


@pytest.mark.parametrize(("lines", "code"), [(None, "missing_value"), (["x"] * 4, "limit_exceeded")])
def test_no_list_or_too_many_items_is_an_error(lines: Any, code: str) -> None:
    loop = ForEach("loop", tree("order.lines"), "item", 1, 2, 3, most=3)
    world = World(runnable(loop, PICK, EachEnd("loop"), act("use"))).start(**{"order.lines": lines})
    assert world.status == "failed"
    assert world.details("failed")[0]["code"] == code


def test_a_failure_ends_the_loop_and_its_other_items() -> None:
    world = _loop(PICK, concurrency=3)
    world.answer("picked", None, "failed", back=1)
    assert world.status == "closing"
    assert world.cancelled == ["picked", "picked"]
    world.result(world.commands[0], None, "cancelled")
    world.result(world.commands[2], None, "cancelled")
    assert world.status == "failed"


def test_failures_may_be_collected() -> None:
    world = _loop(PICK, result="{{ picked.bin }}", concurrency=3, failures="collect")
    world.answer("picked", {"bin": 3})
    world.answer("picked", None, "failed", back=1, code="gone", error="not there")
    world.answer("picked", {"bin": 1}, back=2)
    said = world.commands[-1].data
    assert said["results"] == [1, None, 3]
    assert said["errors"] == [{"index": 1, "code": "gone", "message": "not there after 1 attempt"}]
    assert world.status == "completed"


def test_the_error_of_an_item_goes_to_the_handler_of_the_loop() -> None:
    steps = (
        ForEach("loop", tree("order.lines"), "item", 1, 2, 3, handler=4),
        Fail("fail", "bad"),
        EachEnd("loop"),
        act("use"),
        act("repair", 3, {"code": "{{ error.code }}"}),
    )
    world = World(runnable(*steps)).start()
    assert world.issued == ["repair", "use"]


def test_names_of_an_item_are_its_own() -> None:
    body = (
        Set("set", (("found", data(["{{ item }}"])),), 2),
        delay("1m", 3),
        act("mail", 4, {"text": "{{ found }}"}),
    )
    world = _loop(*body, concurrency=3).at(MINUTE)
    assert [one.data["text"] for one in world.commands[:3]] == [["x"], ["y"], ["z"]]
    assert world.all[0].state is not None
    assert "found" not in world.all[0].state.env


def test_a_parallel_within_an_item_binds_in_the_item() -> None:
    body = (
        Fork("both", (("a", 2), ("b", 3)), 4),
        asked("picked", 4, {"sku": "{{ item }}"}),
        delay("1m", 4),
        Join("both", 2, 5),
    )
    world = _loop(*body, result="{{ picked.bin }}", concurrency=2)
    world.at(MINUTE)
    world.answer("picked", {"bin": 2})
    world.answer("picked", {"bin": 1}, back=2)
    world.answer("picked", {"bin": 3})
    world.at(3 * MINUTE)
    assert world.commands[-1].data["results"] == [1, 2, 3]


def test_a_loop_within_a_loop_sees_both_names() -> None:
    steps = (
        ForEach("outer", tree("order.lines"), "item", 1, 4, 5),
        ForEach("loop", tree('["1", "2"]'), "inner", 2, 3, 4),
        act("mail", 3, {"a": "{{ item }}", "b": "{{ inner }}"}),
        EachEnd("loop"),
        EachEnd("outer"),
        act("use"),
    )
    world = World(runnable(*steps)).start(**{"order.lines": ["x", "y"]})
    assert [(one.data["a"], one.data["b"]) for one in world.commands[:-1]] == [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]


def test_what_items_did_is_undone_with_their_own_values() -> None:
    drop = Compensation("drop", data({"sku": "{{ item }}", "bin": "{{ picked.bin }}"}))
    world = _loop(asked("picked", 2, {"sku": "{{ item }}"}, compensate=drop), concurrency=3)
    world.answer("picked", {"bin": 3})
    world.answer("picked", None, "failed", back=1)
    world.answer("picked", {"bin": 1}, back=2)
    assert world.commands[-1].data == {"sku": "x", "bin": 1}
    world.answer("undo:picked")
    assert world.commands[-1].data == {"sku": "z", "bin": 3}
    world.answer("undo:picked")
    assert world.status == "failed"


def test_a_race_tears_a_loop_down() -> None:
    steps = (
        Fork("race", (("paid", 1), ("silent", 2)), 5),
        wait("paid", 5),
        ForEach("loop", tree("[1m, 2m, 3m]"), "item", 3, 4, 5),
        delay("1m", 4),
        EachEnd("loop"),
        Join("race", 2, 6, need=1),
        act("use"),
    )
    world = World(runnable(*steps)).start().at(MINUTE)
    assert world.meet({})
    assert (world.status, world.timers) == ("completed", {})


def test_branches_within_items_go_their_own_ways() -> None:
    body = (
        Branch("size", (Arm(condition('item == "y"'), 2),), 3),
        act("big", 3, {"sku": "{{ item }}"}),
    )
    world = _loop(*body, concurrency=1)
    assert [one.data for one in world.commands[:-1]] == [{"sku": "y"}]


def test_a_long_list_of_items_that_do_not_wait_is_no_endless_one() -> None:
    loop = ForEach("loop", tree("order.lines"), "item", 1, 2, 3, most=5000, bind="picks")
    mail = act("mail", 2, {"to": "{{ item }}"})
    world = World(runnable(loop, mail, EachEnd("loop"), act("use", params=USE))).start(**{"order.lines": ["x"] * 2_000})
    assert world.status == "waiting"
    assert [parked.due_us for parked in world.timers.values()] == [NOW]
    world.at(0)
    assert (world.status, len(world.commands)) == ("completed", 2_001)
    assert len(world.all) > 3


def test_a_race_ends_a_loop_that_rests() -> None:
    steps = (
        Fork("race", (("loop", 1), ("paid", 4)), 5),
        ForEach("loop", tree("order.lines"), "item", 2, 3, 5),
        act("mail", 3),
        EachEnd("loop"),
        wait("paid", 5),
        Join("race", 2, 6, need=1),
        act("use"),
    )
    world = World(runnable(*steps)).start(**{"order.lines": ["x"] * 2_000})
    assert world.meet({})
    assert (world.status, world.timers, len(world.commands)) == ("completed", {}, 251)
