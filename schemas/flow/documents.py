"""The documents of the language: flow (short form: workflow), event, action, policy and test (flow-language.md section 2)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag

from schemas.flow.around import Limits, Objectives, PrivacyRules, Retention, Rollout, View
from schemas.flow.parts import Priority, RetryRule, Types
from schemas.flow.policy import Policy
from schemas.flow.scenario import Test
from schemas.flow.step import Step
from schemas.flow.trigger import Triggers
from schemas.flow.words import DATA, LITERAL, Data, Duration, EventName, Expression, Many, Name, Parameters, Tenant, Words
from schemas.records import Json

Language = Annotated[Literal[1], Field(json_schema_extra=LITERAL)]
Text = Annotated[str | None, Field(json_schema_extra=LITERAL)]


def _tenants(value: Json) -> str:
    return "tenant:list" if isinstance(value, list | tuple) else "tenant:one"


Tenants = Annotated[
    Annotated[Tenant, Tag("tenant:one")] | Annotated[Many[Tenant], Tag("tenant:list"), Field(min_length=1)],
    Discriminator(_tenants),
]


class Defaults(Words):
    """What actions of this flow use that say nothing themselves."""

    retry: RetryRule | None = None
    timeout: Duration | None = None
    priority: Priority | None = None


class Around(Words):
    """Keys that may stand around the steps of a flow."""

    language: Language = 1
    title: Text = None
    description: Text = None
    owner: Text = None
    labels: Annotated[dict[str, str], Field(json_schema_extra=LITERAL)] = Field(default_factory=dict)
    tenant: Tenants | None = None
    enabled: Annotated[bool, Field(json_schema_extra=LITERAL)] = True
    priority: Priority | None = None
    inputs: Types = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    timeout: Duration = "400d"
    output: Parameters = Field(default_factory=dict, json_schema_extra=DATA)
    on_error: Many[Step] = ()
    on_retract: Many[Step] = ()
    limits: Limits = Limits()
    objectives: Objectives | None = None
    retention: Retention | None = None
    privacy: PrivacyRules = Field(default_factory=dict)
    views: Many[View] = ()
    rollout: Rollout = Rollout()
    trigger: Triggers


class Flow(Around):
    """What starts it, and what it does then, one step after the other."""

    flow: Name
    steps: Many[Step] = Field(min_length=1)


class ShortAction(Words, extra="allow"):
    """An action after its own delay from the trigger; every other key is a parameter."""

    __pydantic_extra__: dict[str, Data]
    type: Name
    delay: Expression = "0"


class Workflow(Around):
    """The short form: a set of actions, each with its own delay."""

    workflow: Name
    actions: Many[ShortAction] = Field(min_length=1)


class Event(Words):
    """The contract of an event type: its fields, its topic, its key."""

    language: Language = 1
    event: EventName
    fields: Annotated[dict[str, Data], Field(min_length=1, json_schema_extra=LITERAL)]
    topic: Annotated[str | None, Field(pattern=r"^[a-z][a-z0-9_.]{0,200}\.events$", json_schema_extra=LITERAL)] = None
    key: Annotated[str, Field(json_schema_extra=LITERAL)] = "subject"
    time: Annotated[str | None, Field(json_schema_extra=LITERAL)] = None
    types: Annotated[dict[str, Data], Field(json_schema_extra=LITERAL)] = Field(default_factory=dict)
    compatibility: Annotated[Literal["backward", "none"], Field(json_schema_extra=LITERAL)] = "backward"
    privacy: Annotated[
        dict[str, Literal["email", "phone", "name", "iban", "ip", "free_text"]], Field(json_schema_extra=LITERAL)
    ] = Field(default_factory=dict)
    description: Text = None


class ActionContract(Words):
    """The contract of an action type: its parameters, what it answers, and with which errors it may refuse."""

    language: Language = 1
    action: Name
    params: Annotated[dict[str, Data], Field(json_schema_extra=LITERAL)]
    result: Annotated[dict[str, Data], Field(json_schema_extra=LITERAL)] = Field(default_factory=dict)
    errors: Many[Name] = ()
    idempotent: Annotated[bool, Field(json_schema_extra=LITERAL)] = True
    types: Annotated[dict[str, Data], Field(json_schema_extra=LITERAL)] = Field(default_factory=dict)
    privacy: Annotated[dict[str, str], Field(json_schema_extra=LITERAL)] = Field(default_factory=dict)
    description: Text = None


KINDS: Final[dict[str, type[Words]]] = {
    "flow": Flow,
    "workflow": Workflow,
    "event": Event,
    "action": ActionContract,
    "policy": Policy,
    "test": Test,
}
