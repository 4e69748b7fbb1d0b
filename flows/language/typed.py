"""A flow whose every expression is typed: steps in lists and arms, as the person nested them, ready to be laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.expression.template import Template
from schemas.expression.tree import Tree
from schemas.expression.types import Type
from schemas.program import EachEnd, Join, Limit, Step, Trigger

NOTHING: Final = Type("record")


@dataclass(frozen=True, slots=True)
class TypedStep:
    """The record of a step, its places in the table not set yet, and the lists of steps inside it."""

    step: Step
    arms: tuple[tuple[TypedStep, ...], ...] = ()  # as the record lists them; of a branch the last is else; the body of a loop
    last: Join | EachEnd | None = None  # closes a block that has frames of its own
    handler: tuple[TypedStep, ...] = ()  # its on_error steps
    on_timeout: tuple[TypedStep, ...] = ()
    event: Type | None = None  # what a wait binds


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which share of the starts runs this version."""

    percent: int = 100
    by: Tree | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class TypedFlow:
    """What checking makes of a flow without errors."""

    name: str
    tenants: tuple[str, ...]
    triggers: tuple[Trigger, ...]
    steps: tuple[TypedStep, ...]
    output: Template | None
    timeout_us: int
    output_type: Type = NOTHING
    on_error: tuple[TypedStep, ...] = ()
    on_retract: tuple[TypedStep, ...] = ()
    data: Type | None = None  # of the triggers' events, put together; None: no contract says
    events: Mapping[str, Type] = field(default_factory=dict)  # what triggers bind to events
    inputs: Type | None = None
    limits: tuple[Limit, ...] = ()
    rollout: Rollout = Rollout()
    priority: Literal["high", "normal", "low"] | None = None
    bound: frozenset[str] = field(default=frozenset())  # every name that steps bind
