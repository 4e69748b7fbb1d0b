"""How soon does a flow work that is deployed among 10,000 while events stream, and does the deploy lose or double any?

Server and engine run as under `up`; 2,000 events a second go in through the server's socket. Again and again a flow is deployed
through the same socket. `effective_ms` is from the call of deploy to the new flow's first command being seen in the log. Every
event of its type that was sent after deploy had answered must give one command of it (`missed`), and none two (`doubled`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import workload
from benchmarks.beside import beside
from benchmarks.home import Frames, Home
from benchmarks.measure import Options, Spread, finish, parse_options, quantile, scratch
from benchmarks.running import Roles, Watch, running
from benchmarks.workload import Flow, Size
from schemas.topics import INGRESS_FILE

RATE: Final = 2_000
BEAT_S: Final = 0.005
SETTLE_S: Final = 1.0  # events that are sent around each deploy
SECONDS_PER_DEPLOY: Final = 3


@dataclass(slots=True)
class Stream:
    """Sends events at a steady rate in a thread of its own; `sent_s[i]` is when the sending of event i began."""

    home: Home
    frames: Frames
    sent_s: list[float] = field(default_factory=list)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Send while the body runs."""
        with beside("stream", self._run):
            yield

    def _run(self, stop: threading.Event) -> None:
        each = max(1, round(RATE * BEAT_S))
        started_s = time.monotonic()
        with self.home.connected() as ingress:
            for start in range(0, len(self.frames), each):
                if stop.wait(max(0.0, started_s + start / RATE - time.monotonic())):
                    return
                part = self.frames[start : start + each]
                self.sent_s += [time.monotonic()] * len(part)
                self.home.send(ingress, part)


@dataclass(frozen=True, slots=True)
class Deploy:
    """One deploy: when it was called, when it had answered."""

    flow: Flow
    called_s: float
    answered_s: float


def measure(size: Size, deploys: int, options: Options) -> dict[str, Any]:
    """Deploy again and again under a stream; compare what came with what must come."""
    count = RATE * SECONDS_PER_DEPLOY * (deploys + 1)
    with scratch() as folder, Home(Path(folder), size) as home:
        home.deploy(workload.rare_flows(size, 0.01))
        events = workload.draw(size, count, options.seed)
        stream = Stream(home, home.encode(events))
        types = [workload.event_types(size.types)[kind] for kind in events.type.tolist()]
        seq = home.seq()
        home.let_go()
        with running(home.path, "server", "engine") as roles, Watch(home.path).on() as watch:
            roles.wait_idle("engine", INGRESS_FILE, seq)
            with stream.on():
                made = [_deploy(home, roles, watch, number) for number in range(deploys)]
                _pass(roles, SETTLE_S)
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            peak_mb = roles.peak_mb("engine")
            _pass(roles, 0.2)
    times, missed, doubled = [], 0, 0
    for deploy in made:
        arrived = [(seen_s, workload.index_of(event)) for seen_s, event, flow in watch.arrivals if flow == deploy.flow.name]
        hits = Counter(index for _, index in arrived)
        must = {
            index
            for index, sent_s in enumerate(stream.sent_s)
            if sent_s > deploy.answered_s and types[index] == deploy.flow.event
        }
        missed += len(must - hits.keys())
        doubled += sum(hit - 1 for hit in hits.values())
        times.append((arrived[0][0] - deploy.called_s) * 1000)
    return {
        "effective_ms": round(Spread(tuple(times)).median, 1),
        "answer_ms": round(Spread(tuple((one.answered_s - one.called_s) * 1000 for one in made)).median, 1),
        "missed": missed,
        "doubled": doubled,
        "p50_ms": round(quantile(times, 0.5), 1),
        "p99_ms": round(quantile(times, 0.99), 1),
        "peak_mb": round(peak_mb),
        "spread": {"effective_ms": Spread(tuple(times)).line()},
        "events_sent": len(stream.sent_s),
    }


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    size = workload.TINY if options.tiny else workload.FULL
    deploys = 2 if options.tiny else 2 * options.runs
    words = {"flows": size.flows, "tenants": size.tenants, "deploys": deploys, "events_per_s": RATE}
    finish("deploy", options, words, measure(size, deploys, options))


def _deploy(home: Home, roles: Roles, watch: Watch, number: int) -> Deploy:
    """Let events pass, deploy one flow for all tenants, and wait for its first command."""
    flow = Flow(f"newcomer_{number}", workload.ALL, workload.event_types(1)[0], (("value", ">=", 0),))
    _pass(roles, SETTLE_S)
    called_s = time.monotonic()
    with home.connected() as ingress:
        home.deploy_through(ingress, [flow.document()])
    answered_s = time.monotonic()
    roles.wait(lambda: any(name == flow.name for _, _, name in reversed(watch.arrivals)), f"{flow.name} works", deadline_s=30)
    return Deploy(flow, called_s, answered_s)


def _pass(roles: Roles, seconds: float) -> None:
    """Let time pass while the stream runs."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        roles.look(0.05)


if __name__ == "__main__":
    main()
