"""What may disprove the verdict that an execution began with: looked for beside its steps, also while it waits to begin."""

from __future__ import annotations

from typing import Final

from operators.advance.onward import timer_of
from operators.execution.execution import Hidden
from operators.execution.run import Run
from schemas.effects import Waiting

RETRACT_UNTIL: Final = "trigger.retract_until"  # in the environment of a start: until when the engine may take the verdict back


def hide_verdict(run: Run) -> None:
    """Look for what disproves the verdict of a window, if it may be taken back: the engine itself finds it."""
    if RETRACT_UNTIL in run.root:
        hide(run, Hidden(run.new_token(), 0, None, run.now_us, run.root.pop(RETRACT_UNTIL)))


def hide(run: Run, hidden: Hidden) -> None:
    """Look for what disproves the verdict."""
    run.more().hidden = hidden
    run.timers_set.append(timer_of(hidden.token, hidden.until_us))
    if hidden.key is not None:
        event = run.runnable.watches[hidden.trigger][0].event
        run.waits_set = (*run.waits_set, Waiting(hidden.key, hidden.token, event, kind="retract"))


def unhide(run: Run, hidden: Hidden) -> None:
    """Look no more for what disproves the verdict."""
    run.end_timer(timer_of(hidden.token, hidden.until_us))
    if hidden.key is not None:
        run.end_wait(hidden.key, hidden.token)
    run.more().hidden = None
