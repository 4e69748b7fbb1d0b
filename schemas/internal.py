"""Contracts of the events that Millrace itself says: the end of a flow, and what happens to an approval."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.contracts import EventContract
from schemas.expression.scope import ERROR
from schemas.expression.types import Type
from schemas.topics import APPROVAL_EVENTS, FLOW_EVENTS

FLOW_ENDED: Final = "flow.ended"
_STRING: Final = Type("string")
_MAYBE: Final = Type("string", optional=True)
_ENDED: Final = Type(
    "record",
    fields=(
        ("flow", _STRING),
        ("version", _STRING),
        ("status", _STRING),
        ("execution", _STRING),
        ("error", msgspec.structs.replace(ERROR, optional=True)),
        ("output", Type("any", optional=True)),
    ),
)
_STRINGS: Final = Type("list", optional=True, item=_STRING)
_APPROVAL: Final = Type(
    "record",
    fields=(
        ("execution", _STRING),
        ("flow", _STRING),
        ("step", _STRING),
        ("occurrence", Type("int")),
        ("title", _MAYBE),
        ("roles", _STRINGS),
        ("people", _STRINGS),
        ("need", Type("int", optional=True)),
        ("until", Type("timestamp", optional=True)),
        ("show", Type("any", optional=True)),
        ("outcome", _MAYBE),
        ("by", _MAYBE),
    ),
)
_ASKED: Final = Type("record", fields=(("approval", _APPROVAL),))
APPROVALS: Final = tuple(f"approval.{what}" for what in ("requested", "reminded", "escalated", "decided"))

INTERNAL: Final = {
    FLOW_ENDED: EventContract(event=FLOW_ENDED, topic=FLOW_EVENTS, data=_ENDED),
    **{event: EventContract(event=event, topic=APPROVAL_EVENTS, data=_ASKED) for event in APPROVALS},
}
