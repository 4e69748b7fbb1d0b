"""Which rule checks which step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flows.language.names import Names
from flows.language.nodes import Node
from flows.language.steps.check_action import check_action
from flows.language.steps.check_branch import check_branch
from flows.language.steps.check_delay import check_delay
from flows.language.steps.check_end import check_stop
from flows.language.steps.check_parallel import check_parallel
from flows.language.steps.check_set import check_set
from flows.language.steps.walk import Ran, Walk
from schemas.flow.step import ActionStep, BranchStep, DelayStep, ParallelStep, SetStep, StopStep, UntilStep

RULES: Final[dict[type, Callable[[Walk, Any, Node, Names], Ran]]] = {
    ActionStep: check_action,
    DelayStep: check_delay,
    UntilStep: check_delay,
    SetStep: check_set,
    BranchStep: check_branch,
    ParallelStep: check_parallel,
    StopStep: check_stop,
}
