"""Closing an execution (contracts.md section 7): first outcomes, then undoing, then the flow's on_error steps, then the end.

Open commands are told to be cancelled, and nothing is undone before the outcome of each is known. Compensations run one after
the other, in reverse order of completion, as commands of their own. One that fails keeps the execution closing until an
operator says how to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.execution.execution import ROOT, Closing, EndStatus, Rest, Sent
from operators.execution.frames import tear_all_down, withdraw_all
from operators.execution.run import FOREVER_US, STEPS_MAX, Run, StepFailed
from operators.execution.undo import issue_undo, undo_of
from schemas.effects import Ended
from schemas.expression.template import MissingValue
from schemas.program import Act


def close(run: Run, failure: StepFailed, step: str, status: EndStatus) -> None:
    """Stop everything and begin to close; `failure` says why."""
    tear_all_down(run)
    withdraw_all(run)
    rest = run.more()
    rest.closing = Closing(status, failure.code, step, failure.message)
    run.deadline_us = FOREVER_US
    if rest.sent or rest.done or (run.runnable.program.on_error >= 0 and status != "completed"):
        run.note("closing", step, "", {"code": failure.code})


def fail_while_closing(run: Run) -> None:
    """End at once: an error in the steps of on_error has no handler any more."""
    finish(run, end_of(_closing(run)))


def end_of(closing: Closing) -> Ended:
    """Give the bad end that a closing leads to, with what handlers see of its error."""
    return Ended(closing.status, None, closing.code, closing.message, closing.step, tuple(closing.undone))


def output_of(run: Run) -> Any:
    """Give what the flow gives to whoever called it, by what is bound now; raises StepFailed."""
    if run.runnable.output is None:
        return None
    run.switch(run.token, ROOT)
    try:
        return run.runnable.output(run.root)
    except MissingValue as missing:
        raise StepFailed("missing_value", f"the output: {missing}") from missing


def stop_well(run: Run, reason: str) -> None:
    """End well with a reason, and with the output as it is by now."""
    try:
        finish(run, Ended("completed", output_of(run), "", reason))
    except StepFailed as failure:
        fail_output(run, failure)


def fail_output(run: Run, failure: StepFailed) -> None:
    """Close, for the steps ended well and the output has no value."""
    run.note("failed", "", "", {"code": failure.code, "message": failure.message})
    close(run, failure, "", "failed")


def finish(run: Run, ended: Ended) -> None:
    """End the execution."""
    tear_all_down(run)
    if run.rest is not None:
        run.rest.closing = None
        run.rest.sent, run.rest.done = [], []
    run.end(ended)


def go_on_closing(run: Run) -> bool:
    """Do the next thing; False if something must come in first, True if tokens are to go on or the execution has ended."""
    closing = _closing(run)
    if closing.phase == "outcomes" and not _outcomes_known(run, run.more()):
        return _wait(run)
    if closing.phase == "outcomes":
        closing.phase = "undo"
    if closing.phase == "undo" and not _all_undone(run, closing):
        return _wait(run)
    if closing.phase == "handlers" and run.parked:
        return _wait(run)
    if closing.phase == "undo" and _start_handlers(run, closing):
        return True
    finish(run, _led_to(run, closing))
    return True


def _led_to(run: Run, closing: Closing) -> Ended:
    """Give the end that all led to; a good one has an output, where that has a value."""
    if closing.status != "completed":
        return end_of(closing)
    try:
        return Ended("completed", output_of(run), closing.code, closing.message)
    except StepFailed as failure:
        return Ended("failed", None, failure.code, failure.message, "", tuple(closing.undone))


def _closing(run: Run) -> Closing:
    closing = run.more().closing
    assert closing is not None
    return closing


def _wait(run: Run) -> bool:
    run.status = "closing"
    return False


def _outcomes_known(run: Run, rest: Rest) -> bool:
    """Tell whether nothing is open any more that must be known before anything is undone."""
    undoing = bool(rest.done) or any(run.runnable.codes[one.step].undo is not None for one in rest.sent)
    left = []
    for sent in rest.sent:
        if sent.unknown and _on_unknown(run, sent) == "compensate":
            undo = undo_of(run, sent.step, sent.occurrence, sent.names)
            rest.done += [undo] if undo is not None else []
        elif undoing or not sent.unknown:
            left.append(sent)
    rest.sent = left
    return not left


def _on_unknown(run: Run, sent: Sent) -> str:
    step = run.runnable.program.steps[sent.step]
    return step.on_unknown if isinstance(step, Act) else "ask"


def _all_undone(run: Run, closing: Closing) -> bool:
    rest = run.more()
    if closing.current is None and rest.done:
        closing.current, closing.attempt, closing.stuck = rest.done.pop(), 0, False
        issue_undo(run, closing)
    return closing.current is None


def _start_handlers(run: Run, closing: Closing) -> bool:
    """Start the flow's on_error steps, if it has any and this is no good end."""
    first = run.runnable.program.on_error
    closing.phase = "handlers"
    if first < 0 or closing.status == "completed":
        return False
    error: dict[str, Any] = {
        "code": closing.code,
        "step": closing.step,
        "message": closing.message,
        "compensated": list(closing.undone),
    }
    run.root.update({f"error.{name}": value for name, value in error.items()})
    run.left = STEPS_MAX
    run.push(run.new_token(), ROOT, first)
    return True


def undone(run: Run, name: str) -> None:
    """Go on behind a compensation that has been carried out."""
    closing = _closing(run)
    closing.undone.append(name)
    closing.current, closing.stuck = None, False
    run.note("completed", name, "compensation")


def settle(run: Run, sent: Sent, result: Mapping[str, Any] | None) -> None:
    """Take what has become of a command or a call that no token waited for: its result by name, or None if it was not done."""
    rest = run.more()
    rest.sent = [one for one in rest.sent if one != sent]
    if result is not None:
        undo = undo_of(run, sent.step, sent.occurrence, {**(sent.names or {}), **result})
        rest.done += [undo] if undo is not None else []


def keep_unknown(run: Run, sent: Sent) -> None:
    """Remember that nobody knows what has become of a command."""
    known = Sent(sent.step, sent.occurrence, True, sent.unwanted, sent.names)
    run.more().sent = [known if one == sent else one for one in run.more().sent]
