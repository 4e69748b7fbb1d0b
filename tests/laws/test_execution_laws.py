"""Laws of the execution core: whatever the program and whatever comes in, in whatever order.

Replaying the same inputs gives the same effects; whether the state went through its bytes does not show; a state that is given is
not changed; nothing is left open behind an end; nothing gets stuck; what was done is undone once, in reverse order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.advance.advance import Advanced
from operators.execution.execution import pack
from operators.steps.steps import make_runnable
from schemas.effects import Called, Ended
from schemas.program import Act, Program
from schemas.records import Action, Transition
from tests.examples import examples
from tests.laws.drawn_executions import programs
from tests.operators.executions import NOW, World

Word = tuple[int, int]  # what comes in, and how
OUTCOMES = ("delivered", "delivered", "delivered", "failed", "unknown", "dead", "cancelled")
ENDS = (Ended("completed", {"x": 1}), Ended("completed"), Ended("failed", None, "bad", "it is"), Ended("cancelled"))
ORDERS = ("cancel", "skip", "retry", "resume")
WORDS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1 << 16)), min_size=5, max_size=40)
INPUTS_MAX = 400


class Kept(World):
    """A world in which the state never goes through its bytes, and is held against change."""

    def take(self, advanced: Advanced | None) -> bool:
        """Book, and keep the very state."""
        taken = super().take(advanced)
        if advanced is not None:
            self.state = advanced.state
        return taken


@dataclass
class Player:
    """Gives a world what comes in, and remembers what is open."""

    world: World
    number: int = 0
    open: dict[str, Action] = field(default_factory=dict)
    calls: dict[int, Called] = field(default_factory=dict)
    delivered: list[Action] = field(default_factory=list)
    read: int = 0

    def look(self) -> None:
        """Take in what the world has said since."""
        for advanced in self.world.all[self.read :]:
            self.open |= {one.id: one for one in (command.action() for command in advanced.commands) if one.awaited}
            self.calls |= {one.token: one for one in advanced.calls if one.awaited}
        self.read = len(self.world.all)

    def play(self, word: Word) -> None:
        """Give one input, chosen by two numbers."""
        kind, how = word
        self.number += 1
        if self.world.state is None:
            return
        before = pack(self.world.state)
        given, state = self._moves[kind](self, how), self.world.state
        assert given is not None or (state is not None and pack(state) == before)
        self.look()

    def _time(self, how: int) -> bool | None:
        if not self.world.timers:
            return None
        due_us = min(self.world.timers)[0]
        self.world.at(max(due_us, self.world.now_us) - NOW + how % 3)
        return True

    def _event(self, how: int) -> bool | None:
        return self.world.meet({"n": Decimal(how) / 7}, self.number) or None

    def _result(self, how: int) -> bool | None:
        if not self.open:
            return None
        one = self.open.pop(sorted(self.open)[how % len(self.open)])
        status = OUTCOMES[how % len(OUTCOMES)]
        taken = self.world.result(one, {"n": how}, status)
        if taken and status == "delivered":
            self.delivered.append(one)
        return taken or None

    def _decision(self, how: int) -> bool | None:
        ballots = self.world.state.rest.ballots if self.world.state is not None and self.world.state.rest is not None else {}
        if not ballots:
            return None
        token = sorted(ballots)[how % len(ballots)]
        step = next(parked.step for parked in self.world.state.parked if parked.token == token)  # type: ignore[union-attr]
        name = self.world.flow.program.steps[step].name
        outcome = ("approved", "approved", "rejected")[how % 3]
        self.world.decide(name, f"p{how % 4}", outcome, roles=["manager"], occurrence=ballots[token].occurrence)
        return True

    def _child(self, how: int) -> bool | None:
        if not self.calls:
            return None
        token = sorted(self.calls)[how % len(self.calls)]
        del self.calls[token]
        return self.world.ended(token, ENDS[how % len(ENDS)]) or None

    def _order(self, how: int) -> bool | None:
        names = [step.name for step in self.world.flow.program.steps]
        word, outcome = ORDERS[how % len(ORDERS)], ("done", "not_done")[how % 2]
        return self.world.order(word, names[how % len(names)], outcome=outcome) or None

    _moves = (_time, _time, _event, _event, _result, _result, _result, _decision, _child, _order)

    def to_the_end(self) -> None:
        """Let everything be answered well and all time pass; an operator passes over what is stuck."""
        for _ in range(INPUTS_MAX):
            if self.world.state is None:
                return
            self.number += 1
            if self.open:
                self._result(0)
            elif self.calls:
                self._child(0)
            elif self._time(0) is None:
                self._unstick()
            self.look()
        raise AssertionError(f"it does not end: {self.world.state}")

    def _unstick(self) -> None:
        names = sorted({step.name for step in self.world.flow.program.steps if isinstance(step, Act)})
        for name in names:
            if self.world.state is not None:
                self.world.order("resume", name, outcome="done")
                self.look()


def _played(flow: Program, words: list[Word], world: type[World] = World) -> Player:
    env: dict[str, Any] = {"order.total": Decimal("0.10")}
    player = Player(world(make_runnable(flow), **env))
    player.world.start()
    player.look()
    for word in words:
        player.play(word)
    return player


@settings(max_examples=examples(300))
@given(programs(), WORDS)
def test_replaying_the_same_inputs_gives_the_same_effects(flow: Program, words: list[Word]) -> None:
    one, two = _played(flow, words), _played(flow, words)
    assert one.world.all == two.world.all


@settings(max_examples=examples(300))
@given(programs(), WORDS)
def test_a_crash_between_two_inputs_does_not_show(flow: Program, words: list[Word]) -> None:
    through_bytes, kept = _played(flow, words), _played(flow, words, Kept)
    assert through_bytes.world.all == kept.world.all


@settings(max_examples=examples(300))
@given(programs(), WORDS)
def test_every_execution_ends_and_leaves_nothing_open(flow: Program, words: list[Word]) -> None:
    player = _played(flow, words)
    player.to_the_end()
    world = player.world
    assert world.status in ("completed", "failed", "cancelled")
    assert (world.timers, world.waits) == ({}, {})
    assert [one.ended is not None for one in world.all] == [False] * (len(world.all) - 1) + [True]
    ids = [one.id for one in world.commands] + [one.id for advanced in world.all for one in advanced.events]
    assert len(ids) == len(set(ids))
    seen(world.status)


@settings(max_examples=examples(300))
@given(programs(), WORDS)
def test_what_was_done_is_undone_once_in_reverse_order_or_not_at_all(flow: Program, words: list[Word]) -> None:
    player = _played(flow, words)
    player.to_the_end()
    world = player.world
    undone = [one.undoes for one in world.commands if one.undoes is not None]
    fixed = {step.name for step in flow.steps if isinstance(step, Act) and step.compensate is not None}
    done = [one.id for one in player.delivered if one.step in fixed]
    if "closing" in {line.split()[0] for line in world.history}:
        assert [one for one in dict.fromkeys(undone) if one in done] == done[::-1]
        seen(f"undone {len(done)}")
    else:
        assert undone == []
    tries = Counter(line for line in world.history if line.startswith("compensation.issued"))
    assert sum(tries.values()) == len(undone)


@settings(max_examples=examples(300))
@given(programs(), WORDS)
def test_the_history_folds_to_what_is_live(flow: Program, words: list[Word]) -> None:
    world = _played(flow, words).world
    transitions = [one for advanced in world.all for one in advanced.transitions]
    assert _status(transitions) == world.status
    partial = any(getattr(step, "need", 0) and hasattr(step, "arms") for step in flow.steps)
    if world.status == "waiting" and not partial and not any(one.kind in ("failed", "skipped") for one in transitions):
        assert world.state is not None
        names = Counter(flow.steps[one.step].name for one in world.state.parked if one.kind != "notice")
        assert _waiting(transitions, flow) == names


def _status(transitions: list[Transition]) -> str:
    last = next((one for one in reversed(transitions) if one.kind == "ended"), None)
    if last is not None:
        return str(last.detail)
    return "closing" if any(one.kind == "closing" for one in transitions) else "waiting"


_OPENS = {("delay", "entered"), ("wait", "entered"), ("approval", "requested"), ("action", "issued"), ("call", "called")}
_CLOSES = {("delay", "completed"), ("wait", "met"), ("wait", "timed_out"), ("approval", "completed"), ("action", "answered")}


def _waiting(transitions: list[Transition], flow: Program) -> Counter[str]:
    """Count what is waited for at each step, by the history alone."""
    waits: dict[str, Any] = {step.name: getattr(step, "awaited", True) for step in flow.steps}
    found: Counter[str] = Counter()
    for one in transitions:
        if not waits.get(one.step, False):
            continue
        if (one.verb, one.kind) in _OPENS:
            found[one.step] += 1
        elif (one.verb, one.kind) in _CLOSES | {("action", "timed_out"), ("call", "answered"), ("call", "timed_out")}:
            found[one.step] -= 1
    return +found
