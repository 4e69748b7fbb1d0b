"""How fresh are the views, and at what intake? From the append of an event to its row being seen by a query.

Engine and projector run; events are appended at a fixed rate while `select count(*) from events` is asked through the projector's
socket, again and again. An event counts from the moment at which it was due to be appended to the first answer that has it. The
intake is raised until the backlog grows; at the highest rate with a flat one it is held for 30 s and measured.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from benchmarks import workload
from benchmarks.beside import beside
from benchmarks.home import Frames, Home
from benchmarks.measure import Options, Spread, finish, parse_options, quantile, scratch, significant
from benchmarks.running import Roles, running
from infra.clock import SystemClock
from schemas.topics import INGRESS_FILE
from sinks.projection.query import Question
from sinks.projection.query_socket import QueryClient

RATES: Final = (5_000, 10_000, 15_000, 20_000, 30_000, 40_000, 60_000)
BEAT_S: Final = 0.02
ASK_EVERY_S: Final = 0.02
GROWTH_S: Final = 0.25  # a backlog that grows by less than what comes in in this time is flat
SETTLE_S: Final = 60.0
PROBE_S: Final = 6.0
HOLD_S: Final = 30.0
TINY: Final = (500, 0.6)  # events a second, seconds; kept up with or not
QUESTION: Final = Question("select count(*) as n from events")


@dataclass(slots=True)
class Answers:
    """Asks in a thread of its own how many events are visible: (monotonic seconds, count), rising."""

    home: Path
    seen: list[tuple[float, int]] = field(default_factory=list)

    @contextmanager
    def on(self) -> Iterator[Answers]:
        """Ask while the body runs."""
        with beside("answers", self._run):
            yield self

    @property
    def count(self) -> int:
        """Give the last count."""
        return self.seen[-1][1] if self.seen else 0

    def _run(self, stop: threading.Event) -> None:
        client = QueryClient(self.home, SystemClock())
        while not stop.wait(ASK_EVERY_S):
            ((count,),) = client.ask(QUESTION).values()
            self.seen.append((time.monotonic(), int(count)))


@dataclass(frozen=True, slots=True)
class Held:
    """One rate, held for a while: freshness of each batch in ms, and how the backlog grew in seconds of intake."""

    rate: int
    freshness_ms: list[float]
    growth_s: float

    @property
    def flat(self) -> bool:
        """Tell whether the views kept up."""
        return self.growth_s < GROWTH_S


class Source:
    """Endless events at a rate: a block of frames, over and over, with other ids each time."""

    def __init__(self, home: Home, block: Frames, each: int) -> None:
        self._home = home
        self._blocks = (home.renamed(block, run) for run in count())
        self._each = each
        self._left: list[tuple[int, bytes]] = []
        self._at = 0
        self.count = 0

    def append(self, events: int) -> None:
        """Append so many events in one transaction."""
        while len(self._left) - self._at < events:
            self._left, self._at = [*self._left[self._at :], *next(self._blocks)], 0
        part = self._left[self._at : self._at + events]
        self._at += events
        self._home.append(part)
        self.count += events


def hold(source: Source, answers: Answers, roles: Roles, rate: int, seconds: float) -> Held:
    """Append at a rate for some time, wait until all is visible, and compare what was sent with what was seen when."""
    each = round(rate * BEAT_S)
    started_s = time.monotonic() + BEAT_S
    sent = [(started_s - BEAT_S, source.count)]  # when it was due, events up to and with it
    for number in range(round(seconds / BEAT_S)):
        due_s = started_s + number * BEAT_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        source.append(each)
        sent.append((due_s, source.count))
        if number % 10 == 0:
            roles.look()
    ended_s = time.monotonic()
    roles.wait(lambda: answers.count >= source.count, f"all events visible at {rate}/s", SETTLE_S)
    times, counts = zip(*answers.seen, strict=True)
    freshness_ms = [(times[bisect_left(counts, upto)] - due_s) * 1000 for due_s, upto in sent[1:]]
    third = (ended_s - started_s) / 3
    backlog = [(at_s, _sent_by(sent, at_s) - count) for at_s, count in answers.seen if started_s <= at_s <= ended_s]
    early = fmean([0, *(size for at_s, size in backlog if at_s <= started_s + third)])
    late = fmean([0, *(size for at_s, size in backlog if at_s >= ended_s - third)])
    return Held(rate, freshness_ms, (late - early) / rate)


def measure(options: Options) -> dict[str, Any]:
    """Raise the rate until the backlog grows, then hold the last flat one."""
    size = workload.TINY if options.tiny else workload.FULL
    with scratch() as folder, Home(Path(folder), size) as home:
        home.deploy(workload.rare_flows(size, 0.01))
        block = home.encode(workload.draw(size, 1_000 if options.tiny else 100_000, options.seed))
        with running(home.path, "engine", "projector") as roles, Answers(home.path).on() as answers:
            roles.wait_idle("projector", INGRESS_FILE, home.seq())
            source = Source(home, block, len(block))
            held = hold(source, answers, roles, *TINY) if options.tiny else _highest(source, answers, roles)
            peak_mb = max(roles.peak_mb("engine"), roles.peak_mb("projector"))
    return {
        "freshness_p99_ms": round(quantile(held.freshness_ms, 0.99), 1),
        "events_per_s": held.rate,
        "p50_ms": round(quantile(held.freshness_ms, 0.5), 1),
        "p99_ms": round(quantile(held.freshness_ms, 0.99), 1),
        "backlog_growth_s": significant(held.growth_s),
        "held_s": TINY[1] if options.tiny else HOLD_S,
        "peak_mb": round(peak_mb),
        "spread": {"freshness_ms": Spread(tuple(held.freshness_ms)).line()},
    }


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size = workload.TINY if options.tiny else workload.FULL
    finish("views", options, {"flows": size.flows, "tenants": size.tenants, "share": 0.01, "homes": 1}, measure(options))


def _highest(source: Source, answers: Answers, roles: Roles) -> Held:
    """Raise the rate up to the first that the views do not keep up with, then hold what was flat, the highest rate first."""
    flat = takewhile(lambda rate: hold(source, answers, roles, rate, PROBE_S).flat, RATES)
    for rate in reversed(list(flat)):
        held = hold(source, answers, roles, rate, HOLD_S)
        if held.flat:
            return held
    raise RuntimeError(f"the backlog grows at {RATES[0]} events/s already")


def _sent_by(sent: list[tuple[float, int]], at_s: float) -> int:
    """Give the events that were due by a time."""
    place = bisect_left(sent, (at_s, 0))
    return sent[max(0, place - 1)][1]


if __name__ == "__main__":
    main()
