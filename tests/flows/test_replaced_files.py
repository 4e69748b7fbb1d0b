"""A log file that was made anew is not read on from the old positions: its reader stops and says what to do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from flows.engine.settings import EngineSettings
from flows.roles.dispatcher import DispatcherSettings, build_dispatcher
from flows.roles.engine import build_engine, open_store
from flows.roles.projector import build_projector
from infra.clock import SystemClock
from infra.dispatch_store import DispatchFile
from infra.embedded_log import IngressLog
from infra.sqlite import open_writer
from schemas.errors import FileReplaced
from schemas.ports import Append
from schemas.topics import COMMANDS, INGRESS_FILE, RESULTS, actions_topic, dispatcher_file, engine_file
from sinks.projection.projector import ProjectorSettings
from sinks.projection.query_socket import FILE
from sinks.projection.views_file import ViewsFile

ENGINE, DISPATCHER = engine_file(0), dispatcher_file(0)
TOPICS = {INGRESS_FILE: ("crm.events", COMMANDS), ENGINE: (actions_topic("file"),), DISPATCHER: (RESULTS,)}


def write(home: Path, file: str, count: int) -> None:
    with closing(IngressLog(home / file)) as log:
        log.append([Append(topic, 0, [b"{"] * count) for topic in TOPICS[file]], SystemClock().now_us())


class Reading(Protocol):
    def __call__(self, home: Path) -> dict[str, str]:
        """Read all there is and commit; give the stored incarnations."""
        ...


def engine(home: Path) -> dict[str, str]:
    with closing(build_engine(home, EngineSettings())) as reading:
        while reading.step():
            pass
    with closing(open_store(home)) as store:
        return dict(store.meta().sources)


def dispatcher(home: Path) -> dict[str, str]:
    with closing(build_dispatcher(home, DispatcherSettings())) as reading:
        reading.step()
        while not reading.idle:
            reading.step()
    with closing(DispatchFile(home / DISPATCHER)) as store:
        return store.sources()


def projector(home: Path) -> dict[str, str]:
    with closing(ViewsFile(home / FILE)) as file:
        reading = build_projector(home, file, ProjectorSettings(), SystemClock())
        while reading.step():
            pass
        return dict(file.progress().sources)


READINGS = [
    (engine, INGRESS_FILE),
    (engine, DISPATCHER),
    (dispatcher, ENGINE),
    (dispatcher, INGRESS_FILE),
    (projector, INGRESS_FILE),
    (projector, ENGINE),
    (projector, DISPATCHER),
]


@pytest.mark.parametrize(("reading", "file"), READINGS)
def test_a_file_made_anew_stops_its_reader_and_the_old_one_lets_it_go_on(tmp_path: Path, reading: Reading, file: str) -> None:
    write(tmp_path, file, 5)
    assert file in reading(tmp_path)
    put_away = tmp_path / "old"
    (tmp_path / file).rename(put_away)
    write(tmp_path, file, 8)
    for _ in range(2):
        with pytest.raises(FileReplaced, match=f"{file}: this file was made anew(.|\n)*put the old file back"):
            reading(tmp_path)
    for left in tmp_path.glob(f"{file}*"):
        left.unlink()
    put_away.rename(tmp_path / file)
    write(tmp_path, file, 1)
    assert file in reading(tmp_path)


def _forget_table(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        connection.execute("drop table sources")


OLDER: list[tuple[Reading, str, str]] = [
    (engine, INGRESS_FILE, ENGINE),
    (dispatcher, ENGINE, DISPATCHER),
]


@pytest.mark.parametrize(("reading", "file", "own"), OLDER)
def test_a_file_of_an_older_version_learns_its_sources_with_the_next_records(
    tmp_path: Path, reading: Reading, file: str, own: str
) -> None:
    write(tmp_path, file, 5)
    known = reading(tmp_path)
    _forget_table(tmp_path / own)
    assert reading(tmp_path) == {}
    write(tmp_path, file, 1)
    assert reading(tmp_path) == known
