"""Keep the admission point in step with what executions do: who waits, who has left, whose turn may have come.

Reads: what one input did to an execution whose flow has limits. Emits: changes of limits, and questions for right behind.
"""

from __future__ import annotations

from operators.advance.advance import Advanced
from operators.advance.queued import UNASKED
from operators.execution.execution import Queueing, State
from operators.turn.live import Live
from operators.turn.pending import Asks, Freed, Pending


def place_of(state: State | None) -> Queueing | None:
    """Tell where an execution waits for a limit; None if it does not."""
    return None if state is None or state.rest is None else state.rest.queued


def is_ending(state: State | None) -> bool:
    """Tell whether an execution has ended or is closing: to be cancelled again would change nothing."""
    return state is None or (state.rest is not None and (state.rest.closing is not None or bool(state.rest.over)))


def follow(pending: Pending, live: Live, before: Queueing | None, advanced: Advanced, now_us: int) -> None:
    """Take in that an execution has come into a queue, has left one, or has ended."""
    point, after = pending.admission, place_of(live.state)
    if before is not None and before.key != UNASKED and (after is None or after.key != before.key):
        point.dequeue(live.row, before.key, before.rank)
        pending.queue.append(Freed(before.key, now_us))
    if after is not None and after.key == UNASKED:
        pending.queue.append(Asks(live.row, now_us))
    elif after is not None and (before is None or after.key != before.key):
        point.enqueue(live.row, after.key, after.rank)
    if advanced.ended is not None:
        pending.queue.extend(Freed(key, now_us) for key in point.leave(live.row))
