"""The step `wait`: found by its key, asked for its condition, ended by an event or by its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from operators.execution.execution import Parked, State
from operators.execution.issue import shared_row
from operators.execution.run import Awaited, Run, StepFailed, StepFunction
from schemas.effects import MetEvent, Waiting
from schemas.errors import BrokenInvariant
from schemas.ids import key_text, wait_key
from schemas.program import Await, Wait

USED_MAX = 64  # events that an execution remembers to have used
Env = Mapping[str, Any]


def awaited(of: Await) -> Awaited:
    """Make ready what a wait, an absence or a sequence waits for."""
    pairs = sorted((one.key, None if one.value is None else shared_row(one.value)) for one in of.correlate)

    def key(tenant: str, correlationid: str, env: Env) -> int | None:
        found = []
        for name, value in pairs:
            text = correlationid if value is None else key_text(value(env))
            if text is None:
                return None
            found.append((name, text))
        return wait_key(tenant, of.event, found)

    return Awaited(of.event, of.bind, key, None if of.condition is None else shared_row(of.condition))


def wait_for(step: Wait) -> StepFunction:
    """Make the function that begins to wait."""
    of, timeout = awaited(step.await_), shared_row(step.timeout)

    def enter(run: Run) -> int:
        length = timeout(run.env)
        if length is None:
            raise StepFailed("missing_value", f"the timeout of step '{step.name}' has no value")
        key = of.key(run.tenant, run.cause.correlationid, run.env)
        due_us = run.now_us + length
        if key is not None:
            since_us = run.now_us - step.look_back_us
            run.waits_set = (*run.waits_set, Waiting(key, run.token, of.event, step.look_back_us, since_us))
        run.note("entered", step.name, "wait", due_us)
        return run.park(due_us, "deadline", key)

    return enter


def take_event(run: Run, parked: Parked, event: MetEvent) -> int | None:
    """Give the step behind a wait that an event fits; None if it does not fit."""
    step = run.runnable.program.steps[parked.step]
    if not isinstance(step, Wait) or is_used(run, event) or _is_passed_over(run, event, parked.token):
        return None
    run.switch(parked.token, parked.frame)
    holds = run.runnable.codes[parked.step].holds
    if holds is not None and holds({**run.env, step.await_.bind: event.data}) is not True:
        return None
    leave(run, parked)
    use(run, event)
    run.bind(step.await_.bind, event.data)
    run.note("met", step.name, "wait", {"event": event.id, "source": event.source})
    return step.next


def is_used(run: Run, event: MetEvent) -> bool:
    """Tell whether an execution has had an event already: the one that started it, or one that met it."""
    if event.key in run.used:
        return True
    return event.id == run.cause.event and event.source == run.cause.source  # what its key is made of: both are one tenant's


def use(run: Run, event: MetEvent) -> None:
    """Remember that an event was used; those used long ago are forgotten."""
    run.used = (*run.used, event.key)[-USED_MAX:]


def pass_over(state: State, event: bytes, tokens: Sequence[int]) -> State:
    """Let waits that an event has opened not be met by it: it is read again for those that waited before (met in slices)."""
    if not tokens or event in state.used:  # an execution that has met it refuses it anyhow
        return state
    return msgspec.structs.replace(state, used=(*state.used, *(_mark(event, token) for token in tokens)))


def _is_passed_over(run: Run, event: MetEvent, token: int) -> bool:
    return bool(run.used) and _mark(event.key, token) in run.used


def _mark(event: bytes, token: int) -> bytes:
    return event + token.to_bytes(8, "big")


def leave(run: Run, parked: Parked) -> None:
    """End the waiting of a token."""
    run.unpark(parked.token)
    if parked.about is not None:
        run.end_wait(parked.about, parked.token)


def time_out(run: Run, parked: Parked) -> int:
    """Give the step that a wait whose time is over goes on with; raises StepFailed."""
    step = run.runnable.program.steps[parked.step]
    if not isinstance(step, Wait):
        raise BrokenInvariant(f"step '{step.name}' is no wait")
    leave(run, parked)
    run.note("timed_out", step.name, "wait")
    if step.on_timeout == "fail":
        raise StepFailed("timeout", f"no {step.await_.event} came in time")
    return step.next if step.on_timeout == "continue" else step.on_timeout
