"""The workload of the benchmarks is what it says it is, and the peers that are installed see the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import measure, workload
from benchmarks.peers import flow_loop

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 2_000
BENCH_EXTRA = "pip install --require-hashes -r requirements/bench.txt"


def test_the_same_seed_draws_the_same_events() -> None:
    first, second = (list(workload.draw(workload.TINY, 50, seed=3).rows(workload.TINY)) for _ in range(2))
    assert first == second
    assert list(workload.draw(workload.TINY, 50, seed=4).rows(workload.TINY)) != first


def test_every_event_matches_one_range() -> None:
    events = list(workload.draw(workload.TINY, EVENTS, seed=3).rows(workload.TINY))
    found = workload.expected(workload.partition_flows(workload.TINY), events)
    assert sorted(event for event, _ in found) == sorted(event["id"] for event in events)


@pytest.mark.parametrize("flows", [workload.rare_flows(workload.TINY, 0.05), workload.few_flows(workload.TINY, 0.05)])
def test_rare_flows_match_their_share(flows: list[workload.Flow]) -> None:
    events = list(workload.draw(workload.TINY, 20 * EVENTS, seed=3).rows(workload.TINY))
    assert len(workload.expected(flows, events)) / len(events) == pytest.approx(0.05, rel=0.15)


def test_the_naive_peers_find_what_is_expected() -> None:
    flows = workload.rare_flows(workload.TINY, 0.3)
    events = list(workload.draw(workload.TINY, EVENTS, seed=3).rows(workload.TINY))
    found = workload.expected(flows, events)
    assert found
    assert set(flow_loop.scan(flows, events)) == found
    assert set(flow_loop.indexed(flows, events)) == found


@pytest.mark.skipif(find_spec("zen") is None, reason=f"zen-engine is not installed: {BENCH_EXTRA}")
def test_zen_finds_what_is_expected() -> None:
    small = ["--flows", "40", "--tenants", "5", "--types", "4", "--events", "500", "--share", "0.3"]
    assert measure.run_peer("zen_peer", *small)["events_per_s"] > 0  # the peer compares its answers itself


@pytest.mark.skipif(find_spec("dbos") is None, reason=f"dbos is not installed: {BENCH_EXTRA}")
def test_dbos_runs_the_automation(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/dbos.sqlite"
    assert measure.run_peer("dbos_peer", "--url", database, "--workflows", "5")["workflows_per_s"] > 0


def test_quantiles_are_of_the_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [measure.quantile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert measure.quantile([7.0], 0.5) == 7.0


def test_a_peer_that_fails_says_so() -> None:
    with pytest.raises(RuntimeError, match="the peer failed"):
        measure.run_peer("flow_loop", "--no-such-option")


def test_options_name_every_switch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.measure import parse_options; print(parse_options('x'))", "--tiny", "--peers"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tiny=True, peers=True, runs=1" in done.stdout
    assert json.dumps(measure.Spread((1.0, 2.0, 3.0)).line()) == '{"min": 1.0, "median": 2.0, "max": 3.0, "spread": 1.0}'
