"""What windows must have said: counted again event by event, in the order in which the engine took them in.

Under the wall clock turns decide what is late: their clock, and what had passed before each event, are those that were recorded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from operators.triggers.match_rows import ALL
from operators.windows.tables import Watcher, feed_of
from schemas.program import EventTrigger, Window
from schemas.topics import is_events
from tests.laws.window_twin import Event, Twin
from tests.simulation.business import DAY_US, HOUR_US
from tests.simulation.invariants import _time_us
from tests.simulation.recorder import Recorder, Taken
from tests.simulation.stories.account import Account, Home
from tests.simulation.stories.script import Script, Seen

Key = tuple[str, str, str]  # tenant, flow, event
EVENT: Final = "order.seen"


def check_windows(script: Script, home: Home, recorder: Recorder, coverage: Counter[str]) -> None:
    """Hold that exactly those flows of windows started that had to, with what was counted, and were taken back."""
    accounts = {(one.tenant, one.flow, one.event): one for one in home.accounts.values() if one.flow.startswith("counted")}
    for account in accounts.values():
        _check_told(account, script)
    twin = _twin(script)
    (_retell if script.scenario.exact else _retell_by_wall)(twin, script, recorder)
    _check_starts(twin, script, accounts, coverage)
    _check_late(twin, home, coverage)
    _check_back(twin, accounts, coverage)
    for name in {one.flow for one in accounts.values()}:
        window = script.active[name]["trigger"]["window"]
        kind = next(kind for kind in ("sliding", "tumbling", "session") if kind in window)
        coverage[f"story: window {kind}"] += 1
        coverage[f"story: window fires {window['fire']}"] += 1


def _check_told(account: Account, script: Script) -> None:
    """Hold that it was told of no more events than there were: of its own tenant and key, near enough."""
    cause = next(one for one in script.seen.values() if (one.tenant, one.id) == (account.tenant, account.event))
    reach_us = 6 * HOUR_US if "session" not in script.active[account.flow]["trigger"]["window"] else DAY_US * 100
    near = {
        one.id: one
        for one in script.seen.values()
        if (one.tenant, one.customer) == (cause.tenant, cause.customer) and abs(one.time_us - cause.time_us) <= reach_us
    }
    for action in account.actions.values():
        said = action["data"]
        assert 1 <= said["orders"] <= len(near), f"{account.name()} counts {said}, there are {len(near)} at most"


# --- the same again, slowly


def _twin(script: Script) -> Twin:
    watchers, owners, places = [], list[tuple[str, str]](), dict[tuple[str, str], int]()
    for entry, (name, program) in enumerate(sorted(script.programs.items())):
        (trigger,) = program.triggers
        if not isinstance(trigger, EventTrigger) or not isinstance(trigger.detail, Window):
            continue
        window = trigger.detail
        for tenant in program.tenants or (ALL,):
            order = places[tenant, name] = places.get((tenant, name), -1) + 1
            feed = feed_of(trigger.condition)
            watchers.append(Watcher(entry, tenant, name, order, feed, trigger.condition, window, window.when))
    return Twin(EVENT, watchers, owners)


def _retell(twin: Twin, script: Script, recorder: Recorder) -> None:
    for piece in recorder.pieces:
        if not piece.last:
            continue
        clock = piece.start_us
        for taken, clock in clocked(piece.whole, piece.start_us, script):
            seen = script.seen.get(taken.data)
            if seen is not None:
                twin.take([_event(seen, clock, clock - 1)])
            else:
                twin.advance(clock - 1)
        twin.advance(piece.past_us)


def _retell_by_wall(twin: Twin, script: Script, recorder: Recorder) -> None:
    for piece in recorder.pieces:
        if not piece.last:
            continue
        for taken in piece.whole:
            seen = script.seen.get(taken.data)
            if seen is not None:
                twin.take([_event(seen, piece.start_us, taken.past_us)])
            elif is_events(taken.topic):
                twin.advance(taken.past_us)
        twin.advance(min(piece.past_us, piece.now_us))


def clocked(taken: list[Taken], start_us: int, script: Script) -> Iterator[tuple[Taken, int]]:
    """Give the events of a turn with the clock at each: that of the latest so far."""
    clock = start_us
    for one in taken:
        if is_events(one.topic):
            clock = max(clock, script.time_us(one.data) or own_time_us(one.data))
            yield one, clock


def _event(seen: Seen, clock: int, past: int) -> Event:
    total = None if seen.total is None else Decimal(seen.total)
    return Event(seen.id, seen.tenant, seen.time_us, seen.customer, total, seen.number, clock, past)


# --- what must have come of it


def _check_starts(twin: Twin, script: Script, accounts: dict[Key, Account], coverage: Counter[str]) -> None:
    names = sorted(script.programs)
    must: dict[Key, Any] = {}
    for said in twin.verdicts:
        must.setdefault((said.tenant, names[said.entry], said.event), said)
    lost, strange = set(must) - set(accounts), set(accounts) - set(must)
    assert not lost, f"windows that did not start their flow: {[must[one] for one in sorted(lost)][:3]}"
    assert not strange, f"windows that started a flow and must not: {[accounts[one].did[:2] for one in sorted(strange)][:3]}"
    for key, said in must.items():
        account = accounts[key]
        begun = account.begun_us
        assert begun is not None
        assert said.clock < 0 or begun >= said.clock, f"{account.name()} began at {begun}, its window is over at {said.clock}"
        wanted = {name.removeprefix("window."): value for name, value in said.measures}
        for action in account.actions.values():
            if action["step"] == "said":
                told = {name: _number(action["data"].get(name)) for name in wanted}
                assert told == wanted, f"{account.name()} was told {told}, counted were {wanted}"
                coverage["story: windows counted again"] += 1


def _number(value: Any) -> Any:
    return Decimal(value.removesuffix(" GBP")) if isinstance(value, str) else value


def _check_late(twin: Twin, home: Home, coverage: Counter[str]) -> None:
    must = {(one.tenant, one.flow, one.event) for one in twin.late}
    found = {(one["tenant"], one["flow"], one["event"]) for one in home.late if one["flow"].startswith("counted")}
    assert found == must, f"late events: {sorted(found - must)[:3]} are not, {sorted(must - found)[:3]} are not told"
    coverage["story: late events of windows"] += len(must)


def _check_back(twin: Twin, accounts: dict[Key, Account], coverage: Counter[str]) -> None:
    must = {((one.tenant, one.flow, one.event), one.late) for one in twin.back}
    found = {(key, one.detail["event"]) for key, account in accounts.items() for _, one in account.of("retracted")}
    assert found == must, f"taken back: {sorted(found - must)[:3]} must not, {sorted(must - found)[:3]} must be"
    coverage["story: windows taken back"] += len(must)
    for key, _ in must:
        assert any(action["step"] == "unsaid" for action in accounts[key].actions.values()), f"{key} was not unsaid"


def own_time_us(data: bytes) -> int:
    """Give the time of an event that the engine emitted."""
    return _time_us(json.loads(data)["time"])
