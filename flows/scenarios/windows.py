"""The window of one trigger in a story: events of each key in order of time, judged when nothing earlier can come any more.

Time is that of the events: it stands at the latest of them, less the lateness, and runs on with the clock while no event comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from schemas.expression.rows import compile_row
from schemas.expression.walk import keys
from schemas.ids import key_text
from schemas.program import Measure, Window

NEVER: Final = -(1 << 61)


class Verdict(NamedTuple):
    """A window that starts its flow: the cause of the event that ends it, and its measures."""

    cause: Any  # as it was taken in
    measures: dict[str, Any]


class _Held(NamedTuple):
    time_us: int
    env: Mapping[str, Any]
    cause: Any


def window_keys(window: Window) -> frozenset[str]:
    """Name what a window reads of an event."""
    trees = [window.key, window.when, *(one.value for one in window.measures)]
    found = frozenset(key for tree in trees if tree is not None for key in keys(tree))
    return frozenset(key for key in found if not key.startswith(("window.", "policies.")))


@dataclass
class WindowBook:
    """All windows of one trigger."""

    window: Window
    _watermark: int = NEVER
    _arrived: int = NEVER
    _passed: int = NEVER
    _pending: list[tuple[str, _Held]] = field(default_factory=list)
    _contents: dict[str, list[_Held]] = field(default_factory=dict)

    def take(self, cause: Any, env: Mapping[str, Any], time_us: int, now_us: int) -> Iterator[Verdict]:
        """Take an event in, by its values and its time; give what it decides. One that comes too late decides nothing."""
        key = key_text(compile_row(self.window.key)(env))
        if time_us > self._watermark:
            self._watermark, self._arrived = time_us, now_us
        if key is not None and time_us >= self._passed:
            self._pending.append((key, _Held(time_us, env, cause)))
        yield from self._pass(self._watermark - self.window.lateness_us)

    def due_us(self) -> int | None:
        """Give the time of the clock at which something is decided next though no event comes."""
        moments = [held.time_us for _, held in self._pending]
        if self.window.fire == "close":
            moments += [end for end in self._ends() if end > self._passed]
        lag_us = self._arrived + self.window.lateness_us - self._watermark
        return min((moment + lag_us for moment in moments), default=None)

    def pass_clock(self, now_us: int) -> Iterator[Verdict]:
        """Let the clock run on to a time."""
        yield from self._pass(self._watermark + now_us - self._arrived - self.window.lateness_us)

    def _pass(self, to_us: int) -> Iterator[Verdict]:
        before, self._passed = self._passed, max(self._passed, to_us)
        ready = sorted((one for one in self._pending if one[1].time_us <= self._passed), key=lambda one: one[1].time_us)
        self._pending = [one for one in self._pending if one[1].time_us > self._passed]
        for key, held in ready:
            contents = self._contents.setdefault(key, [])
            contents.append(held)
            if self.window.fire != "close":
                yield from self._judged(contents)
        if self.window.fire == "close":
            yield from self._closed(before)

    def _judged(self, contents: list[_Held]) -> Iterator[Verdict]:
        window = self._current(contents)
        after, before = self._measures(window), self._measures(window[:-1])
        env = window[-1].env
        if self._holds({**env, **after}) and not (self.window.fire == "crossing" and self._holds({**env, **before})):
            yield Verdict(window[-1].cause, after)

    def _closed(self, before: int) -> Iterator[Verdict]:
        for contents in self._contents.values():
            for window in self._windows(contents):
                measures = self._measures(window)
                if before < self._end(window[-1]) <= self._passed and self._holds({**window[-1].env, **measures}):
                    yield Verdict(window[-1].cause, measures)

    def _ends(self) -> Iterator[int]:
        for contents in self._contents.values():
            yield from (self._end(window[-1]) for window in self._windows(contents))

    def _current(self, contents: list[_Held]) -> list[_Held]:
        if self.window.kind == "sliding":
            return [one for one in contents if one.time_us > contents[-1].time_us - self.window.size_us]
        return list(self._windows(contents))[-1]

    def _windows(self, contents: Sequence[_Held]) -> Iterator[list[_Held]]:
        current: list[_Held] = []
        for held in contents:
            if current and held.time_us >= self._end(current[-1]):
                yield current
                current = []
            current.append(held)
        if current:
            yield current

    def _end(self, held: _Held) -> int:
        size_us = self.window.size_us
        return held.time_us + size_us if self.window.kind == "session" else (held.time_us // size_us + 1) * size_us

    def _measures(self, window: Sequence[_Held]) -> dict[str, Any]:
        return {f"window.{one.name}": _measure(one, [held.env for held in window]) for one in self.window.measures}

    def _holds(self, env: Mapping[str, Any]) -> bool:
        return self.window.when is None or compile_row(self.window.when)(env) is True


def _measure(measure: Measure, envs: Sequence[Mapping[str, Any]]) -> Any:
    if measure.value is None:
        return len(envs)
    values = [value for value in map(compile_row(measure.value), envs) if value is not None]
    match measure.kind:
        case "count":
            return len(values)
        case "sum":
            return sum(values, Decimal(0)) if measure.type.name in ("money", "decimal") else sum(values)
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "distinct":
            return len(set(values))
        case "mean":
            return round(Decimal(sum(values)) / len(values), 9) if values else None
