"""Where an error goes (flow-language section 5): the step's own on_error, that of the blocks around it, then the closing."""

from __future__ import annotations

from typing import Any

from operators.execution.closing import close, fail_while_closing
from operators.execution.execution import ROOT
from operators.execution.frames import tear_down
from operators.execution.run import Run, StepFailed, after
from operators.steps.for_each import collect_failure
from schemas.program import END, ForEach


def fail_step(run: Run, failure: StepFailed) -> int:
    """Give the step that the current token goes on with after its step failed, END if it does not."""
    name = run.runnable.program.steps[run.step].name
    while True:
        onward = _handled(run, failure, name)
        if onward is not None:
            return onward
        if run.frame == ROOT:
            _leave(run, failure, name)
            return END
        if collect_failure(run, failure):
            run.note("failed", name, "", _detail(failure))
            return END
        _leave_frame(run)


def _handled(run: Run, failure: StepFailed, name: str) -> int | None:
    """Ask the step itself, and then the handler of its block within this frame."""
    program, at = run.runnable.program, run.step
    step: Any = program.steps[at]
    if at in run.runnable.tolerant:
        run.note("failed", name, "", _detail(failure))
        return after(program, at)
    handler: int = getattr(step, "handler", END)
    if handler < 0:
        return None
    run.note("failed", name, "", _detail(failure) | {"handler": program.steps[handler].name})
    run.bind("error.code", failure.code)
    run.bind("error.step", name)
    run.bind("error.message", failure.message)
    return handler


def _leave_frame(run: Run) -> None:
    """End the block that the error leaves; it is the error of the block then."""
    frame = run.frames[run.frame]
    name = run.frame
    if frame.loop is None and isinstance(run.runnable.program.steps[frame.step], ForEach):  # an item: its loop ends
        name = frame.parent
    block = run.frames[name]
    tear_down(run, name)
    run.switch(block.owner, block.parent)
    run.step = block.step


def _leave(run: Run, failure: StepFailed, name: str) -> None:
    detail = _detail(StepFailed(failure.code, f"step '{name}': {failure.message}"))
    run.note("failed", name, "", detail)
    if run.rest is not None and run.rest.closing is not None:
        fail_while_closing(run)
    else:
        close(run, failure, name, "failed")


def _detail(failure: StepFailed) -> dict[str, str]:
    return {"code": failure.code, "message": failure.message}
