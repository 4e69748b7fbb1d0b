"""Which family a seed runs: even ones plain steps with their full oracle, odd ones the stories with every construct."""

from __future__ import annotations

from collections import Counter

from tests.simulation.run import run_seed
from tests.simulation.stories.live import run_story


def run_any(seed: int, coverage: Counter[str]) -> None:
    """Run a seed; raises SeedFailed."""
    (run_story if seed % 2 else run_seed)(seed, coverage)
