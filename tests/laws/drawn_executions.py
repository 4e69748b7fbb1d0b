"""Programs drawn by hypothesis: trees of steps with every construct, laid out as a flat table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from schemas.program import (
    END,
    NO_STEP,
    Act,
    Approve,
    Arm,
    Branch,
    Call,
    Compensation,
    Decide,
    Deciders,
    EachEnd,
    Emit,
    Fail,
    ForEach,
    Fork,
    Join,
    Program,
    Set,
    Step,
    Stop,
)
from tests.operators.executions import HOUR, READS, TRIGGER, condition, data, delay, span, tree, wait

Node = tuple[Any, ...]
LEAVES = st.one_of(
    st.tuples(st.just("act"), st.sampled_from(["undone", "awaited", "forgiven", "handled", "tolerant", "plain"])),
    st.tuples(st.just("act"), st.just("undone")),
    st.tuples(st.just("delay"), st.sampled_from(["0s", "1m", "1h", "3h"])),
    st.tuples(st.just("wait"), st.sampled_from(["continue", "fail"])),
    st.tuples(st.just("approve"), st.sampled_from(["approved", "rejected", "fail"]), st.integers(1, 2)),
    st.tuples(st.just("set")),
    st.tuples(st.just("emit")),
    st.tuples(st.just("call"), st.booleans()),
    st.tuples(st.just("decide")),
)
LAST = st.sampled_from([("fail",), ("stop", False), ("stop", True)])


def _blocks(inner: st.SearchStrategy[list[Node]]) -> st.SearchStrategy[list[Node]]:
    node = st.one_of(
        LEAVES,
        st.tuples(st.just("branch"), st.lists(inner, min_size=1, max_size=2), inner),
        st.tuples(st.just("fork"), st.lists(inner, min_size=1, max_size=3), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("each"), inner, st.integers(1, 3), st.sampled_from(["fail", "collect"]), st.booleans()),
    )
    lists = st.lists(node, min_size=1, max_size=4)
    return st.one_of(lists, st.builds(lambda nodes, last: [*nodes, last], lists, LAST))


NODES = st.recursive(st.lists(LEAVES, min_size=1, max_size=4), _blocks, max_leaves=24)


@dataclass
class Layout:
    """The table while it is filled; names are numbered."""

    steps: list[Step | None] = field(default_factory=list)
    named: int = 0

    def name(self, kind: str) -> str:
        """Give a name that no other step has."""
        self.named += 1
        return f"{kind}_{self.named}"

    def reserve(self) -> int:
        """Keep a place."""
        self.steps.append(None)
        return len(self.steps) - 1

    def put(self, make: Callable[[int], Step]) -> int:
        """Fill the next place."""
        at = self.reserve()
        self.steps[at] = make(at)
        return at

    def place(self, nodes: list[Node], after: int) -> int:
        """Place a list whose last step goes on at `after`; give its first place. Laid out from the back."""
        for node in reversed(nodes):
            after = _PLACES[node[0]](self, node, after)
        return after


def _act(at: Layout, node: Node, after: int) -> int:
    kind, name = node[1], at.name("act")
    more: dict[str, Any] = {}
    if kind != "plain":
        more = {"awaited": True, "timeout_us": 2 * HOUR}
    if kind == "undone":
        more["compensate"] = Compensation("undo", data({"id": "{{ order.id }}"}))
    if kind == "forgiven":
        more |= {"compensate": Compensation("undo", data({})), "on_unknown": "compensate"}
    if kind == "handled":
        more["handler"] = at.put(lambda _: Act(at.name("repair"), "repair", data({"code": "{{ error.code }}"}), after))
    if kind == "tolerant":
        more["on_error"] = "continue"
    return at.put(lambda _: Act(name, name, data({"id": "{{ order.id }}"}), after, **more))


def _approve(at: Layout, node: Node, after: int) -> int:
    by = Deciders(role=data("manager"))
    name = at.name("ask")
    more: dict[str, Any] = {"need": node[2], "remind_us": (HOUR,), "escalate_us": 2 * HOUR, "escalate_to": by}
    return at.put(lambda _: Approve(name, data("?"), by, span("3h"), after, node[1], bind=name, **more))


def _branch(at: Layout, node: Node, after: int) -> int:
    tests = ['order.by == "eve"', 'order.by == "bob"']
    arms = tuple(Arm(condition(test), at.place(nodes, after)) for test, nodes in zip(tests, node[1], strict=False))
    otherwise = at.place(node[2], after)
    return at.put(lambda _: Branch(at.name("branch"), arms, otherwise))


def _fork(at: Layout, node: Node, after: int) -> int:
    name, join = at.name("fork"), at.reserve()
    arms = tuple((f"arm{place}", at.place(nodes, join)) for place, nodes in enumerate(node[1]))
    need = min(node[2], len(arms))
    at.steps[join] = Join(name, len(arms), after, need, name if need == 1 else "")
    on_error: Any = "continue" if node[3] else "fail"
    return at.put(lambda _: Fork(name, arms, join, on_error))


def _each(at: Layout, node: Node, after: int) -> int:
    name, end = at.name("each"), at.reserve()
    at.steps[end] = EachEnd(name, data("{{ item }}"))
    body = at.place(node[1], end)
    on_error: Any = "continue" if node[4] else "fail"
    return at.put(lambda _: ForEach(name, tree("order.lines"), "item", body, end, after, 3, node[2], node[3], name, on_error))


_PLACES: dict[str, Callable[[Layout, Node, int], int]] = {
    "act": _act,
    "delay": lambda at, node, after: at.put(lambda _: delay(node[1], after, name=at.name("delay"))),
    "wait": lambda at, node, after: at.put(lambda _: wait(at.name("wait"), after, on_timeout=node[1], timeout="2h")),
    "approve": _approve,
    "set": lambda at, _node, after: at.put(lambda _: Set(at.name("set"), (("found", data("{{ order.total }}")),), after)),
    "emit": lambda at, _node, after: at.put(lambda _: Emit(at.name("emit"), "order.held", "orders.events", data({}), after)),
    "call": lambda at, node, after: at.put(lambda _: Call(at.name("call"), "g", "v2", data({}), after, node[1], 2 * HOUR)),
    "decide": lambda at, _node, after: at.put(lambda _: Decide(at.name("decide"), "gone", data({}), after, on_error="continue")),
    "branch": _branch,
    "fork": _fork,
    "each": _each,
    "fail": lambda at, _node, _after: at.put(lambda _: Fail(at.name("fail"), "bad")),
    "stop": lambda at, node, _after: at.put(lambda _: Stop(at.name("stop"), "enough", node[1])),
}


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a program; some have on_error steps of their own."""
    at = Layout()
    entry = at.place(draw(NODES), END)
    on_error = (
        at.place([("act", "plain"), *draw(st.sampled_from([[], [("delay", "1h")]]))], END) if draw(st.booleans()) else NO_STEP
    )
    steps = tuple(step for step in at.steps if step is not None)
    timeout_us = draw(st.sampled_from([400 * 24 * HOUR, 4 * HOUR]))
    return Program("f", "v1", (), (TRIGGER,), READS, steps, entry, timeout_us, on_error=on_error)
