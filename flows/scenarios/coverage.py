"""Which steps and arms the tests of a flow have entered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from operators.advance.advance import Runnable
from operators.execution.run import Run, StepFunction
from schemas.program import Branch, EachEnd, Join, Program, Wait
from schemas.program_graph import Graph
from schemas.program_ways import ways

ELSE: Final = "else"  # where it only goes on as the arms do, there is nothing to enter
ENTERED: Final = -9  # no way on


class Coverage:
    """Watches runnables: every step that is entered, and where each goes on."""

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}
        self._went: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)  # version -> (step, where it went on)

    def watched(self, runnable: Runnable) -> Runnable:
        """Give the same runnable with its steps watched."""
        program = runnable.program
        self._programs[program.version] = program
        steps = tuple(self._watched(step, program.version, place) for place, step in enumerate(runnable.steps))
        return runnable._replace(steps=steps)

    def _watched(self, step: StepFunction, version: str, place: int) -> StepFunction:
        went = self._went[version]

        def watched(run: Run) -> int:
            went.add((place, ENTERED))  # a step may raise
            following = step(run)
            went.add((place, following))
            return following

        return watched

    def left_out(self, flow: str) -> list[str]:
        """Name the steps and arms of a flow that no test entered, in the order of the flow."""
        program = next(one for one in self._programs.values() if one.flow == flow)
        went = self._went[program.version]
        entered = {place for place, _ in went}
        return list(_left_out(program, went, entered))


def _left_out(program: Program, went: set[tuple[int, int]], entered: set[int]) -> Iterator[str]:
    graph = Graph(program)
    for place, step in enumerate(program.steps):
        if isinstance(step, Join | EachEnd):
            continue
        if place not in entered:
            yield f"step {step.name}"
        elif isinstance(step, Branch):
            taken = {following for at, following in went if at == place}
            shared = {step.otherwise} & {after for arm in step.arms for after in (arm.target, *graph.after(arm.target))}
            own = [(target, name) for target, name in ways(step) if name != ELSE or target not in shared]
            yield from (f"step {step.name}: {_arm(name)}" for target, name in own if target not in taken)
        elif isinstance(step, Wait) and isinstance(step.on_timeout, int) and step.on_timeout not in entered:
            yield f"step {step.name}: on_timeout"


def _arm(name: str) -> str:
    return name if name == ELSE else f"when {name}"
