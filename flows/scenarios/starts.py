"""What starts a flow: the trigger that fits an event, and the values that the flow reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from operators.advance import Runnable
from operators.execution import Cause
from schemas.decode import EventFrame, key_rows
from schemas.effects import Ended
from schemas.expression.rows import compile_row
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


def fitting(program: Program, event: Event, policies: Mapping[str, Any]) -> tuple[int, EventTrigger] | None:
    """Give the first trigger of a program that an event meets, with its place."""
    for place, trigger in enumerate(program.triggers):
        if isinstance(trigger, EventTrigger) and trigger.event == event.frame.type and holds(trigger.condition, event, policies):
            return place, trigger
    return None


def holds(condition: Tree | None, event: Event, policies: Mapping[str, Any]) -> bool:
    """Tell whether an event meets a condition."""
    if condition is None:
        return True
    return compile_row(condition)({**event.env(keys(condition)), **policies}) is True


def start_env(runnable: Runnable, event: Event, name: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a program reads of the event that starts it."""
    wanted = frozenset(key for key, _ in runnable.program.reads)
    return {**event.env(wanted), **({"trigger.name": name} if name else {}), **{key: more[key] for key in more if key in wanted}}


def after_env(program: Program, ended: Mapping[str, Ended]) -> dict[str, Any]:
    """Give what a program reads of the flows after whose end it starts: `after.extract.output.rows`."""
    env: dict[str, Any] = {}
    for key, _ in program.reads:
        first, *path = key.split(".")
        if first == "after":
            env[key] = _at({name: {"output": one.output, "status": one.status} for name, one in ended.items()}, path)
    return env


def after_key(trigger: After, ended: Mapping[str, Ended], cause: Cause) -> Any:
    """Give the value by which ends belong together."""
    if trigger.key is None:
        return cause.correlationid
    env: dict[str, Any] = {"event.correlationid": cause.correlationid, "event.id": cause.event}
    for key in keys(trigger.key):
        first, *path = key.split(".")
        if first == "after":
            env[key] = _at({name: {"output": one.output, "status": one.status} for name, one in ended.items()}, path)
    return compile_row(trigger.key)(env)


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
