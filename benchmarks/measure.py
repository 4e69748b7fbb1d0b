"""What every benchmark shares: its options, repeated runs with their spread, memory, yardsticks, and the JSON line it ends with.

A line is printed last on stdout and, unless the run was tiny, appended to benchmarks/results/<bench>.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.yardsticks import full_commits_per_s, join_rows_per_s

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
LIBRARIES: Final = ("apsw", "bytewax", "duckdb", "polars", "pyarrow", "msgspec", "dbos", "zen-engine")
RUNS: Final = 5
YARDSTICK_SECONDS: Final = 1.0
KILOBYTE: Final = 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How a benchmark was asked to run."""

    tiny: bool
    peers: bool
    runs: int
    seed: int


def parse_options(description: str) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tiny", action="store_true", help="so small that it only shows that it works; nothing is kept")
    parser.add_argument("--peers", action="store_true", help="run the peers too (pip install -r requirements/bench.txt)")
    parser.add_argument("--runs", type=int, default=None, help=f"how often; {RUNS}, tiny: 1")
    parser.add_argument("--seed", type=int, default=7, help="of the workload")
    asked = parser.parse_args()
    return Options(asked.tiny, asked.peers, asked.runs or (1 if asked.tiny else RUNS), asked.seed)


@dataclass(frozen=True, slots=True)
class Spread:
    """The runs of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Give the middle run."""
        return statistics.median(self.values)

    def line(self) -> dict[str, float]:
        """Give the least, the middle and the most, and (most - least) / middle."""
        low, middle, high = min(self.values), self.median, max(self.values)
        return {
            "min": significant(low),
            "median": significant(middle),
            "max": significant(high),
            "spread": round((high - low) / middle, 3) if middle else 0.0,
        }


def repeat(once: Callable[[], float], runs: int, *, warm_up: bool = True) -> Spread:
    """Measure several times; the first call warms up and does not count."""
    if warm_up:
        once()
    return Spread(tuple(once() for _ in range(runs)))


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value that `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1))]


def peak_memory_mb(pid: int | None = None) -> float:
    """Give the most resident memory so far of a process (this one by default), in 2^20 bytes."""
    status = Path(f"/proc/{pid or 'self'}/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / KILOBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTE


def significant(value: float) -> float:
    """Round to four digits that matter."""
    return float(f"{value:.4g}")


def scratch() -> AbstractContextManager[str]:
    """Make a folder for one run, on the disk that MILLRACE_BENCH_DIR or TMPDIR names."""
    return tempfile.TemporaryDirectory(prefix="millrace-bench-", dir=os.environ.get("MILLRACE_BENCH_DIR"))


def yardsticks(options: Options) -> dict[str, float]:
    """Measure the limits of this machine."""
    with scratch() as folder:
        commits = full_commits_per_s(Path(folder), 0.05 if options.tiny else YARDSTICK_SECONDS)
    rows = join_rows_per_s(20_000) if options.tiny else max(join_rows_per_s() for _ in range(3))
    return {"sqlite_full_commits_per_s": round(commits), "polars_join_rows_per_s": significant(rows)}


def finish(bench: str, options: Options, workload: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Print the one JSON line and keep it."""
    line = {
        "bench": bench,
        **figures,
        "workload": {**workload, "seed": options.seed, "runs": options.runs, "tiny": options.tiny},
        "yardsticks": yardsticks(options),
        "commit": _commit(),
        "versions": _versions(),
        "machine": f"{platform.machine()} {os.cpu_count()} cores",
    }
    text = json.dumps(line, ensure_ascii=False)
    if not options.tiny:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{bench}.jsonl").open("a") as file:
            file.write(text + "\n")
    print(text)


def run_peer(module: str, *arguments: str) -> dict[str, Any]:
    """Run a peer in a process of its own; give the JSON object of its last line."""
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peer failed: {' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _commit() -> str:
    """Name the commit; a mark behind it says that files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _versions() -> dict[str, str]:
    """Give the versions of Python and of the libraries that are there."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
