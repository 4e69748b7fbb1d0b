"""Fresh seeds of the simulation for a budget of CPU seconds (MILLRACE_SIMULATION_S, 240), and a report of what they met."""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from tests.simulation.__main__ import report, say
from tests.simulation.columns_met import missing
from tests.simulation.many import run_many
from tests.simulation.run import SeedFailed
from tests.simulation.seeds import run_any

BUDGET_S = float(os.environ.get("MILLRACE_SIMULATION_S", "240"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_seed_loses_doubles_or_strands_anything(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    started_s = time.monotonic()
    with capsys.disabled():
        say(f"\nsimulation: {BUDGET_S:.0f} CPU seconds of seeds from {seed} on")
        outcome = run_many(seed, None, BUDGET_S)
        say(report(outcome, time.monotonic() - started_s))
    assert not outcome.failures, "\n".join(outcome.failures)
    if BUDGET_S >= 120:  # a shorter run cannot meet everything
        assert not missing(outcome.coverage), f"never met: {', '.join(missing(outcome.coverage))}"


@pytest.mark.parametrize(("number", "family"), [(10, "seeds"), (11, "stories")])
def test_a_seed_repeats_itself(number: int, family: str) -> None:
    first, again = Counter[str](), Counter[str]()
    run_any(number, first)
    run_any(number, again)
    assert first == again
    assert first[family] == 1


def test_a_failing_seed_names_the_command_that_repeats_it() -> None:
    assert "python -m tests.simulation --seed 7" in str(SeedFailed(7, ValueError("broken")))
