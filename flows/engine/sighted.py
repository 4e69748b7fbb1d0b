"""Candidates of what windows and schedules said: starts with the values that their programs read.

Reads: verdicts and due slots with their rows. Emits: candidates, to be sorted with those of single events; slots whose inputs are
wrong as dead letters. State: none. Cost: one dict a start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from flows.engine import letters
from flows.engine.shadows import absent_beside
from flows.engine.sightings import NEVER, Disproof, Sightings, Verdict
from operators.advance.advance import Runnable
from operators.advance.hidden import RETRACT_UNTIL
from operators.execution.execution import Cause
from operators.schedules.schedule import is_slot, slot_key
from operators.schedules.schedule_book import DueSlot
from operators.schedules.scheduled import flow_of
from operators.triggers.after import TOLD
from operators.triggers.lanes import SHADOW
from operators.turn.deployed import Deployed
from operators.turn.incoming import Candidate, Input, Retraction
from schemas.decode import key_rows
from schemas.expression.template import compile_template
from schemas.ids import event_key, execution_id
from schemas.program import After, EventTrigger, Program, Schedule, Trigger, Window
from schemas.records import DeadLetter
from schemas.start_inputs import BadInputs, input_env

ENVELOPE: Final = ("id", "source", "time", "correlationid", "hops")
NOWHERE: Final = ("", "", 0, 0)
Make = Callable[[str], Runnable]
Nows = Callable[[int, int], int]  # (row, due time or NEVER) -> clock
_template = lru_cache(maxsize=4_096)(compile_template)


def sighted(found: Sightings, deployed: Deployed, runnable: Make, clock: npt.NDArray[np.int64]) -> list[Candidate]:
    """Give the candidates; `clock` is the one at each row."""
    nows = _nows(found, clock)
    candidates = [one for verdict in found.verdicts for one in _of_windows(verdict, deployed, runnable, nows)]
    for row, slot in found.slots:
        flow, in_shadow = flow_of(slot.key.flow)
        if in_shadow:
            candidates += _in_shadow(row, slot._replace(key=slot.key._replace(flow=flow)), (deployed, runnable), nows)
            continue
        candidates += [one for one in (_of_slot(row, slot, runnable, nows),) if isinstance(one, Candidate)]
        candidates += _beside_slot(row, slot, (deployed, runnable), nows)
    return candidates


def _beside_slot(row: int, slot: DueSlot, known: tuple[Deployed, Make], nows: Nows) -> Iterator[Candidate]:
    """Give the start in shadow for a slot of the version in force, if both have it: it is due when that one's is."""
    deployed, runnable = known
    lane = next((one for one in deployed.lanes(slot.key.tenant, slot.key.flow) if one.side == SHADOW), None)
    beside = None if lane is None else _of_slot(row, slot, runnable, nows)
    if lane is None or not isinstance(beside, Candidate) or not lane.takes(slot.key.tenant, {}, None):
        return
    ready = runnable(lane.version)
    place = _place_of(slot, ready.program)
    found = None if place is None else _of_slot(row, slot._replace(version=lane.version, place=place), runnable, nows)
    if isinstance(found, Candidate):
        yield msgspec.structs.replace(found, shadow="runs")
    else:
        yield absent_beside(beside, ready)


def _in_shadow(row: int, slot: DueSlot, known: tuple[Deployed, Make], nows: Nows) -> Iterator[Candidate]:
    """Give the start for a slot that only the version in shadow has; those of both are due with the other's."""
    deployed, runnable = known
    tenant, flow, _, _ = slot.key
    lanes = deployed.lanes(tenant, flow)
    if not lanes or lanes[-1].side != SHADOW or not lanes[-1].takes(tenant, {}, None):
        return
    if _place_of(slot, runnable(lanes[0].version).program) is not None:
        return
    found = _of_slot(row, slot, runnable, nows)
    if isinstance(found, Candidate):
        yield msgspec.structs.replace(found, shadow="runs")


def _place_of(slot: DueSlot, program: Program) -> int | None:
    """Give the place of the trigger by which a program has a slot too."""
    _, _, trigger, zone = slot.key
    named = ((at, one) for at, one in enumerate(program.triggers) if isinstance(one, Schedule) and one.name == trigger)
    return next((at for at, one in named if zone in one.zones and is_slot(one.cron, zone, slot.slot)), None)


def refused_slots(found: Sightings, runnable: Make, now_us: int) -> list[DeadLetter]:
    """Give dead letters for slots whose inputs are not what their flow wants."""
    live = [(row, slot) for row, slot in found.slots if not flow_of(slot.key.flow)[1]]
    made = ((slot, _of_slot(row, slot, runnable, lambda _, due_us: due_us)) for row, slot in live)
    return [letters.bad_slot(slot, str(error), now_us) for slot, error in made if isinstance(error, BadInputs)]


def retractions(found: Sightings, namespace: str) -> list[Input]:
    """Give the executions whose verdict is taken back, each before the row of the event that does it."""
    return [Input(one.row, one.now_us, _retraction(one, namespace), NOWHERE) for one in found.disproofs]


def _retraction(one: Disproof, namespace: str) -> Retraction:
    back = one.started
    key = event_key(back.tenant, back.source, back.event)
    identity = execution_id(namespace, back.tenant, back.flow, key, back.time_us)
    return Retraction(back.tenant, identity.hex(), one.event)


def _nows(found: Sightings, clock: npt.NDArray[np.int64]) -> Nows:
    """Give the clock at a row, or when the clock itself set something going: under the wall clock all is now."""
    now_us = found.now_us
    if now_us is not None:
        return lambda _row, _due_us: now_us
    return lambda row, due_us: max(due_us, int(clock[row]) if row >= 0 else found.start_us)


def _of_windows(one: Verdict, deployed: Deployed, runnable: Make, nows: Nows) -> Iterator[Candidate]:
    said = one.said
    entries = said.pairs["entry"].to_list()
    lanes = {entry: deployed.entry(entry) for entry in set(entries)}
    ready = {lane.version: runnable(lane.version) for lane, _, _ in lanes.values()}
    reads = {entry: _reads(ready[lane.version], place) for entry, (lane, place, _) in lanes.items()}
    asked = [one for lane, _, beside in lanes.values() for one in (lane, beside) if one is not None]
    wanted = sorted({*(key for listed in reads.values() for key in listed), *(key for lane in asked for key in lane.keys)})
    values = key_rows(said.events, wanted, said.data)
    measures = said.windows.rows(named=True)
    envelope = said.events.select(*ENVELOPE).rows()
    rows, clocks = one.rows.tolist(), one.clock_us.tolist()
    for at, tenant, entry in zip(said.pairs["row"].to_list(), said.pairs["tenant"].to_list(), entries, strict=True):
        event, source, time_us, correlation, hops = envelope[at]
        lane, place, beside = lanes[entry]
        started, key = ready[lane.version], event_key(tenant, source, event)
        if not lane.takes(tenant, values[at], key.hex()):
            continue
        env = {name: values[at].get(name) for name in reads[entry]} | measures[at]
        cause = Cause(event, source, time_us, correlation or event, hops or 0)
        by_clock = clocks[at] != NEVER
        trigger = started.program.triggers[place]
        now_us = nows(rows[at], clocks[at] if by_clock else NEVER)
        found = Candidate(
            rows[at],
            now_us,
            key,
            tenant,
            cause,
            started,
            trigger.name,
            env | _retract_until(trigger, now_us),
            known=True,
            behind=clocks[at] if by_clock else 0,
            shadow="runs" if lane.side == SHADOW else "",
        )
        yield found
        if beside is not None and beside.takes(tenant, values[at], key.hex()):
            yield absent_beside(found, runnable(beside.version))


def _reads(ready: Runnable, place: int) -> list[str]:
    """Name what a start takes along of the event, or of the end, with which its window spoke."""
    trigger = ready.program.triggers[place]
    ends = [f"after.{flow}.{part}" for flow in trigger.flows for part in TOLD] if isinstance(trigger, After) else []
    return [*(key for key, _ in ready.program.reads), *ends]


def _retract_until(trigger: Trigger, now_us: int) -> dict[str, Any]:
    window = trigger.detail if isinstance(trigger, EventTrigger) else trigger.window if isinstance(trigger, After) else None
    return {RETRACT_UNTIL: now_us + window.retract_us} if isinstance(window, Window) and window.retract_us else {}


def _of_slot(row: int, one: DueSlot, runnable: Make, nows: Nows) -> Candidate | BadInputs:
    ready = runnable(one.version)
    trigger = ready.program.triggers[one.place]
    assert isinstance(trigger, Schedule)
    bound: dict[str, Any] = {"schedule.slot": one.slot.at_us, "schedule.zone": one.key.zone}
    inputs = None if trigger.inputs is None else _template(trigger.inputs)(bound)
    try:
        env, _ = input_env(ready.program, inputs, None)
    except BadInputs as error:
        return error
    name = f"{one.slot.local}{'+' * one.slot.fold} {one.key.zone}"
    source = f"/schedules/{one.key.flow}"
    cause = Cause(name, source, one.slot.at_us, f"{one.key.flow} {name}", 0)
    key = slot_key(one.key.zone, one.key.trigger, one.slot)
    now_us = nows(row, one.due_us)
    return Candidate(row, now_us, key, one.key.tenant, cause, ready, trigger.name, env | bound, known=True, behind=one.due_us)
