"""Triggers on the end of other flows: whether an end fits, what belongs together, and what a start sees of it.

Reads: the data of `flow.ended`. Emits: the environment of a start: `after.<flow>.status`, `.execution`, `.version`, `.output`,
`.error` (of a bad end), and the envelope of the event; the key under which ends of several flows are gathered; the name
under which windows count them.
State: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from schemas.expression.findings import ExpressionError
from schemas.expression.read_json import read_json
from schemas.expression.rows import compile_row
from schemas.expression.types import ANY, Type
from schemas.ids import key_text, wait_key
from schemas.internal import FLOW_ENDED
from schemas.program import After, Program

_DATA: Final = ("flow", "status", "execution", "version", "output", "error")
TOLD: Final = _DATA[1:]
_ENVELOPE: Final = ("id", "source", "type", "subject", "time", "tenant", "correlationid", "causationid")
_OF_EVENT: Final = tuple(f"event.{name}" for name in _ENVELOPE)
PARTS: Final = (*_DATA, *_OF_EVENT)  # of the event that tells the end
OUTPUT_MAYBE: Final = msgspec.structs.replace(ANY, optional=True)
_row = lru_cache(maxsize=4_096)(compile_row)
_encoder: Final = msgspec.msgpack.Encoder()


def gathers(trigger: After) -> bool:
    """Tell whether ends of several flows start together."""
    return trigger.join == "all" and len(trigger.flows) > 1


def fits(trigger: After, ended: Mapping[str, Any]) -> bool:
    """Tell whether an end is one of those that a trigger is about."""
    return ended["flow"] in trigger.flows and trigger.status in ("any", ended["status"])


def after_env(trigger: After, program: Program, ended: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give what a start by this trigger sees of the end of a flow; None if the end does not start it.

    An end that is gathered with others brings the whole envelope: the last one's is the one that is seen.
    """
    if trigger.window is not None or not fits(trigger, ended):
        return None
    env: dict[str, Any] = {key: ended[key] if key.startswith("event.") and key in ended else None for key, _ in program.reads}
    env |= end_env(trigger, ended)
    if gathers(trigger):
        return env | {key: ended.get(key) for key in _OF_EVENT}
    return env if holds(trigger, env) else None


def end_env(trigger: After, ended: Mapping[str, Any]) -> dict[str, Any]:
    """Give `after.<flow>.<part>` of every flow of a trigger: all missing but for the one that has ended."""
    env: dict[str, Any] = {}
    for at, flow in enumerate(trigger.flows):
        there = flow == ended["flow"]
        env |= {f"after.{flow}.{part}": ended[part] if there else None for part in TOLD}
        if there:
            env[f"after.{flow}.output"] = read_output(ended["output"], output_type(trigger, at))
    return env


def holds(trigger: After, env: Mapping[str, Any]) -> bool:
    """Tell whether the conditions of a trigger hold."""
    return trigger.condition is None or _row(trigger.condition)(env) is True


def output_type(trigger: After, at: int) -> Type:
    """Give the type of what a flow of a trigger gives; one of no field says nothing."""
    known = trigger.outputs[at] if at < len(trigger.outputs) else ANY
    return OUTPUT_MAYBE if known.name == "record" and not known.fields else known


def read_output(output: Any, want: Type) -> Any:
    """Read an output by the type it had when the follower was compiled; what is of another type by now is missing."""
    if output is None or want.name == "any":
        return output
    try:
        return read_json(output, want)
    except ExpressionError:
        parts = want.fields if want.name == "record" and isinstance(output, dict) else ()
        return {name: read_output(output.get(name), part) for name, part in parts} if parts else None


def gather_text(trigger: After, env: Mapping[str, Any]) -> str | None:
    """Give the value by which ends belong together; None if the end has none."""
    return key_text(env.get("event.correlationid") if trigger.key is None else _row(trigger.key)(env))


def gather_key(program: Program, place: int, tenant: str, env: Mapping[str, Any], *, shadow: bool = False) -> int | None:
    """Give the key under which ends belong together for a trigger; None if the end has no value there.

    It outlives versions of the flow that keep the trigger as it is. What gathers in shadow gathers for itself.
    """
    trigger = program.triggers[place]
    assert isinstance(trigger, After)
    text = gather_text(trigger, env)
    if text is None:
        return None
    apart = (("shadow", ""),) if shadow else ()
    of = (("after", ",".join(sorted(trigger.flows))), ("flow", program.flow), ("key", text), ("trigger", trigger.name), *apart)
    return wait_key(tenant, FLOW_ENDED, of)


def counted_as(trigger: After) -> str:
    """Name the ends that windows of a trigger count, as if they were a type of events: one name, one layout."""
    said = _encoder.encode((trigger.flows, trigger.status, TOLD, [output_type(trigger, at) for at in range(len(trigger.flows))]))
    return f"{FLOW_ENDED}#{blake2b(said, digest_size=8).hexdigest()}"
