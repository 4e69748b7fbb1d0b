"""Watches: executions that have not begun. An absence begins when its time is over, a sequence when its last event has come.

A verdict that may be disproved keeps a hidden wait: an event that came late takes it back (`on_retract`), for so long as the
trigger says, even when the steps have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from operators.advance.hidden import hide, unhide
from operators.advance.onward import begin_steps, carry, timer_of
from operators.advance.queued import stand_by, take_back_queued
from operators.execution.asked_policies import use_asked
from operators.execution.execution import ROOT, Cause, Hidden, Watch
from operators.execution.frames import tear_all_down, withdraw_all
from operators.execution.run import Advanced, Awaited, Moment, Run, advanced, begin
from operators.steps.wait_for import is_used, use
from schemas.effects import MetEvent, Waiting
from schemas.errors import BrokenInvariant
from schemas.expression.rows import compile_row
from schemas.program import Absence, After, EventTrigger, Sequence

TOKEN = 0  # of a watch: the first one
Detail = Absence | Sequence


def start_watch(moment: Moment, cause: Cause, env: Mapping[str, Any], trigger: int) -> Advanced | None:
    """Begin to watch; None if the time that an absence waits for has no value."""
    run = begin(moment, cause, dict(env), moment.now_us)
    detail = _detail(run, trigger)
    time_us = _time(detail, cause, run.root)
    if time_us is None:
        return None
    name = run.runnable.program.triggers[trigger].name
    if name:
        run.root["trigger.name"] = name
    if isinstance(detail, Sequence) and detail.first:
        run.root[detail.first] = _nested(run.root, [way for way, _ in detail.reads])
    use_asked(run)
    return _watch(run, Watch(trigger, None, time_us, time_us + detail.lateness_us, 0, cause.time_us))


def _time(detail: Detail, cause: Cause, env: Mapping[str, Any]) -> int | None:
    if isinstance(detail, Sequence):
        return cause.time_us + detail.within_us
    time: int | None = compile_row(detail.time)(env)
    return time if time is None or detail.until else cause.time_us + time


def _watch(run: Run, watch: Watch) -> Advanced:
    """Wait for the next event that the watch is about."""
    of = _awaited(run, watch.trigger, watch.reached)
    key = of.key(run.tenant, run.cause.correlationid, run.root)
    if key is not None:
        back_us = _look_back_us(run, watch)
        run.waits_set = (*run.waits_set, Waiting(key, TOKEN, of.event, back_us, run.now_us - back_us, "watch"))
    run.timers_set.append(timer_of(TOKEN, watch.due_us))
    run.more().watch = msgspec.structs.replace(watch, key=key)
    run.transitions.clear()  # it has no history before it begins
    run.status = "watching"
    return advanced(run, keep=True)


def _look_back_us(run: Run, watch: Watch) -> int:
    """Give how long before its turn an event may have come: as long as the one that it follows may be late."""
    return _detail(run, watch.trigger).lateness_us


def meet_watch(run: Run, watch: Watch, event: MetEvent) -> Advanced | None:
    """Give a watch an event: an absence is over, a sequence one further; None if it does not fit."""
    in_time = watch.last_us <= event.time_us <= watch.time_us
    if not in_time or is_used(run, event) or not _fits(run, watch.trigger, watch.reached, event):
        return None
    detail = _detail(run, watch.trigger)
    if isinstance(detail, Absence):
        return discard(run, watch)
    leave(run, watch)
    use(run, event)
    run.root[detail.then[watch.reached].bind] = event.data
    if watch.reached + 1 < len(detail.then):
        return _watch(run, msgspec.structs.replace(watch, key=None, reached=watch.reached + 1, last_us=event.time_us))
    run.cause = Cause(event.id, event.source, event.time_us, event.correlationid, event.hops)
    for name, _ in run.runnable.program.reads:
        run.root[name] = _at(event.data, name.split("."))
    return begin_watched(run, watch, 0)


def end_watch(run: Run, watch: Watch) -> Advanced:
    """Take that the time of a watch is over."""
    if isinstance(run.runnable.program.triggers[watch.trigger], After):
        return discard(run, watch)
    detail = _detail(run, watch.trigger)
    if isinstance(detail, Sequence):
        return discard(run, watch)
    leave(run, watch)
    return begin_watched(run, watch, detail.retract_us)


def discard(run: Run, watch: Watch) -> Advanced:
    """End a watch without a trace."""
    leave(run, watch)
    run.status = "discarded"
    return advanced(run, keep=False)


def leave(run: Run, watch: Watch) -> None:
    """Watch no more."""
    run.end_timer(timer_of(TOKEN, watch.due_us))
    if watch.key is not None:
        run.end_wait(watch.key, TOKEN)
    run.more().watch = None


def begin_watched(run: Run, watch: Watch, retract_us: int) -> Advanced:
    """Start for real, now; it watches no more."""
    run.started_us = run.now_us
    run.deadline_us = run.now_us + run.runnable.program.timeout_us
    run.begun = run.cause
    if retract_us:
        hide(run, Hidden(run.new_token(), watch.trigger, watch.key, watch.time_us, watch.due_us + retract_us))
    run.transitions.clear()  # what it has read while it watched is told behind its start
    if run.runnable.limited:
        return stand_by(run)
    run.note("started", "", "")
    run.note_policies()
    return begin_steps(run, run.runnable.program.entry)


def disproves(run: Run, hidden: Hidden, event: MetEvent) -> bool:
    """Tell whether an event takes the verdict back; what the engine itself has found (of no key) does."""
    if hidden.key is None:
        return True
    return run.cause.time_us <= event.time_us <= hidden.time_us and _fits(run, hidden.trigger, 0, event)


def take_back(run: Run, event: MetEvent) -> Advanced:
    """Cancel the waits of an execution and run its on_retract steps; one that is closing goes on closing."""
    rest = run.more()
    if rest.hidden is not None:
        unhide(run, rest.hidden)
    if rest.queued is not None:
        return take_back_queued(run)
    rest.over = ""
    run.note("retracted", "", "", {"event": event.id, "source": event.source})
    if rest.closing is None:
        tear_all_down(run)
        withdraw_all(run)
        if run.runnable.program.on_retract >= 0:
            run.push(run.new_token(), ROOT, run.runnable.program.on_retract)
    return carry(run)


def forget(run: Run, hidden: Hidden) -> Advanced:
    """Take that the verdict cannot be disproved any more."""
    over = run.more().over
    unhide(run, hidden)
    if run.more().queued is not None:
        run.status = "waiting"
        return advanced(run, keep=True)
    if not over:
        return carry(run)
    run.status = over
    return advanced(run, keep=False)


def _detail(run: Run, trigger: int) -> Detail:
    found = run.runnable.program.triggers[trigger]
    if not isinstance(found, EventTrigger) or not isinstance(found.detail, Absence | Sequence):
        raise BrokenInvariant(f"trigger {trigger} of flow '{run.runnable.program.flow}' is nothing to watch for")
    return found.detail


def _awaited(run: Run, trigger: int, place: int) -> Awaited:
    return run.runnable.watches[trigger][place]


def _fits(run: Run, trigger: int, place: int, event: MetEvent) -> bool:
    of = _awaited(run, trigger, place)
    return of.holds is None or of.holds({**run.root, of.bind: event.data}) is True


def _nested(env: Mapping[str, Any], ways: list[tuple[str, ...]]) -> dict[str, Any]:
    """Make a record of flat keys."""
    record: dict[str, Any] = {}
    for way in ways:
        here = record
        for name in way[:-1]:
            here = here.setdefault(name, {})
        here[way[-1]] = env.get(".".join(way))
    return record


def _at(record: Any, way: list[str]) -> Any:
    for name in way:
        record = record.get(name) if isinstance(record, dict) else None
    return record
