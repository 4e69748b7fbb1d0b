"""Each benchmark runs, tiny, and ends with one JSON line that has its keys. Nothing here is about time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "match": ("events_per_s", "slowdown_from_10_flows", "times_per_flow_loop", "times_zen"),
    "automations": ("automations_per_s", "times_dbos"),
    "latency": ("p50_ms", "p99_ms"),
    "timers": ("restart_s", "rss_mb", "error_p99_ms", "insert_slowdown"),
    "views": ("freshness_p99_ms", "events_per_s"),
    "deploy": ("effective_ms", "missed", "doubled"),
    "compile": ("check_s", "one_ms"),
    "fairness": ("quiet_p99_ratio", "alone_p99_ms"),
    "steps": ("executions_per_s", "times_dbos"),
    "schedules": ("error_p99_ms", "preview_ms"),
    "live": ("rss_mb", "restart_s", "last_to_first", "last_to_first_cpu", "disk_mb"),
    "windows": ("events_per_s", "engine_events_per_s", "times_bytewax_windows"),
}
COMMON = ("bench", "workload", "versions", "commit", "p50_ms", "p99_ms", "peak_mb", "spread", "yardsticks")


def run_tiny(bench: str, folder: Path) -> dict[str, Any]:
    """Run a benchmark as a person does and read its last line."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"bench_{bench}.py"), "--tiny"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120, env=_environment(folder))
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("bench", KEYS)
def test_a_tiny_run_ends_with_its_keys(bench: str, tmp_path: Path) -> None:
    kept = ROOT / "benchmarks" / "results" / f"{bench}.jsonl"
    before = kept.read_bytes() if kept.exists() else b""
    line = run_tiny(bench, tmp_path)
    assert line["bench"] == bench
    assert [key for key in (*KEYS[bench], *COMMON) if key not in line] == []
    assert line["yardsticks"]["sqlite_full_commits_per_s"] > 0
    assert line["workload"]["tiny"] is True
    assert all(line[key] is None for key in KEYS[bench] if key.startswith("times_"))  # peers run only when asked for
    assert (kept.read_bytes() if kept.exists() else b"") == before  # a tiny run is not kept
    if bench == "deploy":
        assert (line["missed"], line["doubled"]) == (0, 0)


def test_every_benchmark_has_a_tiny_run() -> None:
    names = {path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py")}
    assert names == set(KEYS)


def _environment(folder: Path) -> dict[str, str]:
    """Give the tests' environment, with the homes of the benchmark in the test's folder."""
    return {**os.environ, "MILLRACE_BENCH_DIR": str(folder)}
