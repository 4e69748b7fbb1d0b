"""Give an execution what a record tells it, whichever record it is."""

from __future__ import annotations

from operators.advance.advance import Advanced, Moment, answer, command, decide, retract
from operators.turn.incoming import Retraction
from schemas.records import Decision, OperatorCommand, Result

Record = Result | Decision | OperatorCommand | Retraction


def told(moment: Moment, record: Record) -> Advanced | None:
    """Give the outcome of a command, a person's decision, an operator's word, or what disproves a verdict."""
    match record:
        case Result():
            return answer(moment, record)
        case Decision():
            return decide(moment, record)
        case OperatorCommand():
            return command(moment, record)
        case Retraction():
            return retract(moment, record.event)
