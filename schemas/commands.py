"""A command in two halves: what its step always says, encoded once, and what this execution says.

Cost: the encoding of a whole Action took a third of a step; the halves together are the same bytes up to the order of keys
(tests/schemas/test_commands.py).
"""

from __future__ import annotations

import msgspec

from schemas.expression.secret_places import secret_places
from schemas.expression.template import Template
from schemas.program import Act, Compensation, Program
from schemas.records import Action, AtOnceWith, BatchWith, Json, Retry, decode, encode


class CommandBody(msgspec.Struct, omit_defaults=True, gc=False):
    """The half of an Action that differs from execution to execution; fields as there."""

    id: str
    subject: str
    time: str
    tenant: str
    correlationid: str
    causationid: str
    hops: int
    idempotencykey: str
    data: Json
    orderkey: str | None = None
    batch: BatchWith | None = None
    concurrency: AtOnceWith | None = None
    undoes: str | None = None


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command as the core issues it. `head` is JSON without its closing brace."""

    type: str
    head: bytes
    body: CommandBody

    def record(self) -> bytes:
        """Give the record that goes on the action topic."""
        return self.head + b"," + encode(self.body)[1:]

    def action(self) -> Action:
        """Give the command as one record."""
        return decode(Action, self.record())


def command_head(step: Act, program: Program) -> bytes:
    """Encode what every command of a step says."""
    said: dict[str, Json] = {
        "v": 1,
        "specversion": "1.0",
        "source": f"/flows/{program.flow}",
        "type": step.action,
        "flow": program.flow,
        "version": program.version,
        "step": step.name,
        "priority": step.priority,
        "notafter": step.not_after_us,
    }
    if step.retry != Retry():
        said["retry"] = step.retry
    if step.awaited:
        said |= {"awaited": True, "timeout": step.timeout_us, "onunknown": step.on_unknown}
    said |= _references(step.params)
    return msgspec.json.encode(said)[:-1]


def compensation_head(step: str, compensate: Compensation, program: Program) -> bytes:
    """Encode what every command says that undoes a step; its result is awaited."""
    said: dict[str, Json] = {
        "v": 1,
        "specversion": "1.0",
        "source": f"/flows/{program.flow}",
        "type": compensate.action,
        "flow": program.flow,
        "version": program.version,
        "step": f"undo:{step}",
        "priority": "normal",
        "notafter": compensate.not_after_us,
        "awaited": True,
    }
    if compensate.retry != Retry():
        said["retry"] = compensate.retry
    said |= _references(compensate.params)
    return msgspec.json.encode(said)[:-1]


def _references(params: Template) -> dict[str, Json]:
    """Say where secrets are referred to: the step's own text says it, so that nothing in an event's data can."""
    places = secret_places(params)
    return {"secrets": [[list(place), name] for place, name in places.items()]} if places else {}
