"""Steps: each has exactly one verb (flow-language.md section 5)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from schemas.flow.condition import Condition
from schemas.flow.parts import (
    Amount,
    Batch,
    Budget,
    Compensate,
    Concurrency,
    Escalation,
    Excluded,
    Flag,
    Note,
    People,
    Priority,
    RetryRule,
    Text,
    Types,
)
from schemas.flow.words import DATA, EXPRESSION, LITERAL, Data, Duration, EventName, Expression, Many, Name, Parameters, Words
from schemas.records import Json

As = Name | None


class ActionStep(Words):
    """A command on the action topic; without await it is issued and the flow goes on."""

    action: Name
    as_: As = Field(None, alias="as")
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    await_: Flag = Field(False, alias="await")
    timeout: Duration | None = None
    returns: Types | None = None
    retry: RetryRule | None = None
    idempotency: Annotated[str | None, Field(json_schema_extra=DATA)] = None
    priority: Priority | None = None
    batch: Batch | None = None
    concurrency: Concurrency | None = None
    not_after: Duration | None = None
    order_key: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    on_unknown: Annotated[Literal["ask", "look_up", "compensate"], Field(json_schema_extra=LITERAL)] = "ask"
    compensate: Compensate | None = None
    on_error: OnError = "fail"
    note: Note = None


class DelayStep(Words):
    """Wait for a duration."""

    delay: Expression = Field(json_schema_extra=EXPRESSION)
    as_: As = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class UntilStep(Words):
    """Wait up to a timestamp; one in the past goes on at once."""

    until: Expression = Field(json_schema_extra=EXPRESSION)
    as_: As = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class SetStep(Words):
    """Bind names to values."""

    set_: dict[Name, Data] = Field(alias="set", min_length=1, json_schema_extra=DATA)
    as_: As = Field(None, alias="as")
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
    as_: As = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class ParallelStep(Words):
    """Named arms at once; the flow goes on when all have ended, or any, or so many."""

    parallel: dict[Name, Annotated[Many[Step], Field(min_length=1)]] = Field(min_length=1)
    join: JoinRule = "all"
    as_: As = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class ForEachStep(Words):
    """The same steps for every item of a list, each with names of its own."""

    for_each: Expression = Field(json_schema_extra=EXPRESSION)
    each: Name
    steps: Annotated[Many[Step], Field(min_length=1)]
    max: Amount | None = None
    concurrency: Amount = 1
    failures: Annotated[Literal["fail", "collect"], Field(json_schema_extra=LITERAL)] = "fail"
    result: Parameters | None = Field(None, json_schema_extra=DATA)
    as_: As = Field(None, alias="as")
    on_error: OnError = "fail"
    note: Note = None


class CallStep(Words):
    """Another flow, its version locked at deploy; binds its output."""

    call: Name
    as_: As = Field(None, alias="as")
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    await_: Flag = Field(True, alias="await")
    timeout: Duration | None = None
    compensate: Compensate | None = None
    on_error: OnError = "fail"
    note: Note = None


class WaitStep(Words):
    """The next event that fits."""

    wait: EventName
    as_: As = Field(None, alias="as")
    correlate: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    conditions: Condition | None = None
    look_back: Duration = "0"
    timeout: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    on_timeout: OnTimeout | None = None
    on_error: OnError = "fail"
    note: Note = None


class ApproveStep(Words):
    """Ask people; binds what they decided."""

    approve: Text
    as_: As = Field(None, alias="as")
    by: People
    need: Annotated[int, Field(ge=1, le=100, json_schema_extra=LITERAL)] = 1
    not_: Excluded | None = Field(None, alias="not", json_schema_extra=DATA)
    show: Parameters = Field(default_factory=dict, json_schema_extra=DATA)
    form: Types = Field(default_factory=dict)
    remind: Many[Duration] = ()
    escalate: Escalation | None = None
    timeout: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    on_timeout: Annotated[Literal["approved", "rejected", "fail"] | None, Field(json_schema_extra=LITERAL)] = None
    on_error: OnError = "fail"
    note: Note = None


class DecideStep(Words):
    """Ask a decision table."""

    decide: Name
    as_: As = Field(None, alias="as")
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    on_error: OnError = "fail"
    note: Note = None


class EmitStep(Words):
    """An event of ours."""

    emit: EventName
    as_: As = Field(None, alias="as")
    key: Expression | None = Field(None, json_schema_extra=EXPRESSION)
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    on_error: OnError = "fail"
    note: Note = None


class GenerateStep(Words):
    """A generated text: reserved; it is checked and not built yet."""

    generate: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}(@[0-9]{1,9})?$", json_schema_extra=LITERAL)]
    as_: As = Field(None, alias="as")
    with_: Parameters = Field(alias="with", default_factory=dict, json_schema_extra=DATA)
    output: Types = Field(min_length=1)
    budget: Budget
    timeout: Duration
    fallback: Parameters | None = Field(None, json_schema_extra=DATA)
    on_error: OnError = "fail"
    note: Note = None


class FailStep(Words):
    """End as failed, with a code; what is done is undone."""

    fail: Name
    message: Text | None = None
    as_: As = Field(None, alias="as")
    note: Note = None


class StopStep(Words):
    """End well, with a reason."""

    stop: Name
    compensate: Flag = False
    as_: As = Field(None, alias="as")
    note: Note = None


VERBS: Final[dict[str, type[Words]]] = {
    "action": ActionStep,
    "delay": DelayStep,
    "until": UntilStep,
    "set": SetStep,
    "branch": BranchStep,
    "parallel": ParallelStep,
    "for_each": ForEachStep,
    "call": CallStep,
    "wait": WaitStep,
    "approve": ApproveStep,
    "decide": DecideStep,
    "emit": EmitStep,
    "generate": GenerateStep,
    "fail": FailStep,
    "stop": StopStep,
}
LATER_VERBS: Final = ("features", "score", "plan", "assert")
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
        | Annotated[ForEachStep, Tag("step:for_each")]
        | Annotated[CallStep, Tag("step:call")]
        | Annotated[WaitStep, Tag("step:wait")]
        | Annotated[ApproveStep, Tag("step:approve")]
        | Annotated[DecideStep, Tag("step:decide")]
        | Annotated[EmitStep, Tag("step:emit")]
        | Annotated[GenerateStep, Tag("step:generate")]
        | Annotated[FailStep, Tag("step:fail")]
        | Annotated[StopStep, Tag("step:stop")],
        Discriminator(_verb),
    ],
)


def _way(value: Json) -> str:
    return "steps:list" if isinstance(value, list | tuple) else "steps:word"


def _join(value: Json) -> str:
    return "join:number" if isinstance(value, int) else "join:word"


_StepList = Annotated[Many[Step], Tag("steps:list"), Field(min_length=1)]
Steps = TypeAliasType(
    "Steps",
    Annotated[
        Annotated[Literal["continue"], Tag("steps:word"), Field(json_schema_extra=LITERAL)]
        | Annotated[Many[Step], Tag("steps:list")],
        Discriminator(_way),
    ],
)
OnError = TypeAliasType(
    "OnError",
    Annotated[
        Annotated[Literal["fail", "continue"], Tag("steps:word"), Field(json_schema_extra=LITERAL)] | _StepList,
        Discriminator(_way),
    ],
)
OnTimeout = TypeAliasType(
    "OnTimeout",
    Annotated[
        Annotated[Literal["continue", "fail"], Tag("steps:word"), Field(json_schema_extra=LITERAL)] | _StepList,
        Discriminator(_way),
    ],
)
JoinRule = Annotated[
    Annotated[Literal["all", "any"], Tag("join:word")] | Annotated[Amount, Tag("join:number")],
    Discriminator(_join),
    Field(json_schema_extra=LITERAL),
]

BranchArm.model_rebuild()
for _model in VERBS.values():
    _model.model_rebuild()
