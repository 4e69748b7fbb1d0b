"""What starts a flow: one record a trigger, its sort named by one key (flow-language.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, LiteralString

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.flow.condition import Condition
from schemas.flow.words import DATA, EXPRESSION, LITERAL, Duration, EventName, Expression, Many, Name, Parameters, Words
from schemas.records import Json

As = Name | None
_PATH: Final = r"^[a-z0-9][a-z0-9_-]{0,62}(/[a-z0-9][a-z0-9_-]{0,62}){0,7}$"
_HEADER: Final = r"^[A-Za-z][A-Za-z0-9-]{0,62}$"
_REFERENCE: Final = r"^secrets\.[A-Za-z][A-Za-z0-9_]{0,62}$"
_CLEAR: Final = "'secret' is written out here; store it and write its name, as in secrets.shop_hook"
_WORDS: Final = "write one to eight words of small letters, digits, _ and - between slashes, as in shop/returns"


def _fits(pattern: str, name: str, message: LiteralString) -> Callable[[Json], str]:
    """Make the check of a text that a pattern allows; `message` may say {shown}."""

    def check(value: Json) -> str:
        if not isinstance(value, str) or not re.match(pattern, value):
            raise PydanticCustomError(name, message, {"shown": str(value)[:80]})
        return value

    return check


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-sort": "literal"})


HookPath = Annotated[Json, AfterValidator(_fits(_PATH, "bad-name", "'{shown}' is no path of a webhook; " + _WORDS)), _text(_PATH)]
Header = Annotated[
    Json,
    AfterValidator(_fits(_HEADER, "bad-name", "'{shown}' is no name of a header; write one like X-Signature")),
    _text(_HEADER),
]
SecretName = Annotated[Json, AfterValidator(_fits(_REFERENCE, "secret-in-clear", _CLEAR)), _text(_REFERENCE)]


class WindowRule(Words):
    """Events of one key within a stretch of event time; exactly one of sliding, tumbling and session says how long."""

    key: Expression = Field(json_schema_extra=EXPRESSION)
    sliding: Duration | None = None
    tumbling: Duration | None = None
    session: Duration | None = None
    measures: Annotated[dict[Name, Expression], Field(min_length=1, json_schema_extra=EXPRESSION)]
    when: Condition | None = None
    fire: Annotated[Literal["crossing", "every", "close"], Field(json_schema_extra=LITERAL)] = "crossing"
    lateness: Duration = "0"
    retract: Duration | None = None


class AbsenceRule(Words):
    """An event that does not come: within a duration from the trigger's event, or until a timestamp."""

    of: EventName
    as_: Name = Field(alias="as")
    correlate: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    conditions: Condition | None = None
    within: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    until: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    lateness: Duration = "0"
    retract: Duration | None = None


class SequenceEvent(Words):
    """One event of a sequence."""

    event: EventName
    as_: Name = Field(alias="as")
    conditions: Condition | None = None


class SequenceRule(Words):
    """Events of one key, one after the other in event time; the last one starts the flow."""

    key: Expression = Field(json_schema_extra=EXPRESSION)
    within: Duration
    events: Annotated[Many[SequenceEvent], Field(min_length=2)]
    lateness: Duration = "0"


class EventTrigger(Words):
    """Start for each event of a type for which all conditions hold; with a window or an absence, by those."""

    event: EventName
    conditions: Condition | None = None
    window: WindowRule | None = None
    absence: AbsenceRule | None = None
    as_: As = Field(None, alias="as")


class SequenceTrigger(Words):
    """Start when events came one after the other."""

    sequence: SequenceRule
    as_: As = Field(None, alias="as")


def _one_or_many(value: Json) -> str:
    return "zone:list" if isinstance(value, list | tuple) else "zone:one"


Zone = Annotated[str, Field(min_length=1, max_length=64, json_schema_extra=LITERAL)]
Zones = Annotated[
    Annotated[Zone, Tag("zone:one")] | Annotated[Many[Zone], Tag("zone:list"), Field(min_length=1)],
    Discriminator(_one_or_many),
]


class ScheduleTrigger(Words):
    """Start at each slot of a cron expression, once in each zone."""

    schedule: Annotated[str, Field(min_length=1, max_length=256, json_schema_extra=LITERAL)]
    zone: Zones
    missed: Annotated[Literal["last", "all", "none"], Field(json_schema_extra=LITERAL)] = "last"
    overlap: Annotated[Literal["skip", "queue", "cancel", "allow"], Field(json_schema_extra=LITERAL)] = "skip"
    jitter: Duration = "0"
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    as_: As = Field(None, alias="as")


class Signature(Words):
    """How a request proves where it comes from."""

    header: Header
    scheme: Annotated[Literal["hmac-sha256"], Field(json_schema_extra=LITERAL)]
    secret: SecretName
    tolerance: Duration = "5m"


def _signed(value: Json) -> str:
    return "signature:none" if isinstance(value, str) else "signature:rule"


Signed = Annotated[
    Annotated[Literal["none"], Tag("signature:none"), Field(json_schema_extra=LITERAL)]
    | Annotated[Signature, Tag("signature:rule")],
    Discriminator(_signed),
]


class WebhookTrigger(Words):
    """A request becomes an event of a type, and the flow starts by that; without a signature only if `none` is said."""

    webhook: HookPath
    event: EventName
    signature: Signed
    id: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    conditions: Condition | None = None
    window: WindowRule | None = None
    absence: AbsenceRule | None = None
    as_: As = Field(None, alias="as")


class ManualRule(Words):
    """Who may start a flow by hand."""

    roles: Annotated[Many[Name], Field(min_length=1)]


class ManualTrigger(Words):
    """Start by hand: over HTTP, or on the command line."""

    manual: ManualRule
    id: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    as_: As = Field(None, alias="as")


def _flow_or_flows(value: Json) -> str:
    return "after:list" if isinstance(value, list | tuple) else "after:one"


Flows = Annotated[
    Annotated[Name, Tag("after:one")] | Annotated[Many[Name], Tag("after:list"), Field(min_length=1, max_length=32)],
    Discriminator(_flow_or_flows),
]


class AfterTrigger(Words):
    """Start when other flows have ended."""

    after: Flows
    status: Annotated[Literal["completed", "failed", "cancelled", "any"], Field(json_schema_extra=LITERAL)] = "completed"
    join: Annotated[Literal["all", "any"] | None, Field(json_schema_extra=LITERAL)] = None
    key: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    within: Duration | None = None
    conditions: Condition | None = None
    window: WindowRule | None = None
    as_: As = Field(None, alias="as")


SORTS: Final[dict[str, type[Words]]] = {  # the first key that is there names the sort
    "webhook": WebhookTrigger,
    "sequence": SequenceTrigger,
    "schedule": ScheduleTrigger,
    "manual": ManualTrigger,
    "after": AfterTrigger,
    "event": EventTrigger,
}
_NAMES: Final = {model.__name__: word for word, model in SORTS.items()}


def sort_of_trigger(value: Json) -> str:
    """Name the sort of a trigger by the key that is there; a record without any is taken for one of events."""
    if isinstance(value, Words):
        return _NAMES.get(type(value).__name__, "event")
    return next((word for word in SORTS if isinstance(value, dict) and word in value), "event")


def _tag(value: Json) -> str:
    return f"trigger:{sort_of_trigger(value)}"


Trigger = Annotated[
    Annotated[EventTrigger, Tag("trigger:event")]
    | Annotated[SequenceTrigger, Tag("trigger:sequence")]
    | Annotated[ScheduleTrigger, Tag("trigger:schedule")]
    | Annotated[WebhookTrigger, Tag("trigger:webhook")]
    | Annotated[ManualTrigger, Tag("trigger:manual")]
    | Annotated[AfterTrigger, Tag("trigger:after")],
    Discriminator(_tag),
]


def _list_or_not(value: Json) -> str:
    return "trigger:list" if isinstance(value, list | tuple) else "trigger:one"


Triggers = Annotated[
    Annotated[Trigger, Tag("trigger:one")] | Annotated[Many[Trigger], Tag("trigger:list"), Field(min_length=1)],
    Discriminator(_list_or_not),
]
