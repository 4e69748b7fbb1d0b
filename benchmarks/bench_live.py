"""What do a million executions cost that live for weeks? Memory, a restart, and whether the last hour is as fast as the first.

They wait as executions do: for a time, for an event with their key, for a person, for the outcome of a command, for their turn
in a queue, and for the absence of an event; six flows a tenant. Then hours go by, as many executions beginning as ending in
each, so that a million stay alive while the files grow. What ends is drawn from all that live. At last the engine is killed and
started again: `restart_s` is from its start to the first command of an event that came meanwhile, `restart_cold_s` the same with
nothing of its file in the page cache. `last_to_first` compares executions a second of the last hours with the first,
`last_to_first_cpu` the same by the CPU time of the engine: other work on the machine hardly shows in it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.home import Home
from benchmarks.live_load import Cases, Ends, contracts, flows, mixed
from benchmarks.measure import Options, Spread, finish, parse_options, scratch, significant
from benchmarks.running import Commands, Roles, running
from benchmarks.workload import Size
from infra.dispatch_store import DispatchFile
from infra.embedded_log import last_seq
from schemas.dispatch import DispatchCommit
from schemas.ports import Append
from schemas.records import encode
from schemas.topics import DECISIONS, INGRESS_FILE, RESULTS, dispatcher_file, engine_file, partition_of

DUE_US: Final = 1_000_000  # the delays of an hour end this long after they were sent
EDGE: Final = 0.15  # the share of all hours that counts as the first, and as the last
DEADLINE_S: Final = 120.0
MEGABYTE: Final = 1 << 20
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """How many live, in how many steps they are begun, and how many hours of how many executions follow."""

    live: int
    steps: int
    hours: int
    hourly: int
    tenants: int


class Hour(NamedTuple):
    """What an hour took: executions that began, wall and CPU seconds of the engine."""

    begun: int
    seconds: float
    cpu_s: float


class Answers:
    """Stands where a dispatcher stands: tells the outcomes of commands, in its file."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.path / dispatcher_file(0)
        self._store = DispatchFile(self._path)

    def give(self, ends: Ends) -> None:
        """Tell what ends cases but for events: outcomes and decisions."""
        results = [Append(RESULTS, self._partition(one.tenant), [encode(one)]) for one in ends.results]
        self._store.commit(DispatchCommit(time.time_ns() // 1000, emitted=_joined(results)))
        decided = [Append(DECISIONS, self._partition(one.tenant), [encode(one)]) for one in ends.decisions]
        self._home.append_records(_joined(decided))

    def seq(self) -> int:
        """Give the last pack sequence of the file."""
        return last_seq(self._path)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def _partition(self, tenant: str) -> int:
        return partition_of(tenant, self._home.partitions)


class Life:
    """One engine over one home, and what was sent to it."""

    def __init__(self, home: Home, load: Load, seed: int) -> None:
        self.home, self.load = home, load
        self.cases = Cases(load.tenants, seed)
        self.answers = Answers(home)
        self.commands = Commands(home.path)

    def close(self) -> None:
        """Let go of all files."""
        self.commands.close()
        self.answers.close()

    def fill(self, roles: Roles) -> list[Hour]:
        """Begin all that shall live."""
        each = self.load.live // self.load.steps
        return [self._fill_step(roles, each, step) for step in range(self.load.steps)]

    def _fill_step(self, roles: Roles, count: int, step: int) -> Hour:
        frames = self.home.encode_rows(self.cases.begin(count))
        taken = self._take(roles, count, lambda: self.home.append(frames))
        _tell(f"begun {self.cases.count:,}", taken, roles, step, self.load.steps)
        return taken

    def hours(self, roles: Roles) -> list[Hour]:
        """Let hours go by: what begins and what ends are as many."""
        return [self._hour(roles, number) for number in range(self.load.hours)]

    def _hour(self, roles: Roles, number: int) -> Hour:
        count = self.load.hourly
        ends = self.cases.end(count)  # before others begin: who ends has lived for an hour or more
        begun = self.cases.begin(count, time.time_ns() // 1000 + DUE_US)
        frames = self.home.encode_rows(mixed(begun, ends.events))

        def append() -> None:
            self.answers.give(ends)
            self.home.append(frames)

        taken = self._take(roles, count, append)
        _tell(f"hour {number + 1}, {self.cases.live:,} live", taken, roles, number, self.load.hours)
        return taken

    def _take(self, roles: Roles, count: int, append: Callable[[], object]) -> Hour:
        """Append, and wait until the engine has done all of it and every command is in the log."""
        started_s, cpu_s = time.monotonic(), engine_cpu_s(roles)
        append()
        self.settle(roles)
        return Hour(count, time.monotonic() - started_s, engine_cpu_s(roles) - cpu_s)

    def settle(self, roles: Roles) -> None:
        """Wait until everything that was sent has been worked on."""
        wanted = {INGRESS_FILE: self.home.seq(), dispatcher_file(0): self.answers.seq()}

        def done() -> bool:
            while self.commands.poll():
                pass
            status = roles.status("engine")
            read = status is not None and status.idle and all(status.read.get(file, 0) >= seq for file, seq in wanted.items())
            return read and self.commands.count >= self.cases.commands

        roles.wait(done, f"{self.cases.commands} commands, {self.commands.count} seen", DEADLINE_S)
        if self.commands.count != self.cases.commands:
            raise AssertionError(f"{self.commands.count} commands, {self.cases.commands} expected")

    def restart(self) -> float:
        """Kill the engine; give the seconds from its next start to the command of an event that came meanwhile."""
        self.home.append(self.home.encode_rows(self.cases.begin(6, 1)))  # one is a delay that has been due since 1970
        started_s = time.monotonic()
        with running(self.home.path, "engine") as roles:
            while self.commands.count < self.cases.commands:
                roles.look(0.001)
                self.commands.poll()
                if time.monotonic() - started_s > DEADLINE_S:
                    raise TimeoutError(f"no command within {DEADLINE_S:.0f} s of the restart; {roles.status('engine')}")
            seconds = time.monotonic() - started_s
            self.settle(roles)
            live = engine_waiting(roles)
            if live != self.cases.live:
                raise AssertionError(f"{live} executions live after the restart, {self.cases.live} were to")
            kill(roles)
        return seconds


def engine_cpu_s(roles: Roles) -> float:
    """Give the CPU time of the engine's process so far, all its threads."""
    status = roles.status("engine")
    fields = Path(f"/proc/{status.pid if status else 'self'}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def engine_waiting(roles: Roles) -> int:
    """Give how many executions the engine says live."""
    status = roles.status("engine")
    return -1 if status is None else status.counts["waiting"]


def kill(roles: Roles) -> None:
    """End the engine as a loss of power ends it: nothing is finished."""
    status = roles.status("engine")
    if status is not None:
        os.kill(status.pid, signal.SIGKILL)


def forget_pages(folder: Path) -> None:
    """Let the kernel forget what it holds of files, so that a start reads them from the disk."""
    for path in folder.glob("*.db*"):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def last_to_first(hours: Sequence[Hour], seconds: Callable[[Hour], float]) -> float:
    """Compare executions a second of the last hours with the first; the very first warms up."""
    edge = max(1, round(len(hours) * EDGE))
    counted = hours[1:] or hours
    first, last = (
        Spread(tuple(hour.begun / seconds(hour) for hour in part)).median for part in (counted[:edge], counted[-edge:])
    )
    return round(last / first, 3)


def measure(load: Load, options: Options) -> dict[str, Any]:
    """Run it all once over one home."""
    with scratch() as folder, Home(Path(folder), Size(load.tenants * 6, load.tenants, 6), contracts()) as home:
        home.deploy_documents(list(flows(load.tenants)))
        with running(home.path, "engine") as roles:
            roles.wait_idle("engine", INGRESS_FILE, home.seq())
            life = Life(home, load, options.seed)
            filled = life.fill(roles)
            hours = life.hours(roles)
            peak_mb = roles.peak_mb("engine")
            kill(roles)
        warm_s = life.restart()
        forget_pages(home.path)
        cold_s = life.restart()
        life.close()
        sizes = {path.name: path.stat().st_size / MEGABYTE for path in home.path.glob("*.db*")}
    rates = Spread(tuple(hour.begun / hour.seconds for hour in hours))
    return {
        "rss_mb": round(peak_mb),
        "restart_s": round(warm_s, 2),
        "restart_cold_s": round(cold_s, 2),
        "last_to_first": last_to_first(hours, lambda hour: hour.seconds),
        "last_to_first_cpu": last_to_first(hours, lambda hour: hour.cpu_s),
        "executions_per_s": significant(rates.median),
        "cpu_us_an_execution": round(1e6 * sum(hour.cpu_s for hour in hours) / sum(hour.begun for hour in hours), 1),
        "fill_per_s": significant(load.live / sum(step.seconds for step in filled)),
        "fill_last_to_first_cpu": last_to_first(filled, lambda hour: hour.cpu_s),
        "disk_mb": round(sum(sizes.values())),
        "engine_file_mb": round(sum(size for name, size in sizes.items() if name.startswith(engine_file(0)))),
        "p50_ms": None,
        "p99_ms": None,
        "peak_mb": round(peak_mb),
        "spread": {"executions_per_s": rates.line()},
    }


def _joined(appends: Sequence[Append]) -> list[Append]:
    """Join records of one partition."""
    joined: dict[tuple[str, int], list[bytes]] = {}
    for topic, partition, records in appends:
        joined.setdefault((topic, partition), []).extend(records)
    return [Append(topic, partition, records) for (topic, partition), records in joined.items()]


def _tell(what: str, taken: Hour, roles: Roles, number: int, of: int) -> None:
    """Show how far it is, on stderr."""
    rate = f"{taken.begun / taken.seconds:,.0f}/s, {1e6 * taken.cpu_s / taken.begun:.1f} µs of CPU each"
    print(f"[{number + 1}/{of}] {what}: {rate}, {roles.peak_mb('engine'):.0f} MB", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print one JSON line."""
    options = parse_options(__doc__ or "")
    load = Load(1_200, 2, 3, 300, 4) if options.tiny else Load(1_000_000, 20, 20, 50_000, 200)
    if not options.tiny and (asked := os.environ.get("MILLRACE_LIVE")):
        live = int(asked)
        load = Load(live, 10, 10, max(6, live // 20), max(1, min(200, live // 1_000)))
    words = {"live": load.live, "hours": load.hours, "hourly": load.hourly, "tenants": load.tenants, "flows": load.tenants * 6}
    finish("live", options, words, measure(load, options))


if __name__ == "__main__":
    main()
