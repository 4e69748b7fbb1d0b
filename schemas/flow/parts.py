"""What stands inside steps: how an action is tried, grouped and undone, who decides, what becomes of an error."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from schemas.flow.words import DATA, EXPRESSION, LITERAL, Data, Duration, Expression, Many, Name, Parameters, Words
from schemas.records import Json

Priority = Annotated[Literal["high", "normal", "low"], Field(json_schema_extra=LITERAL)]
Note = Annotated[str | None, Field(json_schema_extra=LITERAL)]
Text = Annotated[str, Field(json_schema_extra=DATA)]  # data: `{{ }}` may stand in it
Types = Annotated[dict[str, Data], Field(json_schema_extra=LITERAL)]
Amount = Annotated[int, Field(ge=1, le=1_000_000, json_schema_extra=LITERAL)]
Flag = Annotated[bool, Field(json_schema_extra=LITERAL)]


class RetryRule(Words):
    """How often and how far apart an action is tried; full jitter."""

    attempts: Annotated[int, Field(ge=1, le=100, json_schema_extra=LITERAL)] = 5
    wait: Duration = "1s"
    factor: Annotated[int | Decimal, Field(ge=1, le=100, json_schema_extra=LITERAL)] = 2
    most: Duration = "5m"
    attempt_timeout: Duration = "30s"
    for_: Annotated[Many[Name], Field(alias="for", min_length=1, json_schema_extra=LITERAL)] = (
        "unavailable",
        "timeout",
        "rate_limited",
    )


class Batch(Words):
    """One call for many commands of a key."""

    key: Expression = Field(json_schema_extra=EXPRESSION)
    max: Amount
    wait: Duration


class Concurrency(Words):
    """How many commands of a key may be on their way at a time, over all executions of the tenant."""

    key: Expression = Field(json_schema_extra=EXPRESSION)
    max: Amount


class Compensate(Words):
    """The action that undoes a step."""

    action: Name
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    retry: RetryRule | None = None
    not_after: Duration | None = None


class People(Words):
    """Who may decide: a role, a person, or people."""

    role: Text | None = None
    person: Text | None = None
    people: Annotated[Many[Text], Field(min_length=1)] | None = None


class Escalation(Words):
    """Whom to ask as well, and when."""

    after: Duration
    to: People


class Budget(Words):
    """What a generated text may cost."""

    tokens: Amount


def _who(value: Json) -> str:
    return "not:list" if isinstance(value, list | tuple) else "not:one"


Excluded = Annotated[
    Annotated[Text, Tag("not:one")] | Annotated[Many[Text], Tag("not:list"), Field(min_length=1)], Discriminator(_who)
]
