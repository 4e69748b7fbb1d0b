"""The demo: the shipped path whole, from bytes in the log to HTTP calls, counted against the oracle (contracts.md section 13)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from flows.demo.feed import Feed
from flows.demo.generator import generate
from flows.demo.kills import Kills, plan_kills
from flows.demo.latency import count_commands, first_action_us, percentile_ms
from flows.demo.oracle import Expectation, Verdict, expect, judge
from flows.demo.place import RECORDER, deploy_catalogue, empty, refuse_foreign, running_recorder
from flows.demo.receipts import Receipts
from flows.deployment import open_ingress
from flows.up.display import Display, Frame
from flows.up.home import LOCK, IdleWatch, StopSignal, file_ends, locked_home, stop_signals
from flows.up.idle import READERS
from flows.up.supervisor import Supervisor, UpOptions
from infra.clock import SystemClock
from infra.embedded_log import last_seq
from infra.home import partitions_of
from schemas.errors import MillraceError
from schemas.topics import INGRESS_FILE, PARTITIONS
from sinks.ingress.client import Ingress
from sinks.projection.query import Question
from sinks.projection.query_socket import QueryClient

POLL_S: Final = 0.01
HOLD: Final = "demo"
LOG: Final = "roles.log"
STUCK_S: Final = 120.0  # nothing moved for so long: the demo ends and says what is not idle


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to run: where, how many records, the seed, and how many kills."""

    home: Path
    events: int = 50_000
    seed: int = 7
    crash: int = 0


class Counts(msgspec.Struct, frozen=True):
    """What `demo --json` prints."""

    events: int
    executions: int
    actions: int
    delivered: int
    redelivered: int
    dead_letters: int
    lost: int
    duplicated: int
    p50_ms: float
    p99_ms: float
    events_per_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """The counts, what they were judged by, and how the run went."""

    counts: Counts
    expected: Expectation
    verdict: Verdict
    seconds: float
    restarts: Mapping[str, int]
    kills: int

    @property
    def fine(self) -> bool:
        """Tell whether exactly what had to arrive arrived, and exactly what was malformed was set aside."""
        same = self.counts.dead_letters == self.expected.dead_letters and self.counts.executions == self.expected.executions
        return same and not self.verdict.lost and not self.verdict.duplicated


@dataclass(slots=True)
class _Run:
    """The parts of a demo that is running."""

    supervisor: Supervisor
    feed: Feed
    kills: Kills
    receipts: Receipts
    expected: Expectation
    read_share: float = 0.0
    read_all_s: float | None = None

    @property
    def share(self) -> float:
        """Give how much of the work is done: half of it is what the engine has read, half what was delivered."""
        wanted = max(1, self.expected.business.total())
        delivered = min(self.receipts.counts["accepted"], wanted) / wanted
        return (self.read_share + delivered) / 2

    def look(self) -> None:
        """See how far the engine and the deliveries are."""
        self.receipts.look()
        engine = self.supervisor.statuses["engine"]
        end = last_seq(self.supervisor.options.home / INGRESS_FILE)
        if engine is not None and end > 0:
            self.read_share = min(1.0, engine.read.get(INGRESS_FILE, 0) / end) * self.feed.sent / len(self.feed.records)
        if self.read_share == 1.0 and self.read_all_s is None:
            self.read_all_s = time.monotonic()


def run_demo(options: DemoOptions, display: Display) -> Report:
    """Run the demo in its folder. Raises MillraceError where it is interrupted or stuck, InvalidInput for a foreign folder."""
    started_s = time.monotonic()
    refuse_foreign(options.home)
    with locked_home(options.home) as home, stop_signals() as stop, display:
        empty(home, keep=f"{LOCK}.lock")
        display.note(f"making {options.events:,} records of 20 tenants, seed {options.seed}")
        records = generate(options.events, options.seed)
        with running_recorder(home, options.seed) as url, (home / LOG).open("a") as log:
            contracts = deploy_catalogue(home, url)
            feed = Feed(records, contracts, partitions_of(home / INGRESS_FILE) or PARTITIONS)
            supervisor = Supervisor(UpOptions(home, "events"), lambda role, line: _note(log, role, line))
            run = _Run(supervisor, feed, plan_kills(options.crash, options.seed), Receipts(home / RECORDER), expect(records))
            try:
                _await_server(run, stop, display)
                with open_ingress(home) as ingress:
                    _send_all(run, ingress, stop, display)
                _await_idle(run, stop, display)
            finally:
                supervisor.stop()
        return _report(run, home, time.monotonic() - started_s)


def _note(log: TextIO, role: str, line: str) -> None:
    log.write(f"{role}: {line}\n")
    log.flush()


def _await_server(run: _Run, stop: StopSignal, display: Display) -> None:
    """Let every role start before the first record comes, so that a start is not measured as latency."""
    while not all(run.supervisor.statuses.values()):
        _turn(run, stop, display, "starting")


def _send_all(run: _Run, ingress: Ingress, stop: StopSignal, display: Display) -> None:
    """Send everything while the event clock is held, so that it does not run ahead of records that are on their way."""
    ingress.hold(HOLD)
    while not run.feed.done:
        run.feed.send_due(ingress)
        _turn(run, stop, display, "sending")
    ingress.release(HOLD)


def _await_idle(run: _Run, stop: StopSignal, display: Display) -> None:
    watch = IdleWatch(run.supervisor.options.home)
    moved_s, last = time.monotonic(), run.supervisor.statuses
    while not (watch.look(run.supervisor) and run.kills.over):
        _turn(run, stop, display, "working off")
        if run.supervisor.statuses != last:
            moved_s, last = time.monotonic(), run.supervisor.statuses
        elif time.monotonic() - moved_s > STUCK_S:
            raise MillraceError(f"nothing has moved for {STUCK_S:.0f} s; {_stuck(run.supervisor)}")


def _turn(run: _Run, stop: StopSignal, display: Display, what: str) -> None:
    """Look after the roles for a moment, kill whom it is time to kill, and show where things are."""
    if stop.asked:
        raise MillraceError("interrupted; what is there so far stays in the folder")
    run.supervisor.poll(POLL_S)
    run.look()
    run.kills.strike(run.supervisor, run.share)
    display.show(_frame(run, what))


def _frame(run: _Run, what: str) -> Frame:
    counts: dict[str, Any] = dict(run.supervisor.counts)
    counts["dispatcher"] = {**counts["dispatcher"], "delivered": run.receipts.counts["accepted"]}
    lag_us = max((status.lag_us for status in run.supervisor.statuses.values() if status is not None), default=0)
    return Frame(f"demo: {what}", counts, lag_us, sum(run.supervisor.restarts.values()), run.share)


def _stuck(supervisor: Supervisor) -> str:
    ends = file_ends(supervisor.options.home)
    parts = []
    for role, status in supervisor.statuses.items():
        if status is None:
            parts.append(f"{role} does not speak")
            continue
        behind = [
            f"{file} at {status.read.get(file, 0)} of {ends[file]}"
            for file in READERS[role]
            if status.read.get(file, 0) < ends[file]
        ]
        parts.append(f"{role} is {'idle' if status.idle else 'busy'}" + (f", {', '.join(behind)}" if behind else ""))
    return "; ".join(parts)


def _report(run: _Run, home: Path, seconds: float) -> Report:
    run.receipts.look()
    verdict = judge(run.expected.business, run.receipts.business())
    latencies = first_action_us(home, run.feed.places, run.expected.at_once)
    started_s = run.feed.started_s or 0.0
    worked_s = (run.read_all_s or time.monotonic()) - started_s
    counts = Counts(
        events=run.feed.sent,
        executions=_count(home, "executions"),
        actions=count_commands(home),
        delivered=run.receipts.counts["accepted"],
        redelivered=run.receipts.counts["again"],
        dead_letters=_count(home, "dead_letters"),
        lost=verdict.lost,
        duplicated=verdict.duplicated,
        p50_ms=percentile_ms(latencies, 0.50),
        p99_ms=percentile_ms(latencies, 0.99),
        events_per_s=round(run.feed.sent / worked_s, 1),
    )
    return Report(counts, run.expected, verdict, seconds, run.supervisor.restarts, run.kills.done)


def _count(home: Path, view: str) -> int:
    answer = QueryClient(home, SystemClock()).ask(Question(f"select count(*) from {view}"))
    return int(answer.values()[0][0])
