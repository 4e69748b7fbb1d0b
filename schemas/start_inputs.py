"""Inputs of a flow that is called, or started by hand or by a schedule: read by their types into what its program reads.

The door, the command and the engine ask the same question, `wrong_inputs`; what holds is what the engine finds in its turn.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any, Final

from schemas.expression.findings import ExpressionError
from schemas.expression.literal_fit import literal_misfits, literal_value
from schemas.expression.rows import compile_row
from schemas.expression.types import Type
from schemas.ids import key_text
from schemas.program import Manual, Program

_row = lru_cache(maxsize=4_096)(compile_row)
INPUTS = "inputs"
NO_INPUTS: Final = Type("record")
WRONG_MAX: Final = 20  # of a list of thousands the first ones tell enough, and the rest is not looked at: a turn waits
SAID_MAX: Final = 400
NO_ID: Final = "its id has no value; the inputs that name it must be given"


class BadInputs(ValueError):
    """Inputs that are not what the flow wants."""


def wrong_inputs(program: Program, inputs: Any, trigger: Manual | None) -> list[str]:
    """Say everything that is wrong with the inputs of a start: what is, what is wanted, and what to do."""
    given = {} if inputs is None else inputs
    wanted = program.inputs or NO_INPUTS
    if isinstance(given, dict) and given and not wanted.fields:
        return [f"'{program.flow}' takes no inputs; leave {', '.join(given)[:SAID_MAX]} out"]
    wrong = [_said(error) for error in islice(literal_misfits(given, wanted), WRONG_MAX + 1)]
    if not wrong and _named(trigger) and not _name(program, literal_value(given, wanted), trigger):
        return [NO_ID]
    return [*wrong[:WRONG_MAX], "and more"] if len(wrong) > WRONG_MAX else wrong


def input_env(program: Program, inputs: Any, trigger: Manual | None) -> tuple[dict[str, Any], str]:
    """Give the environment of a start with inputs, and the idempotency key that the trigger makes of them, or "".

    Raises BadInputs, with everything that is wrong.
    """
    given, wanted = {} if inputs is None else inputs, program.inputs or NO_INPUTS
    try:
        read = literal_value(given, wanted)
    except ExpressionError as error:
        raise BadInputs("; ".join(wrong_inputs(program, inputs, trigger))) from error
    name = _name(program, read, trigger)
    if (given and not wanted.fields) or (_named(trigger) and not name):
        raise BadInputs("; ".join(wrong_inputs(program, inputs, trigger)))
    return _env(program, read), name


def manual_of(program: Program) -> Manual | None:
    """Give the trigger by which people start a flow."""
    return next((trigger for trigger in program.triggers if isinstance(trigger, Manual)), None)


def _said(error: ExpressionError) -> str:
    place = ".".join((INPUTS, *map(str, error.path)))
    message = error.message if len(error.message) <= SAID_MAX else error.message[:SAID_MAX] + "..."
    return f"{place}{' ' if message.startswith('is ') else ': '}{message}"


def _named(trigger: Manual | None) -> bool:
    return trigger is not None and trigger.id is not None


def _name(program: Program, read: dict[str, Any], trigger: Manual | None) -> str:
    if trigger is None or trigger.id is None:
        return ""
    return key_text(_row(trigger.id)(_env(program, read))) or ""


def _env(program: Program, read: dict[str, Any]) -> dict[str, Any]:
    return {key: _at(read, key) for key, _ in program.reads} | {f"{INPUTS}.{name}": value for name, value in read.items()}


def _at(read: Any, key: str) -> Any:
    first, *path = key.split(".")
    if first != INPUTS:
        return None
    for name in path:
        read = read.get(name) if isinstance(read, dict) else None
    return read
