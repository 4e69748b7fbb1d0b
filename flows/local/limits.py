"""Limits of the reference runner: a start begins, waits its turn, or is turned away, by the one admission point of all starts.

Reads: executions as they start and end. Emits: executions that wait in a queue or begin. State: one admission point for the
whole run, over a store that knows nothing. The engine's own way through it is operators/turn/limited.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, assert_never

import msgspec

from flows.local.execution import LocalExecution
from operators.advance.advance import Advanced, Moment, admit, command, enqueue, move, start
from operators.advance.queued import UNASKED, skip, turn_away
from operators.execution.execution import Queueing
from operators.triggers.admission import QUEUE_MOST, Admission, Admitted, Refused, Scope, Verdict, Waits, scopes
from operators.turn.limit_book import is_ending, place_of
from operators.turn.limited import BY_LIMIT, rank_of
from schemas.limits import Spent
from schemas.records import OperatorCommand

Book = Callable[[LocalExecution, Advanced | None, int], None]


class Unknown:
    """A store that knows of no limits: all that holds came in this run."""

    def holders(self, *_: Any, **__: Any) -> tuple[int, ...]:
        """Give nobody."""
        return ()

    held = holders

    def queued(self, *_: Any, **__: Any) -> tuple[tuple[int, int], ...]:
        """Give nobody."""
        return ()

    def queue_length(self, *_: Any, **__: Any) -> int:
        """Count nobody."""
        return 0

    def spent(self, *_: Any, **__: Any) -> Spent | None:
        """Give nothing."""
        return None


@dataclass(slots=True)
class LocalLimits:
    """The admission point of one run, and who came to it. `drop` is told of starts that are not to be, and why."""

    book: Book
    moment: Callable[[LocalExecution, int], Moment]
    later: Callable[[Callable[[], None]], None]  # does something behind what is done now
    drop: Callable[[LocalExecution, str], None]
    point: Admission = field(default_factory=lambda: Admission(Unknown()))
    _rows: dict[int, LocalExecution] = field(default_factory=dict)

    def start(self, one: LocalExecution, env: Mapping[str, Any], now_us: int) -> None:
        """Start an execution of a flow that has limits."""
        program = one.runnable.program
        self._rows[one.row] = one
        wanted, rank = scopes(program, one.tenant, env), rank_of(program, one.cause.source)
        match self._verdict(one, wanted, rank, now_us):
            case Admitted():
                self.point.enter(one.row, wanted, now_us)
                self.book(one, start(one.runnable, one.tenant, one.id, one.cause, env, now_us), now_us)
            case Waits() as waits if self.point.length(waits.key) < QUEUE_MOST:
                moment = Moment(one.runnable, one.tenant, one.id, None, now_us)
                self.book(one, enqueue(moment, one.cause, env, self._place(one, waits, wanted, rank)), now_us)
            case Waits(key):
                self.drop(one, f"{QUEUE_MOST} wait for its {_kind(wanted, key)} already")
            case Refused(limit) if limit not in program.limits:
                self.book(one, skip(Moment(one.runnable, one.tenant, one.id, None, now_us), one.cause, env), now_us)
            case Refused(limit):
                self.drop(one, f"its {limit.kind} limit of {limit.most} is reached, and what is over is dropped")
            case other:
                assert_never(other)

    def ask_again(self, one: LocalExecution, place: Queueing, now_us: int) -> None:
        """Let the time come for which an execution was kept waiting."""
        if self.point.first(place.key) == (place.rank, one.row):
            self._next_of(place.key, now_us)
        else:
            self.book(one, move(self.moment(one, now_us), msgspec.structs.replace(place, due_us=None)), now_us)

    def follow(self, one: LocalExecution, before: Queueing | None, advanced: Advanced, now_us: int) -> None:
        """Take in that an execution has come into a queue, has left one, or has ended."""
        self._rows[one.row] = one
        after = place_of(one.state)
        if before is not None and before.key != UNASKED and (after is None or after.key != before.key):
            self.point.dequeue(one.row, before.key, before.rank)
            self.later(partial(self._next_of, before.key, now_us))
        if after is not None and after.key == UNASKED:
            self.later(partial(self._ask_first, one, now_us))
        elif after is not None and (before is None or after.key != before.key):
            self.point.enqueue(one.row, after.key, after.rank)
        if advanced.ended is not None:
            for key in self.point.leave(one.row):
                self.later(partial(self._next_of, key, now_us))

    def _next_of(self, key: int, now_us: int) -> None:
        first = self.point.first(key)
        one = None if first is None else self._rows[first[1]]
        place = None if one is None else place_of(one.state)
        if one is not None and place is not None:
            self._let_begin(one, place, now_us, queued=True)

    def _ask_first(self, one: LocalExecution, now_us: int) -> None:
        place = place_of(one.state)
        if place is not None:
            rank = rank_of(one.runnable.program, one.cause.source)
            self._let_begin(one, msgspec.structs.replace(place, rank=rank), now_us, queued=False)

    def _let_begin(self, one: LocalExecution, place: Queueing, now_us: int, *, queued: bool) -> None:
        assert one.state is not None
        wanted = scopes(one.runnable.program, one.tenant, one.state.env)
        moment = self.moment(one, now_us)
        match self._verdict(one, wanted, place.rank, now_us, queued=queued):
            case Admitted():
                self.point.enter(one.row, wanted, now_us)
                one.started_us = now_us
                self.book(one, admit(moment), now_us)
            case Waits() as waits:
                moved = self._place(one, waits, wanted, place.rank)
                if moved != place:
                    self.book(one, move(moment, moved), now_us)
            case Refused(limit):
                self.book(one, turn_away(moment, f"its {limit.kind} limit of {limit.most} is reached"), now_us)
            case other:
                assert_never(other)

    def _verdict(
        self, one: LocalExecution, wanted: tuple[Scope, ...], rank: int, now_us: int, *, queued: bool = False
    ) -> Verdict:
        verdict = self.point.ask(wanted, now_us, rank, queued=queued)
        if not isinstance(verdict, Admitted) or not verdict.cancel:
            return verdict
        for other in (self._rows[row] for row in verdict.cancel if row != one.row):
            if not is_ending(other.state):
                order = OperatorCommand(command="cancel", tenant=other.tenant, execution=other.id.hex(), by=BY_LIMIT, at=now_us)
                self.book(other, command(self.moment(other, now_us), order), now_us)
        again = self.point.ask(wanted, now_us, rank, queued=True)
        if isinstance(again, Admitted) and again.cancel:
            return Waits(next(scope.key for scope in wanted if scope.limit.over == "cancel_running"), None)
        return again

    def _place(self, one: LocalExecution, waits: Waits, wanted: tuple[Scope, ...], rank: int) -> Queueing:
        first = self.point.first(waits.key)
        watches = first is None or (rank, one.row) <= first
        return Queueing(waits.key, rank, _kind(wanted, waits.key), waits.until_us if watches else None)


def _kind(wanted: tuple[Scope, ...], key: int) -> str:
    return next(one.limit.kind for one in wanted if one.key == key)
