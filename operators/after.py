"""Triggers on the end of other flows: whether an end fits, and what a start sees of it.

Reads: the data of `flow.ended`. Emits: the environment of a start: `after.<flow>.status`, `.execution`, `.version`, `.output`,
and the envelope of the event.
State: none. Ends of several flows together and windows over ends start nothing: a deploy refuses them (flows/deployment.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from schemas.expression.rows import compile_row
from schemas.program import After, Program

_DATA: Final = ("flow", "status", "execution", "version", "output")
_TOLD: Final = _DATA[1:]
_ENVELOPE: Final = ("id", "source", "type", "subject", "time", "tenant", "correlationid", "causationid")
PARTS: Final = (*_DATA, *(f"event.{name}" for name in _ENVELOPE))  # of the event that tells the end
_row = lru_cache(maxsize=4_096)(compile_row)


def starts_alone(trigger: After) -> bool:
    """Tell whether one end of one flow starts, without others and without a window."""
    return trigger.window is None and (len(trigger.flows) == 1 or trigger.join == "any")


def after_env(trigger: After, program: Program, ended: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give what a start by this trigger sees of the end of a flow; None if the end does not start it."""
    if ended["flow"] not in trigger.flows or trigger.status not in ("any", ended["status"]) or not starts_alone(trigger):
        return None
    env: dict[str, Any] = {key: ended[key] if key.startswith("event.") and key in ended else None for key, _ in program.reads}
    for flow in trigger.flows:
        env |= {f"after.{flow}.{part}": ended[part] if flow == ended["flow"] else None for part in _TOLD}
    if trigger.condition is not None and _row(trigger.condition)(env) is not True:
        return None
    return env
