"""Steps: each has exactly one verb (flow-language.md section 5), here those that this version runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from schemas.flow.condition import Condition
from schemas.flow.words import DATA, EXPRESSION, LITERAL, Data, Duration, Expression, Many, Name, Parameters, Words
from schemas.records import Json

OnError = Annotated[Literal["fail", "continue"], Field(json_schema_extra=LITERAL)]
Priority = Annotated[Literal["high", "normal", "low"], Field(json_schema_extra=LITERAL)]
Note = Annotated[str | None, Field(json_schema_extra=LITERAL)]


class RetryRule(Words):
    """How often and how far apart an action is tried; full jitter."""

    attempts: Annotated[int, Field(ge=1, le=100, json_schema_extra=LITERAL)] = 5
    wait: Duration = "1s"
    factor: Annotated[int | Decimal, Field(ge=1, le=100, json_schema_extra=LITERAL)] = 2
    most: Duration = "5m"
    attempt_timeout: Duration = "30s"


class ActionStep(Words):
    """A command on the action topic; it is issued and the flow goes on."""

    action: Name
    as_: Name | None = Field(None, alias="as")
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    retry: RetryRule | None = None
    idempotency: Annotated[str | None, Field(json_schema_extra=DATA)] = None
    priority: Priority | None = None
    not_after: Duration | None = None
    order_key: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    on_error: OnError = "fail"
    note: Note = None


class DelayStep(Words):
    """Wait for a duration."""

    delay: Expression = Field(json_schema_extra=EXPRESSION)
    as_: Name | None = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class UntilStep(Words):
    """Wait up to a timestamp; one in the past goes on at once."""

    until: Expression = Field(json_schema_extra=EXPRESSION)
    as_: Name | None = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class SetStep(Words):
    """Bind names to values."""

    set_: dict[Name, Data] = Field(alias="set", min_length=1, json_schema_extra=DATA)
    as_: Name | None = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class BranchArm(Words):
    """One arm: its steps run if it is the first that holds."""

    when: Condition = Field(json_schema_extra=EXPRESSION)
    then: Steps


class BranchStep(Words):
    """The first arm that holds, or else."""

    branch: Many[BranchArm] = Field(min_length=1)
    else_: Steps | None = Field(None, alias="else")
    as_: Name | None = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class ParallelStep(Words):
    """Named arms at once; the flow goes on when all have ended."""

    parallel: dict[Name, Annotated[Many[Step], Field(min_length=1)]] = Field(min_length=1)
    join: Annotated[Literal["all"], Field(json_schema_extra=LITERAL)] = "all"
    as_: Name | None = Field(None, alias="as")
    note: Note = None


class StopStep(Words):
    """End well, with a reason."""

    stop: Name
    as_: Name | None = Field(None, alias="as")
    note: Note = None


VERBS: Final[dict[str, type[Words]]] = {
    "action": ActionStep,
    "delay": DelayStep,
    "until": UntilStep,
    "set": SetStep,
    "branch": BranchStep,
    "parallel": ParallelStep,
    "stop": StopStep,
}
LATER_VERBS: Final = (
    "for_each",
    "call",
    "emit",
    "wait",
    "approve",
    "decide",
    "features",
    "score",
    "generate",
    "fail",
    "plan",
    "assert",
)
LATER_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "action": ("await", "timeout", "batch", "concurrency", "on_unknown", "compensate", "returns"),
    "stop": ("compensate",),
}
_TAGS: Final = {model.__name__: f"step:{verb}" for verb, model in VERBS.items()}


def _verb(value: Json) -> str:
    if isinstance(value, Words):
        return _TAGS.get(type(value).__name__, "step:action")
    found = [verb for verb in VERBS if isinstance(value, dict) and verb in value]
    return f"step:{found[0]}" if found else "step:action"


Step = TypeAliasType(
    "Step",
    Annotated[
        Annotated[ActionStep, Tag("step:action")]
        | Annotated[DelayStep, Tag("step:delay")]
        | Annotated[UntilStep, Tag("step:until")]
        | Annotated[SetStep, Tag("step:set")]
        | Annotated[BranchStep, Tag("step:branch")]
        | Annotated[ParallelStep, Tag("step:parallel")]
        | Annotated[StopStep, Tag("step:stop")],
        Discriminator(_verb),
    ],
)


def _way(value: Json) -> str:
    return "steps:word" if isinstance(value, str) else "steps:list"


Steps = TypeAliasType(
    "Steps",
    Annotated[
        Annotated[Literal["continue"], Tag("steps:word")] | Annotated[Many[Step], Tag("steps:list")],
        Discriminator(_way),
    ],
)

BranchArm.model_rebuild()
BranchStep.model_rebuild()
ParallelStep.model_rebuild()
