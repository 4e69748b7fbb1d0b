"""When schedules must have run: a cron of others says it, over the changes of the clocks too; each slot once, none early."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from schemas.topics import CONTROL
from tests.simulation.business import MINUTE_US, SECOND_US
from tests.simulation.recorder import Recorder, Taken
from tests.simulation.stories.account import Account, Home
from tests.simulation.stories.counting import clocked
from tests.simulation.stories.script import Script

MINUTE: Final = timedelta(minutes=1)
JITTER_US: Final = 7 * MINUTE_US


class Runs(NamedTuple):
    """The runs of one schedule in one zone, by slot, and the slots that were skipped, with when that was."""

    found: list[tuple[int, Account]]
    skipped: dict[int, int]

    def gives_way(self, slot: int) -> bool:
        """Tell whether another run was alive between a slot and its latest start, or when it was skipped."""
        at = self.skipped.get(slot, slot)
        return any(one.did[0].at <= max(at, slot + JITTER_US) and min(at, slot) <= one.did[-1].at for _, one in self.found)


def check_slots(script: Script, home: Home, recorder: Recorder, coverage: Counter[str]) -> None:
    """Hold that each schedule ran at its slots and at nothing else."""
    ran: dict[tuple[str, str, str], list[tuple[int, Account]]] = defaultdict(list)
    skipped: dict[tuple[str, str, str], dict[int, int]] = defaultdict(dict)  # slots, and when each was skipped
    for account in home.accounts.values():
        if account.flow.startswith("clocked"):
            _, zone = account.event.split(" ")
            if account.did[0].kind == "skipped":
                coverage["story: slots skipped"] += 1
                skipped[account.tenant, account.flow, zone][slot_us(account.event)] = account.did[0].at
                continue
            ran[account.tenant, account.flow, zone].append((slot_us(account.event), account))
    for name, document in script.active.items():
        if not name.startswith("clocked"):
            continue
        tenants = document.get("tenant", "*")
        for tenant in [tenants] if isinstance(tenants, str) else tenants:
            for zone in document["trigger"]["zone"]:
                found = sorted(ran.pop((tenant, name, zone), []), key=lambda one: one[0])
                runs = Runs(found, skipped[tenant, name, zone])
                _check(script, recorder, (document["trigger"], zone, f"active/{tenant}/{name}"), runs, coverage)
    assert not ran, f"schedules ran that nobody has: {list(ran)}"


def slot_us(event: str) -> int:
    """Read the moment of a slot from its name: local time (a + where it comes a second time) and zone.

    A local time that does not exist is the end of the gap that it lies in.
    """
    local, name = event.split(" ")
    zone, face = ZoneInfo(name), datetime.fromisoformat(local.removesuffix("+"))
    at = face.replace(tzinfo=zone, fold=local.endswith("+")).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) != face:
        while (at - MINUTE).astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset():
            at -= MINUTE
    return int(at.timestamp()) * SECOND_US


def _check(
    script: Script,
    recorder: Recorder,
    schedule: tuple[dict[str, Any], str, str],
    runs: Runs,
    coverage: Counter[str],
) -> None:
    (said, zone, pointer), found = schedule, runs.found
    slots = [slot for slot, _ in found]
    assert len(set(slots)) == len(slots), f"{zone} {said['schedule']}: a slot ran twice: {slots}"
    for slot, account in found:
        late_us = 0 if said["jitter"] == "0s" else JITTER_US
        began = account.did[0].at
        assert began >= slot, f"{account.name()} began at {began}, before its slot {slot}"
        # a clock that runs on by itself may have passed a slot before the event that makes it due
        assert not script.scenario.held or began <= slot + late_us, f"{account.name()} began at {began}, its slot is {slot}"
        coverage[f"story: slots run, overlap {said['overlap']}"] += 1
    if script.scenario.exact:
        first_us, last_us = _moved(script, recorder)
        must = cron_slots(said["schedule"], zone, first_us, last_us)
        least = [slot for slot in must if said["jitter"] == "0s" or slot <= last_us - JITTER_US]
    else:
        must = least = cron_slots(said["schedule"], zone, slots[0] - MINUTE_US, slots[-1]) if slots else []
    strange = set(slots) - set(must)
    assert not strange, f"{zone} {said['schedule']}: it ran at {sorted(strange)[:3]}, its slots are {must}"
    left = [slot for slot in least if slot not in slots]
    if said["overlap"] == "skip":
        left = [slot for slot in left if not runs.gives_way(slot)]
    if script.scenario.exact or said["missed"] == "all":
        assert not left, f"{zone} {said['schedule']}: it did not run at {left[:3]}: {slots}"
    if not script.scenario.exact and said["jitter"] == "0s":
        _check_turns(said, _by_turns(said, zone, pointer, recorder), runs, coverage)
    offsets = {datetime.fromtimestamp(slot / SECOND_US, ZoneInfo(zone)).utcoffset() for slot in slots}
    coverage["story: slots run over a change of clocks"] += len(offsets) > 1
    if said["overlap"] in ("skip", "queue"):
        _check_alone([account for _, account in found])


def _check_turns(said: dict[str, Any], must: dict[int, int], runs: Runs, coverage: Counter[str]) -> None:
    """Hold that under the wall clock a slot ran, or gave way, in the turn that found it due, as it is said of missed ones."""
    came = {slot: account.did[0].at for slot, account in runs.found} | runs.skipped
    assert came == must, f"missed: {said['missed']}: slots and turns {sorted(came.items() ^ must.items())[:4]} differ of {must}"
    coverage[f"story: slots by turns, missed {said['missed']}"] += len(must)


def _by_turns(said: dict[str, Any], zone: str, pointer: str, recorder: Recorder) -> dict[int, int]:
    """Give the slots that must have come up under the wall clock, and the now of the turn in which each did."""
    found: dict[int, int] = {}
    since_us: int | None = None
    for piece in recorder.pieces:
        if not piece.last and not piece.slots:
            continue
        now_us = piece.start_us
        due = [] if since_us is None else cron_slots(said["schedule"], zone, since_us, now_us)
        if piece.last:  # of a turn that dies behind this part, the schedule is asked again
            since_us = due[-1] if due else since_us
        if said["missed"] == "last" or (said["missed"] == "none" and due and now_us - due[-1] <= MINUTE_US):
            due = due[-1:]
        elif said["missed"] == "none":
            due = []
        found = dict.fromkeys(due, now_us) | found
        if since_us is None and any(_puts_in_force(taken, pointer) for taken in piece.whole):
            since_us = now_us
    return found


def _puts_in_force(taken: Taken, pointer: str) -> bool:
    return taken.topic == CONTROL and bool(json.loads(taken.data)["key"] == pointer)  # each tenant has one of its own


def cron_slots(cron: str, zone: str, after_us: int, until_us: int) -> list[int]:
    """Give the slots behind one moment up to another, as another cron has them."""
    found = list[int]()
    for moment in CronSim(cron, datetime.fromtimestamp(after_us // SECOND_US, UTC).astimezone(ZoneInfo(zone))):
        at_us = int(moment.timestamp()) * SECOND_US
        if at_us > until_us:
            break
        found.append(at_us)
    return found


def _moved(script: Script, recorder: Recorder) -> tuple[int, int]:
    """Give the clock at the first and at the last event from outside: from one to the other schedules run."""
    moments = [
        clock
        for piece in recorder.pieces
        if piece.last
        for taken, clock in clocked(piece.whole, piece.start_us, script)
        if not taken.own
    ]
    return (moments[0], moments[-1]) if moments else (script.start_us, script.start_us)


def _check_alone(accounts: list[Account]) -> None:
    """Hold that no two runs were alive at once."""
    begun = sorted((one.begun_us, one.did[-1].at, one.name()) for one in accounts if one.begun_us is not None)
    for (_, ended, one), (began, _, other) in pairwise(begun):
        assert began >= ended, f"{one} lived until {ended}, {other} began at {began}"
