"""`python -m tests.simulation --seeds 2000` runs many seeds; `--seed N` runs one again, with its whole error."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from typing import Final

from tests.simulation.columns_met import missing, table
from tests.simulation.many import Outcome, fresh_seed, run_many
from tests.simulation.run import SeedFailed
from tests.simulation.seeds import run_any

ENOUGH: Final = 800  # so many seeds meet everything


def main() -> int:
    """Run and report; 1 if anything failed, or if a column of the coverage is zero."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one again")
    parser.add_argument("--seeds", type=int, default=200, help="how many to run")
    parser.add_argument("--base", type=int, help="the first of them; a fresh one by default")
    parser.add_argument("--jobs", type=int, help="processes; one a core by default")
    given = parser.parse_args()
    if given.seed is not None:
        return _one(given.seed)
    base = given.base if given.base is not None else fresh_seed(os.environ.get("MILLRACE_SEED"))
    started_s = time.monotonic()
    say(f"simulation: {given.seeds} seeds from {base} on")
    outcome = run_many(base, given.seeds, None, given.jobs)
    say(report(outcome, time.monotonic() - started_s))
    return 1 if outcome.failures or (outcome.seeds >= ENOUGH and missing(outcome.coverage)) else 0


def report(outcome: Outcome, wall_s: float) -> str:
    """Say what was run, what it met, and what failed."""
    rate = outcome.seeds / outcome.cpu_s if outcome.cpu_s else 0.0
    lines = [
        table(outcome.coverage),
        f"{outcome.seeds} seeds in {outcome.cpu_s:.0f} CPU seconds ({rate:.2f} a second), {wall_s:.0f} s",
        *(f"never met: {column}" for column in missing(outcome.coverage)),
        *outcome.failures,
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    """Write lines where a person sees them at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _one(seed: int) -> int:
    coverage: Counter[str] = Counter()
    try:
        run_any(seed, coverage)
    except SeedFailed as failure:
        traceback.print_exception(failure.__cause__)
        say(str(failure))
        return 1
    say(f"seed {seed} holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
