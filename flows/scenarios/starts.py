"""What starts a flow: the trigger that fits an event, and the values that the flow reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flows.versions.graph import read_by
from operators.advance import Runnable
from operators.execution import Cause
from schemas.decode import EventFrame, key_rows
from schemas.effects import Ended
from schemas.expression.rows import compile_row
from schemas.expression.template import template_keys
from schemas.expression.tree import Tree
from schemas.expression.walk import keys
from schemas.program import After, EventTrigger, Program


class Event(NamedTuple):
    """One decoded event: its frame of one row, its envelope and its key."""

    frame: EventFrame
    envelope: Mapping[str, Any]
    key: bytes

    @property
    def cause(self) -> Cause:
        """Give it as the cause of what it starts."""
        one = self.envelope
        return Cause(one["id"], one["source"], one["time"], one["correlationid"] or one["id"], one["hops"] or 0)

    def env(self, wanted: set[str] | frozenset[str]) -> dict[str, Any]:
        """Give its values by key."""
        found: dict[str, Any] = key_rows(self.frame.frame, sorted(wanted), self.frame.contract.data)[0]
        return found


def fitting(program: Program, event: Event, policies: Mapping[str, Any]) -> Iterator[tuple[int, EventTrigger]]:
    """Give the triggers of a program that an event fits, with their places."""
    for place, trigger in enumerate(program.triggers):
        if isinstance(trigger, EventTrigger) and trigger.event == event.frame.type and holds(trigger.condition, event, policies):
            yield place, trigger


def holds(condition: Tree | None, event: Event, policies: Mapping[str, Any]) -> bool:
    """Tell whether an event meets a condition."""
    if condition is None:
        return True
    return compile_row(condition)({**event.env(keys(condition)), **policies}) is True


def start_env(runnable: Runnable, event: Event, name: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a program reads of the event that starts it."""
    wanted = frozenset(key for key, _ in runnable.program.reads)
    return {**event.env(wanted), **({"trigger.name": name} if name else {}), **{key: more[key] for key in more if key in wanted}}


def after_keys(runnable: Runnable) -> frozenset[str]:
    """Name what a program reads of the flows after whose end it starts: `after.extract.output.rows`."""
    found = {key for step in runnable.program.steps for key in read_by(step)}
    output = template_keys(runnable.program.output) if runnable.program.output is not None else frozenset[str]()
    return frozenset(key for key in found | output if key.startswith("after."))


def ended_env(wanted: Iterable[str], ended: Mapping[str, Ended]) -> dict[str, Any]:
    """Give the values of `after.<flow>...` by key."""
    known = {name: {"output": one.output, "status": one.status} for name, one in ended.items()}
    return {key: _at(known, key.split(".")[1:]) for key in wanted if key.startswith("after.")}


def after_key(trigger: After, ended: Mapping[str, Ended], cause: Cause) -> Any:
    """Give the value by which ends belong together."""
    if trigger.key is None:
        return cause.correlationid
    envelope = {"event.correlationid": cause.correlationid, "event.id": cause.event}
    return compile_row(trigger.key)({**envelope, **ended_env(keys(trigger.key), ended)})


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
