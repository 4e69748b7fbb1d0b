"""The steps of `parallel`: the fork starts an arm after the other, the join goes on when enough of them have arrived."""

from __future__ import annotations

from operators.execution.frames import open_frame, tear_down
from operators.execution.run import ARM, END, Run, StepFunction
from schemas.program import Fork, Join


def fork(step: Fork) -> StepFunction:
    """Make the function that starts the arms; each is carried as far as it can go before the next one starts."""
    targets = tuple(target for _, target in step.arms)
    later = tuple((ARM - arm, targets[arm]) for arm in range(len(targets) - 1, 0, -1))

    def enter(run: Run) -> int:
        run.note("entered", step.name, "parallel")
        frame = open_frame(run, run.token, run.frame)
        run.agenda.extend([(arm, frame, target) for arm, target in later])
        run.frame, run.token = frame, run.new_token()  # it sees what is seen here
        run.frames[frame].open[run.token] = 0
        return targets[0]

    return enter


def join(step: Join) -> StepFunction:
    """Make the function of an arm's arrival; the last one needed ends the others."""
    need = step.need or step.arms

    def arrive(run: Run) -> int:
        frame = run.frames[run.frame]
        arm = frame.open.pop(run.token)
        frame.arrived += 1
        if frame.arrived < need:
            return END
        name = run.frame
        if frame.arrived < step.arms:
            tear_down(run, name)
        else:
            del run.frames[name]
        run.switch(frame.owner, frame.parent)
        winner = _arm_name(run, frame.step, arm) if step.bind and need == 1 else None
        if winner is not None:
            run.bind(step.bind, {"winner": winner})
        run.note("completed", step.name, "parallel", winner)
        return step.next

    return arrive


def _arm_name(run: Run, at: int, arm: int) -> str:
    found = run.runnable.program.steps[at]
    assert isinstance(found, Fork)
    return found.arms[arm][0]
