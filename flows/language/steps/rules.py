"""Which rule checks which step."""

from __future__ import annotations

from typing import Final

from flows.language.steps.check_action import check_action
from flows.language.steps.check_approve import check_approve
from flows.language.steps.check_branch import check_branch
from flows.language.steps.check_call import check_call
from flows.language.steps.check_decide import check_decide
from flows.language.steps.check_delay import check_delay
from flows.language.steps.check_emit import check_emit
from flows.language.steps.check_end import check_fail, check_stop
from flows.language.steps.check_for_each import check_for_each
from flows.language.steps.check_generate import check_generate
from flows.language.steps.check_parallel import check_parallel
from flows.language.steps.check_set import check_set
from flows.language.steps.check_wait import check_wait
from flows.language.steps.walk import Rule
from schemas.flow import step as steps

RULES: Final[dict[type, Rule]] = {
    steps.ActionStep: check_action,
    steps.DelayStep: check_delay,
    steps.UntilStep: check_delay,
    steps.SetStep: check_set,
    steps.BranchStep: check_branch,
    steps.ParallelStep: check_parallel,
    steps.ForEachStep: check_for_each,
    steps.CallStep: check_call,
    steps.WaitStep: check_wait,
    steps.ApproveStep: check_approve,
    steps.DecideStep: check_decide,
    steps.EmitStep: check_emit,
    steps.GenerateStep: check_generate,
    steps.FailStep: check_fail,
    steps.StopStep: check_stop,
}
