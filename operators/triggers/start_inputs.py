"""Inputs of a flow that is called, or started by hand: read by their types into what its program reads."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_value
from schemas.expression.rows import compile_row
from schemas.ids import key_text
from schemas.program import Manual, Program

_row = lru_cache(maxsize=4_096)(compile_row)
INPUTS = "inputs"


class BadInputs(ValueError):
    """Inputs that are not what the flow wants."""


def input_env(program: Program, inputs: Any, trigger: Manual | None) -> tuple[dict[str, Any], str]:
    """Give the environment of a start with inputs, and the idempotency key that the trigger makes of them, or "".

    Raises BadInputs.
    """
    try:
        read = {} if program.inputs is None else literal_value({} if inputs is None else inputs, program.inputs)
    except ExpressionError as error:
        raise BadInputs(str(error)) from error
    env = {key: _at(read, key) for key, _ in program.reads} | _flat(read)
    if trigger is None or trigger.id is None:
        return env, ""
    name = key_text(_row(trigger.id)({**env, **_flat(read)}))
    if name is None:
        raise BadInputs("its id has no value; the inputs that name it must be given")
    return env, name


def manual_of(program: Program) -> Manual | None:
    """Give the trigger by which people start a flow."""
    return next((trigger for trigger in program.triggers if isinstance(trigger, Manual)), None)


def _at(read: Any, key: str) -> Any:
    first, *path = key.split(".")
    if first != INPUTS:
        return None
    for name in path:
        read = read.get(name) if isinstance(read, dict) else None
    return read


def _flat(read: dict[str, Any]) -> dict[str, Any]:
    return {f"{INPUTS}.{name}": value for name, value in read.items()}
