"""Laws of the fold: whatever the program and whatever came in, a history says what its execution knew at each of its steps.

And a fork that starts from there goes on as the execution itself did: the same steps, with the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import event as seen
from hypothesis import strategies as st

from operators.advance.advance import Runnable, start
from operators.advance.fold import Past, check_place, fold
from operators.advance.forked import FORK, fork_start
from operators.execution.execution import ROOT
from operators.execution.run import Run, StepFunction
from operators.steps.steps import make_runnable
from operators.turn.live import bound_since
from schemas.errors import InvalidInput
from schemas.exact_json import exact, from_exact
from schemas.program import END, EachEnd, ForEach, Program, Set
from schemas.records import Folded, OperatorCommand, decode, encode
from tests.examples import examples
from tests.laws.drawn_executions import programs
from tests.laws.test_execution_laws import WORDS, Player
from tests.operators.executions import CAUSE, ENV, ID, NOW, TENANT, World, runnable, tree
from tests.operators.executions import data as values


@dataclass
class Watched:
    """A program whose steps write down what is known when a token of the execution itself comes to them first."""

    flow: Program
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def runnable(self) -> Runnable:
        """Give it ready to run."""
        made = make_runnable(self.flow)
        return made._replace(steps=tuple(self._watch(at, step) for at, step in enumerate(made.steps)))

    def _watch(self, at: int, step: StepFunction) -> StepFunction:
        name = self.flow.steps[at].name

        def watched(run: Run) -> int:
            if run.frame == ROOT:
                self.known.setdefault(name, dict(run.root))
            return step(run)

        return watched


def past_of(world: World) -> Past:
    """Give what the records on the history topic hold of an execution."""
    turns: list[dict[str, Any]] = []
    known: Mapping[str, Any] = {}
    for advanced in world.all:
        turns.append(msgspec.json.decode(encode(Bound(bound_since(known, advanced.env)))))
        known = {} if advanced.state is None else advanced.state.env
    transitions = [one for advanced in world.all for one in advanced.transitions]
    cause = (CAUSE.event, CAUSE.source, CAUSE.time_us, CAUSE.correlationid, CAUSE.hops)
    return Past(TENANT, [world.flow.program], transitions, cause, [turn["bound"] for turn in turns])


class Bound(msgspec.Struct):
    bound: dict[str, Any]


def played(flow: Runnable, words: list[tuple[int, int]]) -> World:
    more: dict[str, Any] = {"order.total": Decimal("0.10")}
    player = Player(World(flow, **more))
    player.world.start()
    player.look()
    for word in words:
        player.play(word)
    return player.world


@settings(max_examples=examples(300))
@given(programs(), WORDS)
def test_a_history_says_what_was_known_at_each_step(flow: Program, words: list[tuple[int, int]]) -> None:
    watched = Watched(flow)
    world = played(watched.runnable(), words)
    past, found = past_of(world), 0
    for name, known in watched.known.items():
        try:
            folded = fold(past, name, flow)
        except InvalidInput as refused:
            seen(str(refused).split("'")[0][:30])
            continue
        assert {key: from_exact(value) for key, value in folded.bound.items()} == known, name
        found += 1
    seen(f"steps folded: {min(found, 5)}")


ITEMS = (
    Set("late", (("found", values("{{ order.total }}")),), END),
    EachEnd("each"),
    Set("early", (("found", values("{{ order.total }}")),), 1),
    ForEach("each", tree("order.lines"), "item", 2, 1, 0, most=3),
)


def test_what_an_item_binds_is_not_known_behind_its_loop() -> None:
    watched = Watched(runnable(*ITEMS, entry=3).program)
    past = past_of(played(watched.runnable(), []))
    assert "found" not in fold(past, "late", watched.flow).bound
    assert "found" not in watched.known["late"]


@settings(max_examples=examples(200))
@given(programs(), WORDS, st.data())
def test_a_fork_goes_on_as_its_origin_did(flow: Program, words: list[tuple[int, int]], data: st.DataObject) -> None:
    watched = Watched(flow)
    past = past_of(played(watched.runnable(), words))
    possible = [name for name in watched.known if _can(past, name, flow)]
    assume(possible)
    name = data.draw(st.sampled_from(sorted(possible)))
    order = OperatorCommand(
        command="fork", tenant=TENANT, execution=ID.hex(), flow="f", step=name, folded=fold(past, name, flow), by="ann", at=NOW
    )
    order = decode(OperatorCommand, encode(order))
    again = Watched(flow)
    world = World(again.runnable())
    world.env = fork_start(flow, order)[2]
    world.take(start(world.flow, TENANT, ID, CAUSE, world.env, NOW))
    forked = world.all[0].transitions[1].detail
    assert (forked["execution"], forked["step"], forked["by"]) == (ID.hex(), name, "ann")
    assert FORK not in world.all[0].env
    assert next(iter(again.known.items())) == (name, watched.known[name])
    past = past_of(world)
    for one, known in again.known.items():  # and a fork can be forked
        if one == name or _can(past, one, flow):
            assert {key: from_exact(value) for key, value in fold(past, one, flow).bound.items()} == known


def _can(past: Past, name: str, flow: Program) -> bool:
    try:
        fold(past, name, flow)
        check_place(flow, name)
    except InvalidInput:
        return False
    return True


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**20), max_value=10**20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["$decimal", "$record", "a", ""]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_values_come_back_from_json_exactly(value: Any) -> None:
    back = from_exact(msgspec.json.decode(msgspec.json.encode(exact(value))))
    assert back == value
    assert repr(back) == repr(value)


NO_DECIMALS: list[Any] = ["x", "NaN", [], "1e999999999"]
WRONG: list[Any] = [*({"$decimal": one} for one in NO_DECIMALS), {"$record": 1}, [{"$record": [2]}]]


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_decimal_or_record_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"is no decimal|is no record"):
        from_exact(value)
    assert Folded(cause=("", "", 0, "", 0), bound={}).used == []
    assert ENV
