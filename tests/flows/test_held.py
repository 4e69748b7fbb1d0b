"""A command whose record is lost holds the event clock for good: engine, doctor and `up --until-idle` say so."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.engine.settings import EngineSettings
from flows.roles.dispatcher import DispatcherSettings, build_dispatcher
from flows.roles.engine import build_engine
from flows.roles.process import RoleStatus
from flows.up.held import STILL_S, ClockHeld, HeldWatch
from infra.executions import count_by_status
from infra.log_tables import day_table
from infra.sqlite import open_writer, rows, value
from infra.unanswered import unanswered
from schemas.topics import dispatcher_file, engine_file

FLOW = """
flow: remind
trigger: {event: deal.closed}
steps:
  - {action: notify, with: {}}
  - delay: 2d
  - {action: notify, with: {}}
"""
CONTRACT = "event: deal.closed\ntopic: crm.events\nfields: {n: int}\n---\naction: notify\nparams: {}\n"
EVENT = {"id": "1", "source": "s", "type": "deal.closed", "time": "2026-05-28T20:26:40Z", "tenant": "acme", "data": {"n": 1}}
EVENTS = EngineSettings("events")


def millrace(home: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)], catch_exceptions=False)
    return result.exit_code, result.stdout + result.stderr


def run_engine(home: Path) -> bool:
    """Work off what there is; tell whether the engine is held."""
    with closing(build_engine(home, EVENTS)) as engine:
        while engine.step():
            pass
        assert engine.idle()
        return engine.held


def run_dispatcher(home: Path) -> None:
    with closing(build_dispatcher(home, DispatcherSettings("events"))) as dispatcher:
        while not dispatcher.idle:
            dispatcher.step(1_000)


def damage_actions(home: Path) -> None:
    with closing(open_writer(home / engine_file(0))) as connection:
        [day] = [day for (day,) in rows(connection, "select day from log_days")]
        connection.execute(
            f"update {day_table(day)} set pack = x'00' where topic in (select id from log_topics where name like 'actions.%')"
        )


def filled(home: Path, flow: str = FLOW) -> Path:
    files = {"remind.yaml": flow, "deal.yaml": CONTRACT, "event.jsonl": json.dumps(EVENT) + "\n"}
    sources = home / "sources"
    sources.mkdir()
    for name, text in files.items():
        (sources / name).write_text(text)
    for arguments in (
        ("deploy", str(sources / "remind.yaml"), str(sources / "deal.yaml")),
        ("send", "--topic", "crm.events", str(sources / "event.jsonl")),
    ):
        code, said = millrace(home / "home", *arguments)
        assert code == 0, said
    return home / "home"


def test_a_lost_command_is_named_and_one_on_its_way_is_not(tmp_path: Path) -> None:
    home = filled(tmp_path)
    assert run_engine(home)  # the command is on its way
    assert unanswered(home / engine_file(0), home / dispatcher_file(0)) == 0
    damage_actions(home)
    run_dispatcher(home)
    assert run_engine(home)
    assert unanswered(home / engine_file(0), home / dispatcher_file(0)) == 1
    code, said = millrace(home, "doctor")
    assert code == 1
    assert "1 will never have an outcome" in said
    assert "1 executions wait" in said


def test_a_lost_command_is_settled_and_the_clock_goes_on(tmp_path: Path) -> None:
    home = filled(tmp_path)
    assert run_engine(home)
    code, said = millrace(home, "doctor", "--settle")
    assert code == 0
    assert "nothing to settle" in said  # it is on its way
    damage_actions(home)
    run_dispatcher(home)
    with closing(build_engine(home, EVENTS)):
        code, said = millrace(home, "doctor", "--settle")
        assert code == 1
        assert "stop it" in said
    assert run_engine(home)
    code, said = millrace(home, "doctor", "--settle")
    assert "settled: 1 command that can never have an outcome no longer holds the clock" in " ".join(said.split())
    assert "all have an outcome" in said
    assert code == 1  # the file is damaged still
    run_engine(home)
    assert count_by_status(home / engine_file(0)) == {"completed": 1}  # two days went by, and the second command went out
    run_dispatcher(home)
    assert not run_engine(home)
    assert unanswered(home / engine_file(0), home / dispatcher_file(0)) == 0


def test_a_clock_that_is_not_held_goes_on(tmp_path: Path) -> None:
    home = filled(tmp_path)
    for _ in range(3):
        run_engine(home)
        run_dispatcher(home)
    assert not run_engine(home)
    assert unanswered(home / engine_file(0), home / dispatcher_file(0)) == 0


def test_until_idle_ends_where_nothing_can_move_any_more(tmp_path: Path) -> None:
    counts = {"held": 1, "waiting": 7, "open_actions": 2}
    engine = RoleStatus("engine", 1, False, {}, counts)
    idle = {role: RoleStatus(role, 2, True, {}, {}) for role in ("server", "dispatcher", "projector")}
    busy = {**idle, "dispatcher": RoleStatus("dispatcher", 2, False, {}, {})}
    watch = HeldWatch(tmp_path)
    for at_s in (0.0, STILL_S - 1):
        watch.look({**idle, "engine": engine}, at_s)
    watch.look({**busy, "engine": engine}, STILL_S)  # it moved: from the beginning again
    watch.look({**idle, "engine": engine}, STILL_S + 1)
    watch.look({**idle, "engine": engine}, 2 * STILL_S)
    with pytest.raises(ClockHeld, match=r"7 executions wait(.|\n)*for 2 commands there is no outcome"):
        watch.look({**idle, "engine": engine}, 2 * STILL_S + 1)


@pytest.mark.parametrize("settled", [False, True])
def test_the_cancel_of_a_lost_command_has_an_outcome(tmp_path: Path, settled: bool) -> None:
    awaiting = (
        "flow: remind\ntrigger: {event: deal.closed}\nsteps: [{action: notify, as: told, await: true, timeout: 1d, with: {}}]\n"
    )
    home = filled(tmp_path, awaiting)
    run_engine(home)
    damage_actions(home)
    run_dispatcher(home)
    if settled:
        assert "settled: 1 command" in " ".join(millrace(home, "doctor", "--settle")[1].split())
    assert count_by_status(home / engine_file(0)) == {"waiting": 1}
    (execution,) = (one.hex() for one in executions(home))
    code, said = millrace(home, "executions", "cancel", execution, "--tenant", "acme")
    assert code == 0, said
    run_engine(home)
    run_dispatcher(home)
    run_engine(home)
    assert count_by_status(home / engine_file(0)) == {"cancelled": 1}
    with closing(open_writer(home / engine_file(0))) as connection:
        assert value(connection, "select open_actions from engine") == 0


def executions(home: Path) -> list[bytes]:
    with closing(open_writer(home / engine_file(0))) as connection:
        return [identity for (identity,) in rows(connection, "select id from executions")]
