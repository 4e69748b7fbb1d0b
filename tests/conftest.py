"""What all tests share: one printed seed, seconds per folder, free ports, and the real data sets."""

from __future__ import annotations

import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import QUICK, examples

ROOT = Path(__file__).resolve().parent.parent
DATASETS_VARIABLE = "MILLRACE_DATASETS"
DATASETS = {
    "crm_sales": ("accounts.csv", "products.csv", "sales_pipeline.csv", "sales_teams.csv"),
    "incident_uci498": ("incident_event_log.csv.gz",),
    "online_retail": ("online_retail_2010_2011_positive_qty.csv.gz", "online_retail_II_2009_2010.csv.gz"),
    "scms_delivery": ("SCMS_Delivery_History_Dataset.csv.gz",),
}
NO_DATASETS = f"the real data sets are not here: set {DATASETS_VARIABLE} to the folder that holds {', '.join(DATASETS)}"

_seed = int(os.environ.get("MILLRACE_SEED") or secrets.randbelow(1 << 32))
_seconds: defaultdict[str, float] = defaultdict(float)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give hypothesis its profile, and the seed that the header prints, unless the command line names one."""
    if config.option.markexpr == "not slow":
        os.environ[QUICK] = "1"
    slow = [HealthCheck.too_slow]
    settings.register_profile("millrace", deadline=None, print_blob=True, suppress_health_check=slow, max_examples=examples(100))
    settings.load_profile("millrace")
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(_seed)


def pytest_report_header() -> str:
    """Print the seed that repeats this run."""
    return f"seed: {_seed} (repeat with MILLRACE_SEED={_seed})"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that read data sets where there are none, with one loud line at the end."""
    if os.environ.get(DATASETS_VARIABLE):
        return
    skipped = [item for item in items if item.get_closest_marker("data")]
    for item in skipped:
        item.add_marker(pytest.mark.skip(reason=NO_DATASETS))
    config.stash[_without_data] = len(skipped)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose data sets are promised by the environment and not there."""
    marker = item.get_closest_marker("data")
    folder = os.environ.get(DATASETS_VARIABLE)
    if marker is None or not folder:
        return
    missing = [str(path) for path in _wanted(Path(folder), marker.args) if not path.is_file()]
    if missing:
        pytest.fail(f"{DATASETS_VARIABLE}={folder} is set and incomplete: {', '.join(missing)} not there", pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of each folder."""
    parts = Path(report.location[0]).parts
    _seconds[parts[1] if len(parts) > 2 else "."] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the time went, the seed, and what was left out for want of data."""
    if len(_seconds) > 1:
        terminalreporter.section("seconds per folder")
        for folder, seconds in sorted(_seconds.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{seconds:8.1f}  tests/{folder}")
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"seed: {_seed} (repeat with MILLRACE_SEED={_seed})")
    left_out = config.stash.get(_without_data, 0)
    if left_out:
        terminalreporter.section(f"{left_out} TESTS SKIPPED: {NO_DATASETS}", sep="!", red=True, bold=True)


@pytest.fixture(scope="session")
def seed() -> int:
    """Give the seed of this run."""
    return _seed


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Give the folder of the real data sets; for tests marked `data`."""
    return Path(os.environ[DATASETS_VARIABLE])


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """Give a function that finds ports of 127.0.0.1 that nobody listens on, no one twice."""
    held: list[socket.socket] = []

    def find() -> int:
        probe = socket.socket()
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        held.append(probe)  # bound, not listening: a server with SO_REUSEADDR may take it, another probe cannot
        return int(probe.getsockname()[1])

    yield find
    for probe in held:
        probe.close()


_without_data = pytest.StashKey[int]()


def _wanted(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """List the files of the named data sets; all of them where none is named."""
    return [folder / name / file for name in names or tuple(DATASETS) for file in DATASETS[name]]
