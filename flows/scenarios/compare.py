"""Compares what a world holds with what a test expects of it; gives the first difference and its place in the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any, Final

import msgspec

from flows.language.nodes import Path
from flows.local.execution import LocalExecution
from flows.scenarios.world import NOT_BEGUN, World
from operators.turn.limit_book import place_of
from schemas.effects import Emitted, Ended
from schemas.expression.findings import ExpressionError
from schemas.expression.literals import parse_money, parse_timestamp_us, print_duration
from schemas.flow.scenario import Expect, ExpectedAction, ExpectedWait
from schemas.records import Action, Json

LIMIT: Final = "limit"  # where a start waits that a limit does not let begin
MomentOf = Callable[[str], int]
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as it was expected; `path` leads to it from its line of the timeline."""

    path: Path
    message: str


def differences(expect: Expect, world: World, flow: str, moment: MomentOf) -> Difference | None:
    """Give the first difference; None if all is as expected. The last execution of `flow` is meant."""
    begun = world.begun(flow)
    shown = _Shown(begun[-1], world.ended.get(begun[-1].id)) if begun else None
    found = next(_all(expect, world, shown, moment), None)
    return None if found is None else _within(("expect",), found)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The execution that expectations speak of, and its end."""

    one: LocalExecution
    ended: Ended | None

    def waits(self) -> dict[str, int]:
        """Give until when it waits, by step."""
        steps = self.one.runnable.program.steps
        parked = self.one.state.parked if self.one.state is not None else ()
        place = place_of(self.one.state)
        if place is not None:  # until it is asked again, or has waited too long
            return {LIMIT: min(due_us for due_us, *_ in self.one.timers)}
        return {steps[token.step].name: token.due_us for token in parked if token.step >= 0 and token.kind != "notice"}


def _all(expect: Expect, world: World, shown: _Shown | None, moment: MomentOf) -> Iterator[Difference]:
    begun = [one for one in world.executions.values() if one.status not in NOT_BEGUN]
    if expect.executions is not None and expect.executions != len(begun):
        counts = Counter(one.runnable.program.flow for one in begun)
        of = f" ({', '.join(f'{count} of {flow}' for flow, count in counts.items())})" if len(counts) > 1 else ""
        yield _differs(("executions",), f"{expect.executions} executions", f"there are {len(begun)}{of}")
    yield from _end(expect, shown)
    if expect.waiting is not None:
        yield from _waiting(expect.waiting, shown, moment)
    yield from _actions(expect, [_issued(one, world) for one in world.commands], moment)
    yield from _events(expect, [event for _, event in world.events if not event.internal], moment)
    for at, name in enumerate(expect.history_include or ()):
        names = _history(shown)
        if name not in names:
            yield _differs(("history_include", at), name, f"history has {', '.join(dict.fromkeys(names)) or 'nothing'}")


def _end(expect: Expect, shown: _Shown | None) -> Iterator[Difference]:
    status = "none" if shown is None else shown.one.status
    if expect.status is not None and expect.status != status:
        yield _differs(("status",), f"status {expect.status}", f"it is {status}{_why(shown)}")
    ended = shown.ended if shown is not None and shown.ended is not None else Ended("completed")
    stopped = ended.message if ended.status == "completed" else ""
    for key, wanted, given in (("error", expect.error, ended.code), ("reason", expect.reason, stopped)):
        if wanted is not None and wanted != given:
            yield _differs((key,), f"{key} {wanted}", f"there is {given or 'none'}{_why(shown)}")
    if expect.output is not None:
        yield from _data(("output",), expect.output, ended.output)


def _why(shown: _Shown | None) -> str:
    if shown is None:
        return "; no execution of the flow has started"
    if shown.ended is not None and shown.ended.code:
        return f" ({shown.ended.message})"
    steps = sorted(shown.waits())
    return f" at {', '.join(steps)}" if steps else ""


def _waiting(expect: ExpectedWait, shown: _Shown | None, moment: MomentOf) -> Iterator[Difference]:
    waits = {} if shown is None else shown.waits()
    if expect.step not in waits:
        where = f"at {', '.join(sorted(waits))}" if waits else f"nowhere{_why(shown)}"
        yield _differs(("waiting", "step"), f"to wait at {expect.step}", f"it waits {where}")
    elif expect.until is not None and moment(expect.until) != waits[expect.step]:
        until = print_duration(waits[expect.step] - moment("0"))
        yield _differs(("waiting", "until"), f"to wait until {expect.until}", f"it waits until {until}")


def _actions(expect: Expect, issued: Sequence[_Said], moment: MomentOf) -> Iterator[Difference]:
    if expect.actions is not None:
        yield from _in_order("actions", [_of_action(one) for one in expect.actions], issued, moment)
    for at, wanted in enumerate(map(_of_action, expect.actions_include or ())):
        found = [_misfit(wanted, one, moment) for one in issued]
        if None not in found:
            near = next((one for one, said in zip(found, issued, strict=True) if said.name == wanted.name and one), None)
            yield _within(("actions_include", at), near or _differs((), f"action {wanted.name}", f"there are {_listed(issued)}"))
    for at, wanted in enumerate(map(_of_action, expect.actions_exclude or ())):
        if any(_misfit(wanted, one, moment) is None for one in issued):
            yield _differs(("actions_exclude", at), f"no such action {wanted.name}", f"there are {_listed(issued)}")


def _events(expect: Expect, events: Sequence[Emitted], moment: MomentOf) -> Iterator[Difference]:
    if expect.events is not None:
        said = [_Said(one.type, one.time_us, one.data) for one in events]
        yield from _in_order("events", [_Wanted(one.event, one.at, one.with_, "event") for one in expect.events], said, moment)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An expected action or event."""

    name: str
    at: str | None
    data: Mapping[str, Json]
    key: str = "action"  # under which its name stands
    status: str | None = None


@dataclass(frozen=True, slots=True)
class _Said:
    """An action that was issued, or an event that was emitted."""

    name: str
    at_us: int
    data: Json
    status: str = ""


def _of_action(expected: ExpectedAction) -> _Wanted:
    return _Wanted(expected.action, expected.at, expected.with_, status=expected.status)


def _issued(action: Action, world: World) -> _Said:
    return _Said(action.type, parse_timestamp_us(action.time), action.data, world.fates.get(action.id, "pending"))


def _in_order(key: str, wanted: Sequence[_Wanted], said: Sequence[_Said], moment: MomentOf) -> Iterator[Difference]:
    for at, (one, other) in enumerate(zip_longest(wanted, said)):
        if one is None:
            yield _differs(
                (key,), f"{len(wanted)} {key}", f"the next is {other.name} at {_time(other, moment)}: {_json(other.data)}"
            )
            return
        if other is None:
            yield _differs((key, at), one.name, f"there are only {len(said)} {key} ({_listed(said)})")
            return
        found = _misfit(one, other, moment)
        if found is not None:
            yield _within((key, at), found)
            return


def _misfit(wanted: _Wanted, said: _Said, moment: MomentOf) -> Difference | None:
    if wanted.name != said.name:
        return _differs((wanted.key,), wanted.name, f"it is {said.name} at {_time(said, moment)}")
    if wanted.at is not None and moment(wanted.at) != said.at_us:
        return _differs(("at",), f"{wanted.name} at {wanted.at}", f"it came at {_time(said, moment)}")
    if wanted.status is not None and wanted.status != said.status:
        return _differs(("status",), f"{wanted.name} to be {wanted.status}", f"it is {said.status}")
    return next(_data(("with",), wanted.data, said.data), None)


def _data(path: Path, wanted: Json, given: Json) -> Iterator[Difference]:
    """Compare the keys that are named, however deep; lists as a whole."""
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        for key, value in wanted.items():
            yield from _data((*path, key), value, given.get(key))
    elif isinstance(wanted, list) and isinstance(given, list) and len(wanted) == len(given):
        for at, (one, other) in enumerate(zip(wanted, given, strict=True)):
            yield from _data((*path, at), one, other)
    elif not _equal(wanted, given):
        yield _differs(path, f"{'.'.join(map(str, path))} {_json(wanted)}", f"it is {_json(given)}")


def _equal(wanted: Json, given: Json) -> bool:
    numbers = (int, float, Decimal)
    if isinstance(wanted, bool) or isinstance(given, bool):
        return wanted is given
    if isinstance(wanted, numbers) and isinstance(given, numbers):
        return Decimal(str(wanted)) == Decimal(str(given))
    return bool(wanted == given) or _as_literal(wanted) == _as_literal(given) is not None


def _as_literal(value: Json) -> tuple[Decimal, str] | int | None:
    """Read what may be written in several ways: 6000 GBP and 6000.00 GBP, a time with and without its fraction."""
    if not isinstance(value, str):
        return None
    for read in (parse_money, parse_timestamp_us):
        try:
            return read(value)
        except ExpressionError:
            continue
    return None


def _history(shown: _Shown | None) -> list[str]:
    """Name what happened, by verb and kind: approval.decided, compensation.completed; without a verb by kind."""
    if shown is None:
        return []
    return [f"{one.verb}.{one.kind}" if one.verb else one.kind for one in shown.one.transitions]


def _differs(path: Path, wanted: str, given: str) -> Difference:
    return Difference(path, f"expected {wanted}; {given}")


def _within(path: Path, found: Difference) -> Difference:
    return Difference((*path, *found.path), found.message)


def _time(said: _Said, moment: MomentOf) -> str:
    return print_duration(said.at_us - moment("0"))


def _listed(said: Sequence[_Said]) -> str:
    return ", ".join(one.name for one in said) or "none"


def _json(value: Any) -> str:
    return _encoder.encode(value).decode()
