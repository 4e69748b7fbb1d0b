"""Which absences and sequences were due: told again from the events in their order, with nothing of the product's.

Only under the event clock, where everything has its one time. A copy of an event counts like the event, unless something used an
earlier one: where only copies would decide, nothing is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.topics import is_events
from tests.simulation.recorder import Recorder
from tests.simulation.stories.account import Account, Home
from tests.simulation.stories.counting import own_time_us
from tests.simulation.stories.draw_triggers import span_us
from tests.simulation.stories.script import Happening, Script


@dataclass(slots=True)
class Watch:
    """One job that was made, and what came about it in time."""

    made: Happening
    until_us: int  # of the times of events that count
    due_us: int
    met: list[Happening] = field(default_factory=list)
    copied: bool = False


def check_watches(script: Script, home: Home, recorder: Recorder, coverage: Counter[str]) -> None:
    """Hold that exactly the absences and sequences began that were due, at their time."""
    if not script.scenario.exact:
        return
    if "absent" in script.active:
        said = script.active["absent"]["trigger"]["absence"]
        lateness_us = span_us(said.get("lateness", "0s"))
        watches = list(_watches(script, recorder, (span_us(said["within"]), lateness_us, "job.done", 0)))
        _check_absences(watches, _begun(home, "absent"), coverage)
    if "chain" in script.active:
        said = script.active["chain"]["trigger"]["sequence"]
        watches = list(_watches(script, recorder, (span_us(said["within"]), 0, "job.paid", 3)))
        _check_chains(watches, _begun(home, "chain"), coverage)


def _begun(home: Home, flow: str) -> dict[tuple[str, str], Account]:
    return {(one.tenant, one.event): one for one in home.accounts.values() if one.flow == flow}


def _watches(script: Script, recorder: Recorder, what: tuple[int, int, str, int]) -> Iterator[Watch]:
    """Follow each job that was made for as long as it is watched."""
    within_us, lateness_us, wanted, least = what
    watches: dict[tuple[str, str], Watch] = {}
    came: set[tuple[str, str]] = set()
    early: list[tuple[Happening, int]] = []  # what may be wanted, with the clock at it
    for event, passed, clock in _told(script, recorder):
        key = event.tenant, event.id
        if event.type == "job.made" and key not in watches:
            until_us = event.time_us + within_us
            watches[key] = watch = Watch(event, until_us, until_us + lateness_us)
            if lateness_us:  # it may be late itself, and what followed it has come before it
                watch.met += [one for one, at_us in early if at_us >= clock - lateness_us and _is_about(watch, one)]
        elif event.type == wanted and event.job.get("amount", 0) >= least:
            for watch in watches.values():
                if watch.due_us > passed and _is_about(watch, event):
                    watch.copied |= key in came
                    watch.met += [] if key in came else [event]
            early += [] if key in came else [(event, clock)]
        came.add(key)
    yield from watches.values()


def _is_about(watch: Watch, event: Happening) -> bool:
    same_job = (watch.made.tenant, watch.made.job["id"]) == (event.tenant, event.job["id"])
    return same_job and watch.made.time_us <= event.time_us <= watch.until_us


def _told(script: Script, recorder: Recorder) -> Iterator[tuple[Happening, int, int]]:
    """Give the events about jobs in their order, with the time that had passed for deadlines before each, and the clock at it."""
    clock = passed = 0
    for piece in recorder.pieces:
        for taken in piece.taken:
            if is_events(taken.topic):
                clock = max(clock, script.time_us(taken.data) or own_time_us(taken.data))
                passed = max(passed, clock - 1)
                event = script.events.get(taken.data)
                if event is not None:
                    yield event, passed, clock
        clock, passed = max(clock, piece.now_us), max(passed, piece.past_us)


def _check_absences(watches: list[Watch], begun: dict[tuple[str, str], Account], coverage: Counter[str]) -> None:
    known = {(watch.made.tenant, watch.made.id) for watch in watches}
    assert set(begun) <= known, f"absences of nothing: {set(begun) - known}"
    for watch in watches:
        account = begun.get((watch.made.tenant, watch.made.id))
        if watch.met:
            assert account is None, f"{account.name() if account else ''} began though {watch.met} came in time"
            edge = any(event.time_us == watch.due_us for event in watch.met)
            coverage["story: absences ended at their very end"] += edge
            coverage["story: absences that were none"] += 1
        elif not watch.copied:
            assert account is not None, f"nobody missed what did not come behind {watch.made}"
            assert account.did[0].at == watch.due_us, f"{account.name()} began at {account.did[0].at}, must at {watch.due_us}"
            coverage["story: absences that were due"] += 1


def _check_chains(watches: list[Watch], begun: dict[tuple[str, str], Account], coverage: Counter[str]) -> None:
    ends: dict[tuple[str, str], Any] = {}
    for watch in watches:
        fitting = watch.met
        if fitting:
            ends[watch.made.tenant, fitting[0].id] = watch
            coverage["story: sequences that were due"] += 1
            edge = fitting[0].time_us == watch.due_us
            coverage["story: sequences ended at their very end"] += edge
    unsure = {(watch.made.tenant, event.id) for watch in watches if watch.copied for event in watch.met}
    lost = set(ends) - set(begun) - unsure
    assert not lost, f"sequences did not begin: {[ends[one] for one in lost][:2]}"
    if not any(watch.copied for watch in watches):
        assert set(begun) == set(ends), f"sequences began that were none: {set(begun) - set(ends)}"
