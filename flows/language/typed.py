"""A flow whose every expression is typed: steps in lists and arms, as the person nested them, ready to be laid out."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.expression.template import Template
from schemas.expression.tree import Tree
from schemas.program import Act, Delay, EventTrigger, Set, Stop


@dataclass(frozen=True, slots=True)
class TypedBranch:
    """The first arm that holds, else the last list."""

    name: str
    arms: tuple[tuple[Tree, tuple[TypedStep, ...]], ...]
    otherwise: tuple[TypedStep, ...]
    on_error: str


@dataclass(frozen=True, slots=True)
class TypedParallel:
    """Named arms at once."""

    name: str
    arms: tuple[tuple[str, tuple[TypedStep, ...]], ...]


TypedStep = Act | Delay | Set | Stop | TypedBranch | TypedParallel  # `next` of the first four is not set yet


@dataclass(frozen=True, slots=True)
class TypedFlow:
    """What checking makes of a flow without errors."""

    name: str
    tenants: tuple[str, ...]
    triggers: tuple[EventTrigger, ...]
    steps: tuple[TypedStep, ...]
    output: Template | None
    timeout_us: int
