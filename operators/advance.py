"""The execution core: `start` and `fire` carry one execution as far as it can go now.

Reads: a runnable program, the state, what happened and the time. Emits: the next state, commands, timers and transitions.
State: none of its own; the argument is never changed. Cost: a few microseconds a step.
Law: replaying the same inputs at the same times gives the same effects, on every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from operators.execution import Cause, Parked, State
from schemas.commands import Command
from schemas.effects import Abandoned, Called, Emitted, Ended, MetEvent, Unwanted, Waiting
from schemas.errors import BrokenInvariant
from schemas.expression.template import MissingValue
from schemas.program import END, Program
from schemas.records import Decision, OperatorCommand, Result, Status, Transition

STEPS_MAX: Final = 1_000  # of one execution in one turn
PARK: Final = -2
_STEP_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # a step that raises fails alone

StepFunction = Callable[["Run"], int]


class StepFailed(Exception):
    """A step cannot be carried out: an error code of flow-language section 5, and why."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class Runnable(NamedTuple):
    """A program made ready to run: its steps as functions."""

    program: Program
    steps: tuple[StepFunction, ...]
    tolerant: frozenset[int]  # steps with `on_error: continue`
    uses_execution: bool


class Advanced(msgspec.Struct):
    """What one input did to one execution. `state` is None once nothing can happen to it any more.

    A watch has the status `watching`, or `discarded` when it ended without having begun. A completed execution may keep a state
    for as long as its verdict can be disproved.
    """

    state: State | None
    status: Status
    commands: list[Command]
    timers_set: list[Parked]
    timers_gone: list[Parked]
    transitions: list[Transition]
    waits_set: list[Waiting] = []
    waits_gone: list[tuple[int, int]] = []  # (key, token)
    events: list[Emitted] = []
    calls: list[Called] = []
    cancels: list[Unwanted] = []
    abandoned: list[Abandoned] = []
    ended: Ended | None = None


class Moment(msgspec.Struct):
    """One execution when something comes in for it. `policies` is merged into its environment while it goes on:

    `policies.<name>` is a value (of a table its record, schemas/policy.py), `policies` alone a mapping from name to version.
    """

    runnable: Runnable
    tenant: str
    execution: bytes
    state: State | None
    now_us: int
    policies: Mapping[str, Any] = {}


class Run(msgspec.Struct):
    """The workspace of one execution during one input; steps read and write it."""

    runnable: Runnable
    tenant: str
    id: bytes
    hex_id: str
    cause: Cause
    now_us: int
    started_us: int
    deadline_us: int
    env: dict[str, Any]
    parked: dict[int, Parked] = {}  # msgspec gives each its own
    arrived: dict[int, int] = {}
    passes: dict[str, int] = {}
    next_token: int = 1
    token: int = 0
    step: int = 0
    left: int = STEPS_MAX
    status: Status = "running"
    commands: list[Command] = []
    timers_set: list[Parked] = []
    timers_gone: list[Parked] = []
    transitions: list[Transition] = []

    def note(self, kind: Any, step: str, verb: str, detail: Any = None) -> None:
        """Write down that something happened now."""
        self.transitions.append(Transition(self.now_us, kind, step, verb, detail))

    def run(self, token: int, at: int) -> None:
        """Carry one token on from a step until it parks, ends, or the execution does."""
        steps = self.runnable.steps
        while at >= 0 and self.status == "running":
            self.left -= 1
            if self.left < 0:
                raise StepFailed("limit_exceeded", f"more than {STEPS_MAX} steps in one turn")
            self.token, self.step = token, at
            try:
                at = steps[at](self)
            except StepFailed as failure:
                at = self.pass_over(at, failure)
            except MissingValue as missing:
                at = self.pass_over(at, StepFailed("missing_value", str(missing)))

    def fork(self, target: int) -> None:
        """Start another token at a step, and carry it on first."""
        token = self.next_token
        self.next_token = token + 1
        self.run(token, target)

    def pass_over(self, at: int, failure: StepFailed) -> int:
        """Go on behind a failed step that says `on_error: continue`; any other failure is the execution's."""
        if at not in self.runnable.tolerant:
            raise failure
        step = self.runnable.program.steps[at]
        self.note("failed", step.name, "", {"code": failure.code, "message": failure.message})
        return _after(step)

    def park(self, due_us: int) -> int:
        """Let the current token wait; beyond the execution's timeout it waits only that long."""
        parked = Parked(self.token, self.step, min(due_us, self.deadline_us))
        self.parked[self.token] = parked
        self.timers_set.append(parked)
        return PARK

    def end(self, status: Status) -> None:
        """End the execution: every token stops where it is."""
        self.status = status
        self.timers_gone.extend(self.parked.values())
        self.parked.clear()
        self.note("ended", "", "", status)


def start(runnable: Runnable, tenant: str, execution: bytes, cause: Cause, env: Mapping[str, Any], now_us: int) -> Advanced:
    """Begin an execution. `env` holds the keys that the program reads; it is not changed."""
    run = _begin(runnable, tenant, execution, (cause, now_us), now_us, dict(env))
    run.note("started", "", "")
    return _carry(run, 0, runnable.program.entry)


def fire(moment: Moment, token: int) -> Advanced | None:
    """Let a token whose time has come go on; None if it does not wait any more (a timer that was taken back)."""
    runnable = moment.runnable
    run = _resume(moment)
    parked = run.parked.pop(token, None)
    if parked is None:
        return None
    run.timers_gone.append(parked)
    if parked.due_us >= run.deadline_us:
        run.step = parked.step
        _fail(run, StepFailed("timeout", f"the execution did not end within {runnable.program.timeout_us // 1_000_000} s"))
        return _advanced(run)
    step = runnable.program.steps[parked.step]
    run.note("completed", step.name, "delay")
    return _carry(run, token, _after(step))


def watch(moment: Moment, cause: Cause, env: Mapping[str, Any], trigger: int) -> Advanced | None:
    """Watch for what an absence or a sequence (the trigger of that place) waits for; `moment.state` is None."""
    return None


def meet(moment: Moment, token: int, event: MetEvent) -> Advanced | None:
    """Give an event to a token that waits for it (of whatever kind); None if it does not fit, or is waited for no more."""
    return None


def answer(moment: Moment, result: Result) -> Advanced | None:
    """Take the outcome of a command; None if nothing waits for it."""
    return None


def decide(moment: Moment, decision: Decision) -> Advanced | None:
    """Take a decision; one that is refused is noted, and changes nothing else. None if the door refused it."""
    return None


def child_ended(moment: Moment, token: int, ended: Ended) -> Advanced | None:
    """Take the end of a called flow; None if nothing waits for it."""
    return None


def command(moment: Moment, order: OperatorCommand) -> Advanced | None:
    """Do what an operator wants: cancel, skip, retry or resume; what cannot be done is noted as refused."""
    return None


def retract(moment: Moment, event: MetEvent) -> Advanced | None:
    """Take back the verdict that started an execution: cancel its waits and run its on_retract steps."""
    return None


def _begin(
    runnable: Runnable, tenant: str, execution: bytes, started: tuple[Cause, int], now_us: int, env: dict[str, Any]
) -> Run:
    cause, started_us = started
    deadline_us = started_us + runnable.program.timeout_us
    return Run(runnable, tenant, execution, execution.hex(), cause, now_us, started_us, deadline_us, env)


def _resume(moment: Moment) -> Run:
    state = moment.state
    if state is None:
        raise BrokenInvariant("an execution without a state was to go on")
    run = _begin(
        moment.runnable, moment.tenant, moment.execution, (state.cause, state.started_us), moment.now_us, dict(state.env)
    )
    run.env.update(moment.policies)
    run.parked.update((parked.token, parked) for parked in state.parked)
    run.arrived.update(state.arrived)
    run.passes.update(state.passes)
    run.next_token = state.next_token
    return run


def _after(step: Any) -> int:
    following = step.next
    if not isinstance(following, int):
        raise BrokenInvariant(f"step '{step.name}' has no step behind it")
    return following


def _carry(run: Run, token: int, at: int) -> Advanced:
    if run.runnable.uses_execution:
        _bind_execution(run)
    try:
        run.run(token, at)
    except StepFailed as failure:
        _fail(run, failure)
    except _STEP_ERRORS as error:
        _fail(run, StepFailed("invalid_result", f"{type(error).__name__}: {error}"))
    if run.status == "running":
        if run.parked:
            run.status = "waiting"
        else:
            run.end("completed")
    return _advanced(run)


def _bind_execution(run: Run) -> None:
    program = run.runnable.program
    run.env.update(
        {
            "execution.id": run.hex_id,
            "execution.flow": program.flow,
            "execution.version": program.version,
            "execution.started_at": run.started_us,
            "execution.now": run.now_us,
            "execution.attempt": 1,
        }
    )


def _fail(run: Run, failure: StepFailed) -> None:
    name = run.runnable.program.steps[run.step].name
    run.note("failed", name, "", {"code": failure.code, "message": f"step '{name}': {failure.message}"})
    run.end("failed")


def _advanced(run: Run) -> Advanced:
    state = None
    if run.status == "waiting":
        state = State(run.cause, run.started_us, run.env, tuple(run.parked.values()), run.arrived, run.passes, run.next_token)
    return Advanced(state, run.status, run.commands, run.timers_set, run.timers_gone, run.transitions)


__all__ = [
    "END",
    "PARK",
    "Advanced",
    "Moment",
    "Run",
    "Runnable",
    "StepFailed",
    "answer",
    "child_ended",
    "command",
    "decide",
    "fire",
    "meet",
    "retract",
    "start",
    "watch",
]
