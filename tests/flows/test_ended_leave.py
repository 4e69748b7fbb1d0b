"""What has ended leaves the file of a running engine, and what begins again brings along what it needs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from flows.engine.engine import Engine
from flows.engine.settings import EngineSettings
from flows.roles.engine import build_engine, open_store
from infra.executions import Filter, list_executions
from infra.sqlite import open_reader, value
from schemas.topics import engine_file
from tests.flows.driving import LAB, deployed, sent, thing
from tests.laws.recorded import HandClock

FLOW = LAB.replace("steps:\n", "steps:\n  - delay: 2d\n")
EVENTS = EngineSettings("events")
DAY_US = 86_400_000_000


def _work(engine: Engine) -> None:
    while engine.step():
        pass


def _stored(home: Path) -> tuple[int, int]:
    """Count the executions and the programs in the file."""
    with closing(open_reader(home / engine_file(0))) as connection:
        counts: tuple[int, int] = value(connection, "select (select count(*) from executions), (select count(*) from programs)")
    return counts


def test_rows_and_programs_leave_a_running_engine_and_programs_come_back(tmp_path: Path) -> None:
    home, clock = deployed(tmp_path / "home", FLOW), HandClock()
    with closing(build_engine(home, EVENTS, clock=clock, store=open_store(home, ended_days=3))) as engine:
        sent(home, thing("first"))
        _work(engine)
        assert (engine.live, _stored(home)) == (0, (1, 1))  # it waited two days, so its program was stored
        clock.sleep_us(DAY_US)
        sent(home, {**thing("nobody"), "type": "thing.unknown"})
        _work(engine)
        assert _stored(home) == (1, 0)  # nobody runs it any more
        clock.sleep_us(4 * DAY_US)
        sent(home, thing("second"))  # its clock stands: the first one's command has no outcome
        _work(engine)
        assert (engine.live, _stored(home)) == (1, (1, 1))
        [row] = list_executions(home / engine_file(0), Filter())
        assert row.state is not None
    with closing(build_engine(home, EVENTS, clock=clock)) as engine:
        assert engine.live == 1
