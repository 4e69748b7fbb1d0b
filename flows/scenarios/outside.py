"""The outside of a story: it answers commands by action type as the dispatcher would, with retries, in test time.

An answer is data (it worked), a bare word (an error code), or a list of these for successive attempts; the last one stands for
all that follow. A wait between two attempts is as long as its rule allows: of all jitter the longest is the one that can hurt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from schemas.records import Action, Json, Result, Retry

UNKNOWN: Final = "unknown_outcome"
CONNECTOR: Final = "test"


class Due(NamedTuple):
    """A result and the time at which it comes."""

    at_us: int
    result: Result


class Outside:
    """Answers commands; counts the attempts of each action type."""

    def __init__(self, answers: Mapping[str, Json]) -> None:
        self._answers = answers
        self._asked: Counter[str] = Counter()
        self.unanswered: list[Action] = []  # awaited, and the story says nothing of them

    def outcome(self, command: Action, now_us: int) -> Due:
        """Carry a command out: give its one final result, and when it comes."""
        at_us, attempts = now_us, 0
        while True:
            attempts += 1
            answer = self._answer(command)
            if not isinstance(answer, str):
                return Due(at_us, _result(command, at_us, attempts, answer))
            again_us = at_us + _wait_us(command.retry, attempts)
            if not _tried_again(command, answer, attempts, again_us - now_us):
                return Due(at_us, _failed(command, at_us, attempts, answer))
            at_us = again_us

    def _answer(self, command: Action) -> Json:
        if command.type not in self._answers:
            if command.awaited:
                self.unanswered.append(command)
            return {}
        given = self._answers[command.type]
        if not isinstance(given, list):
            return given
        at = min(self._asked[command.type], len(given) - 1)
        self._asked[command.type] += 1
        return given[at] if given else {}


def withdrawn(due: Due, command: Action, now_us: int) -> Due:
    """Take a command back: what waited for another attempt is cancelled now, what is on its way comes as it would."""
    if due.result.attempts <= 1:
        return due
    return Due(now_us, _result(command, now_us, 1, None, status="cancelled", code="cancelled"))


def _wait_us(retry: Retry, attempts: int) -> int:
    return int(min(retry.most_us, retry.wait_us * retry.factor ** (attempts - 1)))


def _tried_again(command: Action, code: str, attempts: int, since_us: int) -> bool:
    within_us = min(command.notafter, command.timeout or command.notafter)
    return code in command.retry.codes and attempts < command.retry.attempts and since_us <= within_us


def _failed(command: Action, at_us: int, attempts: int, code: str) -> Result:
    if code == UNKNOWN:
        return _result(command, at_us, attempts, None, status="unknown", code=code)
    return _result(command, at_us, attempts, None, status="cancelled" if code == "cancelled" else "failed", code=code)


def _result(
    command: Action, at_us: int, attempts: int, data: Json, *, status: str = "delivered", code: str | None = None
) -> Result:
    return Result(
        action=command.id,
        execution=command.subject,
        tenant=command.tenant,
        flow=command.flow,
        step=command.step,
        type=command.type,
        connector=CONNECTOR,
        status=status,  # type: ignore[arg-type]
        attempts=attempts,
        at=at_us,
        wall=at_us,
        awaited=command.awaited,
        code=code,
        error=None if code is None else f"the test answers {code}",
        data=data,
    )
