"""Carrying an execution on: every token goes as far as it can now, then the execution waits, closes or ends."""

from __future__ import annotations

from typing import Final

from operators.advance.failing import fail_step
from operators.advance.forked import FORK, go_on_from
from operators.execution.closing import fail_output, finish, go_on_closing, output_of
from operators.execution.execution import NOWHERE, Parked
from operators.execution.frames import is_alive
from operators.execution.run import ARM, FOREVER_US, PUMP, STEPS_MAX, Advanced, Run, StepFailed, advanced
from operators.steps.for_each import start_items
from schemas.effects import Ended
from schemas.expression.template import MissingValue

_STEP_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # a step that raises fails alone
_COMPLETED: Final = Ended("completed")


def go(run: Run, at: int) -> None:
    """Carry the current token on from a step until it waits or ends, or the execution does."""
    steps = run.runnable.steps
    while at >= 0 and run.status == "running":
        run.step = at
        run.left -= 1
        try:
            if run.left < 0:
                raise StepFailed("limit_exceeded", f"more than {STEPS_MAX} steps in one turn")
            at = steps[at](run)
        except StepFailed as failure:
            at = fail_step(run, failure)
        except MissingValue as missing:
            at = fail_step(run, StepFailed("missing_value", str(missing)))
        except _STEP_ERRORS as error:
            at = fail_step(run, StepFailed("invalid_result", f"{type(error).__name__}: {error}"))


def fail(run: Run, failure: StepFailed) -> None:
    """Let the current step fail, and go on where that leads."""
    go(run, fail_step(run, failure))


def carry(run: Run) -> Advanced:
    """Carry all tokens on whose turn it is, and give what was done."""
    while True:
        if run.agenda:
            _work(run)
        if run.status != "running":
            break
        if run.rest is not None and run.rest.closing is not None:
            if go_on_closing(run):
                continue
            break
        if run.parked:
            run.status = "waiting"
            break
        _complete(run)
    return advanced(run, keep=_is_kept(run))


def _work(run: Run) -> None:
    agenda = run.agenda
    while agenda and run.status == "running":
        token, frame, at = agenda.pop()
        if token == PUMP:
            start_items(run, frame)
            continue
        if token <= ARM:
            found = run.frames.get(frame)
            if found is None:
                continue
            arm, token = ARM - token, run.new_token()  # now, so that tokens are numbered in listed order
            found.open[token] = arm
        elif not is_alive(run, token, frame):
            continue
        run.switch(token, frame)
        go(run, at)


def _complete(run: Run) -> None:
    """End well; the output may be what fails."""
    try:
        output = output_of(run)
    except StepFailed as failure:
        fail_output(run, failure)
        return
    if run.rest is not None:
        finish(run, Ended("completed", output))
    else:  # nothing is open
        run.end(_COMPLETED if output is None else Ended("completed", output))


def _is_kept(run: Run) -> bool:
    """Tell whether something can still happen; what may disprove the verdict is looked for after the end too."""
    if run.status in ("waiting", "closing"):
        return True
    if run.rest is None or run.rest.hidden is None or run.ended is None:
        return False
    run.rest.over = run.ended.status
    return True


def begin_steps(run: Run, entry: int) -> Advanced:
    """Start the first token; that of a fork where it goes on."""
    if FORK in run.root:
        entry = go_on_from(run)
    go(run, entry)
    return carry(run)


def timer_of(token: int, due_us: int) -> Parked:
    """Give a deadline that belongs to no step."""
    return Parked(token, NOWHERE, min(due_us, FOREVER_US), "deadline")
