"""The constructs of the language: each has a page of the reference and a worked example of its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from schemas.flow.around import ConcurrencyLimit, Limits, Objectives, RateLimit, Retention, Rollout, View
from schemas.flow.condition import ShortCondition
from schemas.flow.documents import ActionContract, Defaults, Event, Flow, ShortAction, Workflow
from schemas.flow.parts import Batch, Budget, Compensate, Concurrency, Escalation, People, RetryRule
from schemas.flow.policy import Policy, TableRule
from schemas.flow.scenario import Expect, ExpectedAction, ExpectedEvent, ExpectedWait, Moments, Test
from schemas.flow.step import VERBS, BranchArm
from schemas.flow.trigger import SORTS, AbsenceRule, ManualRule, SequenceEvent, SequenceRule, Signature, WindowRule
from schemas.flow.words import Words


@dataclass(frozen=True, slots=True)
class Construct:
    """One page: what is described, and the parts that stand inside it."""

    name: str
    group: str  # documents | triggers | steps | around the steps
    model: type[Words]
    parts: Mapping[str, type[Words]]


_PARTS: Final[dict[str, dict[str, type[Words]]]] = {
    "flow": {"defaults": Defaults, "retry": RetryRule},
    "workflow": {"an item of actions": ShortAction, "a short condition": ShortCondition},
    "policy": {"a rule": TableRule},
    "test": {
        "a line of timeline": Moments,
        "expect": Expect,
        "waiting": ExpectedWait,
        "an item of actions": ExpectedAction,
        "an item of events": ExpectedEvent,
    },
    "window": {},
    "absence": {},
    "sequence": {"sequence": SequenceRule, "an item of events": SequenceEvent},
    "webhook": {"signature": Signature},
    "manual": {"manual": ManualRule},
    "action": {"retry": RetryRule, "batch": Batch, "concurrency": Concurrency, "compensate": Compensate},
    "branch": {"an arm": BranchArm},
    "approve": {"by": People, "escalate": Escalation},
    "call": {"compensate": Compensate},
    "generate": {"budget": Budget},
    "limits": {"concurrency": ConcurrencyLimit, "rate and quota": RateLimit},
}
_DOCUMENTS: Final[dict[str, type[Words]]] = {
    "flow": Flow,
    "workflow": Workflow,
    "policy": Policy,
    "event contract": Event,
    "action contract": ActionContract,
    "test": Test,
}
_TRIGGERS: Final[dict[str, type[Words]]] = {
    "event": SORTS["event"],
    "window": WindowRule,
    "sequence": SORTS["sequence"],
    "absence": AbsenceRule,
    "schedule": SORTS["schedule"],
    "webhook": SORTS["webhook"],
    "manual": SORTS["manual"],
    "after": SORTS["after"],
}
_AROUND: Final[dict[str, type[Words]]] = {
    "limits": Limits,
    "objectives": Objectives,
    "retention": Retention,
    "rollout": Rollout,
    "view": View,
}
GROUPS: Final[dict[str, dict[str, type[Words]]]] = {
    "documents": _DOCUMENTS,
    "triggers": _TRIGGERS,
    "steps": VERBS,
    "around the steps": _AROUND,
}
CONSTRUCTS: Final[tuple[Construct, ...]] = tuple(
    Construct(name, group, model, _PARTS.get(name, {})) for group, models in GROUPS.items() for name, model in models.items()
)


def example_of(construct: Construct) -> str:
    """Give the worked example: one or more documents, complete with their contracts."""
    name = construct.name.replace(" ", "_")
    return (files("flows.reference") / "examples" / f"{name}.yaml").read_text(encoding="utf-8")
