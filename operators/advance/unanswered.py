"""What a shadow asks and nobody will answer: done, where nothing must be known of the outcome; else it ends there.

Its commands are muted, so their outcomes are those of the execution beside it. Where that one asked nothing of the kind, or has
ended, a command or a call that gives nothing, or nothing that must be there, counts as done; so do compensations.
"""

from __future__ import annotations

from operators.advance.advance import answer, child_ended
from operators.advance.hidden import unhide
from operators.execution.execution import Parked, Rest, Sent, State
from operators.execution.frames import call_token, tear_all_down
from operators.execution.run import Advanced, Moment, advanced, resume
from operators.execution.undo import undo_id
from schemas.effects import Ended
from schemas.expression.findings import ExpressionError
from schemas.expression.read_json import read_json
from schemas.expression.types import Type
from schemas.ids import action_id
from schemas.program import Act, Call, Program
from schemas.records import ActionStatus, Result

WHY = "the version in force never asked for this, so nobody knows what would have come of it"


def asks(state: State, program: Program) -> bool:
    """Tell whether an execution waits for the outcome of something that it said."""
    if state.rest is not None and state.rest.closing is not None:
        return True
    return any(isinstance(program.steps[parked.step], Act | Call) for parked in state.parked)


def go_on_alone(moment: Moment) -> Advanced | None:
    """Settle the first thing that it waits for; None if there is none."""
    state = moment.state
    if state is None:
        return None
    rest, steps = state.rest or Rest(), moment.runnable.program.steps
    closing = rest.closing
    if closing is not None and closing.phase != "handlers":
        return _close_alone(moment, rest)
    for parked in state.parked:
        step = steps[parked.step]
        if isinstance(step, Act | Call) and parked.about is not None:
            return _done(moment, parked, step) if _may_be_empty(step.result) else _cut_off(moment, step.name)
    return None


def _close_alone(moment: Moment, rest: Rest) -> Advanced | None:
    sent = next((one for one in rest.sent if not one.unknown), None)
    if sent is not None:
        return _withdrawn(moment, sent)
    run, closing = resume(moment), rest.closing
    assert closing is not None
    if closing.current is None or closing.stuck:
        return _cut_off(moment, closing.step)
    name = run.runnable.program.steps[closing.current.step].name
    return answer(moment, _result(moment, undo_id(run, closing), f"undo:{name}", "delivered"))


def _withdrawn(moment: Moment, sent: Sent) -> Advanced | None:
    step = moment.runnable.program.steps[sent.step]
    if isinstance(step, Call):
        return child_ended(moment, call_token(sent.step, sent.occurrence), Ended("cancelled"))
    identity = action_id(moment.execution, step.name, sent.occurrence).hex()
    return answer(moment, _result(moment, identity, step.name, "cancelled"))


def _done(moment: Moment, parked: Parked, step: Act | Call) -> Advanced | None:
    occurrence = parked.about or 0
    if isinstance(step, Call):
        return child_ended(moment, call_token(parked.step, occurrence), Ended("completed", {}))
    identity = action_id(moment.execution, step.name, occurrence).hex()
    return answer(moment, _result(moment, identity, step.name, "delivered"))


def _result(moment: Moment, action: str, step: str, status: ActionStatus) -> Result:
    assert status != "pending"
    return Result(
        action=action,
        execution=moment.execution.hex(),
        tenant=moment.tenant,
        flow=moment.runnable.program.flow,
        step=step,
        type="",
        connector="shadow",
        status=status,
        attempts=0,
        at=moment.now_us,
        wall=moment.now_us,
        data={},
    )


def _may_be_empty(want: Type | None) -> bool:
    try:
        return want is None or read_json({}, want) is not None
    except ExpressionError:
        return False


def _cut_off(moment: Moment, step: str) -> Advanced:
    run = resume(moment)
    tear_all_down(run)
    if run.rest is not None and run.rest.hidden is not None:
        unhide(run, run.rest.hidden)
    run.status = "cancelled"
    run.note("cancelled", step, "shadow", {"why": WHY})
    run.note("ended", "", "", "cancelled")
    return advanced(run, keep=False)
