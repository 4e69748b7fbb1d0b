"""The test document: what is sent to a flow at which time, and what is expected then (flow-language.md section 6)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.flow.words import DATA, LITERAL, Data, EventName, Many, Name, Parameters, Tenant, Words

Sentence = Annotated[str, Field(min_length=1, max_length=300, json_schema_extra=LITERAL)]
Moment = Annotated[str, Field(json_schema_extra=LITERAL)]  # an offset from the clock, or a timestamp
Word = Annotated[str, Field(json_schema_extra=LITERAL)]
Table = Annotated[dict[str, Data], Field(json_schema_extra=DATA)]
Fates = Literal["pending", "delivered", "failed", "unknown", "cancelled"]  # of a command
Refusals = Literal["not_allowed", "decided_already", "bad_form", "not_open", "bad_inputs", "not_possible"]
Statuses = Literal["running", "waiting", "closing", "completed", "failed", "cancelled", "none"]


class ExpectedWait(Words):
    """Where the execution waits, and how long at most from then."""

    step: Name
    until: Moment | None = None


class ExpectedAction(Words):
    """One command: its type, when it was issued, and those parameters that are named."""

    action: Name
    at: Moment | None = None
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    status: Annotated[Fates | None, Field(json_schema_extra=LITERAL)] = None


class ExpectedEvent(Words):
    """One emitted event."""

    event: EventName
    at: Moment | None = None
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)


class Expect(Words):
    """What must be so at a time; what is not named is not compared."""

    status: Annotated[Statuses | None, Field(json_schema_extra=LITERAL)] = None
    error: Annotated[Name | None, Field(json_schema_extra=LITERAL)] = None
    reason: Annotated[Name | None, Field(json_schema_extra=LITERAL)] = None
    waiting: ExpectedWait | None = None
    output: Annotated[dict[str, Data] | None, Field(json_schema_extra=DATA)] = None
    executions: Annotated[int | None, Field(ge=0, json_schema_extra=LITERAL)] = None
    actions: Many[ExpectedAction] | None = None
    actions_include: Many[ExpectedAction] | None = None
    actions_exclude: Many[ExpectedAction] | None = None
    events: Many[ExpectedEvent] | None = None
    history_include: Annotated[Many[Word] | None, Field(json_schema_extra=LITERAL)] = None


class Moments(Words):
    """One line of the timeline: exactly one of send, fire, decide, command, policies and expect."""

    at: Moment
    send: EventName | None = None
    with_: Parameters | None = Field(None, alias="with", json_schema_extra=DATA)
    id: Word | None = None
    time: Moment | None = None
    source: Word | None = None
    fire: Annotated[Literal["manual", "schedule"] | None, Field(json_schema_extra=LITERAL)] = None
    zone: Word | None = None
    decide: Name | None = None
    outcome: Annotated[Literal["approved", "rejected", "done", "not_done"] | None, Field(json_schema_extra=LITERAL)] = None
    by: Word | None = None
    roles: Annotated[Many[Name], Field(json_schema_extra=LITERAL)] = ()
    form: Annotated[dict[str, Data] | None, Field(json_schema_extra=DATA)] = None
    refused: Annotated[Refusals | None, Field(json_schema_extra=LITERAL)] = None
    command: Annotated[Literal["cancel", "skip", "retry", "resume"] | None, Field(json_schema_extra=LITERAL)] = None
    step: Name | None = None
    policies: Annotated[dict[Name, Data] | None, Field(json_schema_extra=DATA)] = None
    expect: Expect | None = None


DOES = ("send", "fire", "decide", "command", "policies", "expect")


class Test(Words):
    """One story of a flow, told with a clock of its own."""

    language: Annotated[Literal[1], Field(json_schema_extra=LITERAL)] = 1
    test: Sentence
    flow: Name
    clock: Moment
    tenant: Tenant = "test"
    policies: Annotated[dict[Name, Data], Field(json_schema_extra=DATA)] = Field(default_factory=dict)
    answers: Annotated[dict[Name, Data], Field(json_schema_extra=DATA)] = Field(default_factory=dict)
    scores: Annotated[dict[Name, Data], Field(json_schema_extra=DATA)] = Field(default_factory=dict)
    features: Annotated[dict[Name, Data], Field(json_schema_extra=DATA)] = Field(default_factory=dict)
    timeline: Annotated[Many[Moments], Field(min_length=1)]
    description: Annotated[str | None, Field(json_schema_extra=LITERAL)] = None
    __test__: ClassVar[bool] = False  # not one of pytest's
