"""The workspace of one execution during one input, and the loop that carries its tokens on.

Reads: a runnable program, the state, what came in, the time. Emits: what it did, as an Advanced. State: the argument is never
changed. Cost: a few microseconds a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from weakref import ref

import msgspec

from operators.execution.execution import NOWHERE, ROOT, Cause, Frame, Parked, ParkedKind, Rest, State, copy_rest
from operators.execution.noted import noted
from operators.execution.wait_shapes import Way
from schemas.commands import Command
from schemas.effects import Abandoned, Called, Emitted, Ended, Unwanted, Waiting
from schemas.errors import BrokenInvariant
from schemas.expression.rows import USE
from schemas.program import END, Program
from schemas.records import Kind, Status, Transition

STEPS_MAX: Final = 1_000  # of one execution in one turn
PARK: Final = -2
PUMP: Final = -1  # in place of a token: start the next items of a for_each
ARM: Final = -2  # in place of a token: start arm 0 of a parallel, one less for each further arm
FOREVER_US: Final = 1 << 62
POLICIES: Final = "policies"
_NONE: Final[Mapping[str, str]] = {}

StepFunction = Callable[["Run"], int]


class StepFailed(Exception):
    """A step cannot be carried out: an error code of flow-language section 5, and why."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class Code(NamedTuple):
    """What a step does when something comes in for it later: its condition, what it read, how it is undone."""

    holds: Callable[[Mapping[str, Any]], Any] | None = None
    undo: Callable[[Mapping[str, Any]], Any] | None = None
    undo_head: bytes = b""
    ways: tuple[Way, ...] = ()  # the parts that a wait reads of its event


class Awaited(NamedTuple):
    """What is waited for, ready to run: the key it is found by (None: it never comes), and whether an event fits."""

    event: str
    bind: str
    key: Callable[[str, str, Mapping[str, Any]], int | None]  # (tenant, correlation id, environment)
    holds: Callable[[Mapping[str, Any]], Any] | None


class Runnable(NamedTuple):
    """A program made ready to run: its steps as functions."""

    program: Program
    steps: tuple[StepFunction, ...]
    tolerant: frozenset[int]  # steps with `on_error: continue`
    uses_execution: bool
    codes: Mapping[int, Code]
    watches: Mapping[int, tuple[Awaited, ...]]  # of triggers: what an absence or a sequence waits for
    output: Callable[[Mapping[str, Any]], Any] | None
    limited: bool = False  # its starts must ask (operators/triggers/admission.py)


class Advanced(msgspec.Struct, gc=False):
    """What one input did to one execution. `state` is None once nothing can happen to it any more.

    What is gone was there before this input, and goes before what is set comes (a timer or a wait may go and come again).
    A watch has the status `watching`, or `discarded` when it ended without having begun. A completed execution may keep a state
    for as long as its verdict can be disproved.
    """

    state: State | None
    status: Status
    commands: list[Command]
    timers_set: list[Parked]
    timers_gone: list[Parked]
    transitions: list[Transition]
    waits_set: tuple[Waiting, ...] = ()
    waits_gone: tuple[tuple[int, int], ...] = ()  # (key, token)
    events: tuple[Emitted, ...] = ()
    calls: tuple[Called, ...] = ()
    cancels: tuple[Unwanted, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    ended: Ended | None = None
    begun: Cause | None = None  # a watch has begun to run now: by this cause
    env: dict[str, Any] = {}  # what it has bound; what each input binds anew is left out


class Moment(msgspec.Struct, gc=False):
    """One execution when something comes in for it. `policies` is merged into its environment while it goes on:

    `policies.<name>` is a value (of a table its record, schemas/policy.py), `policies` alone a mapping from name to version.
    """

    runnable: Runnable
    tenant: str
    execution: bytes
    state: State | None
    now_us: int
    policies: Mapping[str, Any] = {}


class Run(msgspec.Struct, weakref=True):
    """The workspace; steps read and write it. `env` is what the current token sees, `root` what the execution has bound."""

    runnable: Runnable
    tenant: str
    id: bytes
    hex_id: str
    cause: Cause
    now_us: int
    started_us: int
    deadline_us: int
    env: dict[str, Any]
    root: dict[str, Any]
    parked: dict[int, Parked] = {}  # msgspec gives each its own
    passes: dict[str, int] = {}
    next_token: int = 1
    token: int = 0
    frame: int = ROOT
    step: int = 0
    names: dict[str, Any] | None = None  # of the frame that binds, if it is not the execution itself
    left: int = STEPS_MAX
    status: Status = "running"
    frames: dict[int, Frame] = {}
    agenda: list[tuple[int, int, int]] = []  # (token, PUMP or ARM, frame, step), the last one next
    rest: Rest | None = None
    used: tuple[bytes, ...] = ()
    commands: list[Command] = []
    timers_set: list[Parked] = []
    timers_gone: list[Parked] = []
    transitions: list[Transition] = []
    waits_set: tuple[Waiting, ...] = ()  # from here on: what few inputs do, so no list is made for it
    waits_gone: tuple[tuple[int, int], ...] = ()
    events: tuple[Emitted, ...] = ()
    calls: tuple[Called, ...] = ()
    cancels: tuple[Unwanted, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    ended: Ended | None = None
    begun: Cause | None = None

    def note(self, kind: Kind, step: str, verb: str, detail: Any = None) -> None:
        """Write down that something happened now."""
        self.transitions.append(Transition(self.now_us, kind, step, verb, detail))

    def more(self) -> Rest:
        """Give what most executions do not have."""
        if self.rest is None:
            self.rest = Rest()
        return self.rest

    def bind(self, name: str, value: Any) -> None:
        """Bind a name in the frame of the current token."""
        self.env[name] = value
        if self.names is not None:
            self.names[name] = value

    def new_token(self) -> int:
        """Give a number that no token or frame of this execution has had."""
        token = self.next_token
        self.next_token = token + 1
        return token

    def occurrence(self, name: str) -> int:
        """Count a pass of a step; the first is 0."""
        passed = self.passes.get(name, 0)
        self.passes[name] = passed + 1
        return passed

    def switch(self, token: int, frame: int) -> None:
        """Go on with another token: see what it sees."""
        self.token = token
        if frame == self.frame:
            return
        self.frame = frame
        if frame == ROOT:
            self.names, self.env = None, self.root
            return
        layers = []
        while frame != ROOT:
            found = self.frames[frame]
            if found.names is not None:
                layers.append(found.names)
            frame = found.parent
        self.names = layers[0] if layers else None
        self.env = self.root
        if layers:
            self.env = dict(self.root)
            for layer in reversed(layers):
                self.env.update(layer)

    def park(self, due_us: int, kind: ParkedKind, about: int | None = None) -> int:
        """Let the current token wait; beyond the execution's timeout it waits only that long."""
        if due_us > self.deadline_us:
            due_us = max(self.deadline_us, self.now_us)  # an outcome may come when that is over
            kind = "deadline" if kind == "delay" else kind
        parked = Parked(self.token, self.step, due_us, kind, self.frame, about)
        self.parked[self.token] = parked
        self.timers_set.append(parked)
        return PARK

    def unpark(self, token: int) -> Parked:
        """Take a waiting token up again; it is the current one then."""
        parked = self.parked.pop(token)
        self.end_timer(parked)
        self.switch(token, parked.frame)
        self.step = parked.step
        return parked

    def end_timer(self, parked: Parked) -> None:
        """Take a timer away; one that was set by this very input was never there."""
        if self.timers_set and parked in self.timers_set:
            self.timers_set.remove(parked)
        else:
            self.timers_gone.append(parked)

    def end_wait(self, key: int, token: int) -> None:
        """Take a wait away; one that was opened by this very input was never there."""
        opened = tuple([one for one in self.waits_set if one.token != token]) if self.waits_set else ()
        if len(opened) < len(self.waits_set):
            self.waits_set = opened
        else:
            self.waits_gone = (*self.waits_gone, (key, token))

    def push(self, token: int, frame: int, step: int) -> None:
        """Let a token go on before those that wait for their turn already."""
        self.agenda.append((token, frame, step))

    def use_policy(self, name: str) -> None:
        """Hear that a policy was read: history says which version, at that moment."""
        version = self.root.get(POLICIES, _NONE).get(name)
        known = self.rest.policies if self.rest is not None else {}
        if version is not None and known.get(name) != version:
            self.more().policies = {**known, name: version}
            self.note("used", "", "policy", {name: version})

    def note_policies(self) -> None:
        """Write down which policies were read when there was no history yet."""
        for name, version in self.rest.policies.items() if self.rest is not None else ():
            self.note("used", "", "policy", {name: version})

    def end(self, ended: Ended) -> None:
        """End the execution: every token stops where it is."""
        self.status, self.ended = ended.status, ended
        self.agenda.clear()
        if ended.output is not None:
            self.note("completed", "", "output", noted(ended.output))
        self.note("ended", "", "", ended.status)


def begin(moment: Moment, cause: Cause, env: dict[str, Any], started_us: int) -> Run:
    """Make the workspace; `env` becomes the execution's own."""
    runnable, execution = moment.runnable, moment.execution
    deadline_us = started_us + runnable.program.timeout_us
    run = Run(runnable, moment.tenant, execution, execution.hex(), cause, moment.now_us, started_us, deadline_us, env, env)
    if runnable.uses_execution:
        _bind_execution(run)
    see_policies(run, moment.policies)
    return run


def resume(moment: Moment) -> Run:
    """Make the workspace of an execution that has begun."""
    state = moment.state
    if state is None:
        raise BrokenInvariant("an execution without a state was to go on")
    env = dict(state.env)
    run = begin(moment, state.cause, env, state.started_us)
    for parked in state.parked:
        run.parked[parked.token] = parked
    if state.passes:
        run.passes.update(state.passes)
    run.next_token, run.used = state.next_token, state.used
    if state.rest is not None:
        run.rest = copy_rest(state.rest)
        run.frames = run.rest.frames
        if state.rest.closing is not None:
            run.deadline_us = FOREVER_US
    return run


def _bind_execution(run: Run) -> None:
    program = run.runnable.program
    run.root.update(
        {
            "execution.id": run.hex_id,
            "execution.flow": program.flow,
            "execution.version": program.version,
            "execution.started_at": run.started_us,
            "execution.now": run.now_us,
            "execution.attempt": 1,
        }
    )


def see_policies(run: Run, policies: Mapping[str, Any]) -> None:
    """Let an execution read the policies in force now; each that is read is noted, with its version where that has changed."""
    run.root.update(policies)
    if POLICIES in run.root:
        run.root[USE] = _heard_by(run)


def _heard_by(run: Run) -> Callable[[str], None]:
    """Let a workspace hear of policies that are read, without holding it: a cycle would stay until the collector runs, rarely."""
    there = ref(run)

    def use(name: str) -> None:
        asked = there()
        if asked is not None:
            asked.use_policy(name)

    return use


def advanced(run: Run, *, keep: bool) -> Advanced:
    """Give what was done; `keep`: something can still happen to the execution."""
    state, env = None, _kept(run)
    if keep:
        if run.frames:
            run.more().frames = run.frames
        rest = run.rest
        if rest is not None and rest.is_empty():
            rest = None
        state = State(run.cause, run.started_us, env, tuple(run.parked.values()), run.passes, run.next_token, rest, run.used)
    return Advanced(
        state,
        run.status,
        run.commands,
        run.timers_set,
        run.timers_gone,
        run.transitions,
        run.waits_set,
        run.waits_gone,
        run.events,
        run.calls,
        run.cancels,
        run.abandoned,
        run.ended,
        run.begun,
        env,
    )


def _kept(run: Run) -> dict[str, Any]:
    """Leave out of the environment what each input binds anew."""
    if not run.runnable.uses_execution and not run.runnable.program.policies and POLICIES not in run.root:
        return run.root
    return {
        name: value for name, value in run.root.items() if not name.startswith(("execution.", "policies.")) and name != POLICIES
    }


def after(program: Program, at: int) -> int:
    """Give the step behind a step: of a block the one behind its end."""
    step: Any = program.steps[at]
    following = step.next if hasattr(step, "next") else program.steps[step.join].next
    if not isinstance(following, int):
        raise BrokenInvariant(f"step '{step.name}' has no step behind it")
    return following


__all__ = ["END", "NOWHERE", "PARK", "PUMP", "Advanced", "Moment", "Run", "Runnable", "StepFailed"]
