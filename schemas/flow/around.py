"""Keys around the steps of a flow: limits, objectives, retention, privacy, views, rollout (flow-language.md section 7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from schemas.flow.condition import Condition
from schemas.flow.parts import Amount, Flag
from schemas.flow.words import EXPRESSION, LITERAL, Duration, Expression, Name, Words

Over = Annotated[Literal["queue", "drop", "cancel_running"], Field(json_schema_extra=LITERAL)]
Number = Annotated[int | Decimal, Field(json_schema_extra=LITERAL)]


class ConcurrencyLimit(Words):
    """How many executions of a key may live at once."""

    key: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    max: Amount
    over: Over = "queue"


class RateLimit(Words):
    """How many executions of a key may start in a stretch of time."""

    key: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    max: Amount
    per: Duration
    over: Annotated[Literal["queue", "drop"], Field(json_schema_extra=LITERAL)] = "queue"


class Limits(Words):
    """What holds on every path: start, retry, resume, redrive, catch-up, call."""

    concurrency: ConcurrencyLimit | None = None
    rate: RateLimit | None = None
    quota: RateLimit | None = None


class Objectives(Words):
    """What shall be measured and never enforced: so large a share is complete in so much time. Nothing acts on it yet."""

    complete: Duration
    share: Annotated[int | Decimal, Field(gt=0, le=1, json_schema_extra=LITERAL)] = Decimal("0.99")


class Retention(Words):
    """How long histories shall stay, and the values of fields in them. Nothing acts on it yet."""

    history: Duration | None = None
    data: Duration | None = None


class Rollout(Words):
    """Which share runs this version; the rest runs the one before. shadow: actions muted, differences shown."""

    percent: Annotated[int, Field(ge=0, le=100, json_schema_extra=LITERAL)] = 100
    by: Expression | None = Field(default=None, json_schema_extra=EXPRESSION)
    shadow: Flag = False


class View(Words):
    """A table over executions, actions or events. Nothing acts on it yet."""

    view: Name
    from_: Annotated[Literal["executions", "actions", "events"], Field(json_schema_extra=LITERAL)] = Field(alias="from")
    where: Condition | None = None
    by: Annotated[dict[Name, Expression], Field(json_schema_extra=EXPRESSION)] = Field(default_factory=dict)
    measures: Annotated[dict[Name, Expression], Field(min_length=1, json_schema_extra=EXPRESSION)]


Treatment = Literal["mask", "hash", "hide", "encrypt"]
PrivacyRules = Annotated[dict[str, Treatment], Field(json_schema_extra=LITERAL)]
Specs = Annotated[dict[Name, Expression], Field(json_schema_extra=LITERAL)]
