"""Ends of several flows that start one flow together: an execution that has not begun keeps those that have come.

The first end of a key opens it, for as long as the trigger says (`within`, by the times of the ends); a flow that ends again
takes the place of its earlier end. With the last of them it begins, caused by that one. What is not complete in time does not
start; that is told (gathered.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.advance.onward import timer_of
from operators.advance.watch_for import TOKEN, begin_watched, discard, leave
from operators.execution.execution import Cause, Watch
from operators.execution.run import Advanced, Moment, Run, advanced, begin, resume
from operators.triggers.after import holds
from schemas.effects import Waiting
from schemas.errors import BrokenInvariant
from schemas.internal import FLOW_ENDED
from schemas.program import After


def open_gathering(moment: Moment, opened: tuple[Cause, int, int | None], env: Mapping[str, Any]) -> Advanced:
    """Keep the first end: `opened` by which end, for which trigger, under which key; `moment.state` is None."""
    cause, place, key = opened
    program = moment.runnable.program
    kept = {key: value for key, value in env.items() if key.startswith("after.")}
    run = begin(moment, cause, {**dict.fromkeys(key for key, _ in program.reads), **kept}, moment.now_us)
    trigger = _trigger(run, place)
    if trigger.name:
        run.root["trigger.name"] = trigger.name
    time_us = cause.time_us + trigger.within_us
    due_us = max(time_us, run.now_us + trigger.within_us)  # ends of ours may come behind a clock that has run ahead of them
    if key is not None:
        run.waits_set = (Waiting(key, TOKEN, FLOW_ENDED, kind="watch"),)
    run.timers_set.append(timer_of(TOKEN, due_us))
    run.more().watch = Watch(place, key, time_us, due_us)
    run.status = "watching"
    return advanced(run, keep=True)


def gather(moment: Moment, cause: Cause, env: Mapping[str, Any]) -> Advanced | None:
    """Take one more end; None if it came too late for those that wait."""
    run = resume(moment)
    watch = run.more().watch
    if watch is None or cause.time_us > watch.time_us:
        return None
    trigger = _trigger(run, watch.trigger)
    for flow in trigger.flows:
        if env.get(f"after.{flow}.status") is not None:
            run.root.update({key: value for key, value in env.items() if key.startswith(f"after.{flow}.")})
    if missing(trigger, run.root):
        run.status = "watching"
        return advanced(run, keep=True)
    run.cause = cause
    run.root.update({key: env[key] for key, _ in run.runnable.program.reads if key in env})
    if not holds(trigger, {**env, **run.root}):
        return discard(run, watch)
    leave(run, watch)
    return begin_watched(run, watch, 0)


def missing(trigger: After, env: Mapping[str, Any]) -> list[str]:
    """Name the flows whose end has not come."""
    return [flow for flow in trigger.flows if env.get(f"after.{flow}.status") is None]


def _trigger(run: Run, place: int) -> After:
    trigger = run.runnable.program.triggers[place]
    if not isinstance(trigger, After):
        raise BrokenInvariant(f"trigger {place} of flow '{run.runnable.program.flow}' gathers nothing")
    return trigger
