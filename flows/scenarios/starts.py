"""What a flow reads of the flows after whose end it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from operators.advance import Runnable
from operators.execution import Cause
from schemas.effects import Ended
from schemas.expression.rows import compile_row
from schemas.expression.template import template_keys
from schemas.expression.walk import keys
from schemas.program import After
from schemas.program_graph import read_by


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
