"""Run every folder of tests/ in its own pytest, one after the other; say what each took and close with one line for all.

A folder has a process to itself, so one that leaks threads, warnings or environment cannot spoil the next.
Exit code: 0 if all passed, 1 otherwise. Arguments go on to each pytest.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = ("project", "schemas")  # the quick ones that explain the failures of others
LAST = ("benchmarks", "engines", "simulation", "chaos")
NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one folder came to: counts by pytest's words, and the wall time."""

    folder: str
    exit_code: int
    counts: Counter[str]
    seconds: float


def folders() -> list[Path]:
    """Give the folders that hold tests, the quick ones first and the long ones last."""
    found = {path.parent for path in (ROOT / "tests").glob("*/**/test_*.py")}
    tops = {ROOT / "tests" / path.relative_to(ROOT / "tests").parts[0] for path in found}
    return sorted(tops, key=lambda path: (_place(path.name), path.name))


def run(folder: Path, arguments: list[str]) -> Outcome:
    """Run one folder; its output goes straight through."""
    print(f"\n── {folder.relative_to(ROOT)} ──", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", str(folder), f"--junitxml={report}", *arguments]
        exit_code = subprocess.run(command, cwd=ROOT, check=False).returncode
        counts = _counts(report) if report.exists() else Counter(errors=1)
    return Outcome(folder.name, exit_code, counts, time.monotonic() - started)


def main() -> int:
    """Run all folders and sum up."""
    os.environ.setdefault("MILLRACE_SEED", str(secrets.randbelow(1 << 32)))
    outcomes = [run(folder, sys.argv[1:]) for folder in folders()]
    bad = [outcome for outcome in outcomes if outcome.exit_code not in (0, NO_TESTS)]
    print("\nseconds per folder")
    for outcome in outcomes:
        mark = "  FAILED" if outcome in bad else ""
        print(f"{outcome.seconds:8.1f}  tests/{outcome.folder:<14} {_words(outcome.counts)}{mark}")
    total: Counter[str] = sum((outcome.counts for outcome in outcomes), Counter())
    seconds = sum(outcome.seconds for outcome in outcomes)
    print(f"seed {os.environ['MILLRACE_SEED']} (MILLRACE_SEED)")
    print(f"=== {_words(total)} in {seconds:.2f}s{' · FAILED: ' + ', '.join(o.folder for o in bad) if bad else ''} ===")
    return 1 if bad or not outcomes else 0


def _place(name: str) -> int:
    """Order a folder: the first ones, all others, the last ones."""
    if name in FIRST:
        return FIRST.index(name) - len(FIRST)
    return LAST.index(name) + 1 if name in LAST else 0


def _counts(report: Path) -> Counter[str]:
    """Read pytest's JUnit file."""
    counts: Counter[str] = Counter()
    for suite in ET.parse(report).getroot().iter("testsuite"):
        failed, errors, skipped = (int(suite.get(name, "0")) for name in ("failures", "errors", "skipped"))
        counts.update(failed=failed, errors=errors, skipped=skipped)
        counts.update(passed=int(suite.get("tests", "0")) - failed - errors - skipped)
    return counts


def _words(counts: Counter[str]) -> str:
    """Say counts as pytest does."""
    said = [f"{counts[name]} {name}" for name in ("failed", "passed", "skipped", "errors") if counts[name]]
    return ", ".join(said) or "no tests ran"


if __name__ == "__main__":
    sys.exit(main())
