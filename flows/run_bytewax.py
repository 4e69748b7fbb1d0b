"""The default engine: the stages of a turn as a Bytewax dataflow of one worker. The only door to bytewax.

Promise: one batch is in flight at a time, for one worker drives source and sink in turn (the engine asserts it). Bytewax's
recovery is not used: the turn's own commit is the recovery. Exceptions do not cross Bytewax (it panics with forty lines of
Rust), so each stage keeps its own, the source ends, and the error is raised again behind the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from flows.engine.engine import Engine
from flows.engine.work import Done, Taken
from schemas.errors import BrokenInvariant

_AWAKE: Final = timedelta(milliseconds=1)
_DROWSY: Final = timedelta(milliseconds=5)
_DROWSY_AFTER: Final = 200  # empty looks at the inputs


@dataclass(slots=True)
class _Failure:
    """What a stage raised; everything behind it lets its items fall."""

    error: BaseException | None = None


class _Source(StatelessSourcePartition[Taken]):
    def __init__(self, engine: Engine, more: Callable[[], bool], failure: _Failure) -> None:
        self._engine = engine
        self._more = more
        self._failure = failure
        self._empty = 0

    def next_batch(self) -> Iterable[Taken]:
        if self._failure.error is not None or not _guard(self._failure, lambda _: self._more())(None):
            raise StopIteration
        taken = _guard(self._failure, lambda _: self._engine.take())(None)
        self._empty = 0 if taken else self._empty + 1
        return [taken] if taken else []

    def next_awake(self) -> datetime | None:
        if self._empty == 0:
            return None
        return datetime.now(UTC) + (_DROWSY if self._empty > _DROWSY_AFTER else _AWAKE)  # noqa: TID251 - bytewax asks for a date


class _DynamicSource(DynamicSource[Taken]):
    def __init__(self, engine: Engine, more: Callable[[], bool], failure: _Failure) -> None:
        self._parts = (engine, more, failure)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Source:
        del step_id, worker_index
        if worker_count != 1:
            raise BrokenInvariant(f"the engine runs on one worker, not {worker_count}; start more engines with own shards")
        return _Source(*self._parts)


class _Sink(StatelessSinkPartition[Done]):
    def __init__(self, committed: Callable[[Done], None]) -> None:
        self._committed = committed

    def write_batch(self, items: list[Done]) -> None:
        for item in items:
            self._committed(item)


class _DynamicSink(DynamicSink[Done]):
    def __init__(self, committed: Callable[[Done], None]) -> None:
        self._committed = committed

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Sink:
        del step_id, worker_index, worker_count
        return _Sink(self._committed)


def make_dataflow(engine: Engine, more: Callable[[], bool], committed: Callable[[Done], None], failure: Any) -> Dataflow:
    """Lay out input → decode → match → join → advance → commit; each is a step over one batch."""
    flow = Dataflow("millrace")
    stream: Any = op.input("input", flow, _DynamicSource(engine, more, failure))
    for name, stage in (
        ("decode", engine.decode),
        ("match", engine.match),
        ("join", engine.join),
        ("advance", engine.advance),
    ):
        stream = op.filter_map(name, stream, _guard(failure, stage))
    op.output("commit", stream, _DynamicSink(_guard(failure, committed)))
    return flow


def run(engine: Engine, more: Callable[[], bool], committed: Callable[[Done], None]) -> None:
    """Run turns while `more()` says so; raise what a stage raised, with nothing of its turn committed."""
    failure = _Failure()
    run_main(make_dataflow(engine, more, committed, failure), epoch_interval=timedelta(days=1))  # type: ignore[no-untyped-call]
    if failure.error is not None:
        raise failure.error


def _guard(failure: _Failure, stage: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def guarded(item: Any) -> Any:
        if failure.error is not None:
            return None
        try:
            return stage(item)
        except BaseException as error:  # noqa: BLE001 - kept whole and raised again outside Bytewax
            failure.error = error
            return None

    return guarded
