"""The projector role: shows in DuckDB what happened, and answers queries beside it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from flows.engine.careful import Careful
from flows.roles.process import RoleOptions, RoleProcess, begin
from flows.roles.retention import Telling
from infra.clock import SystemClock
from infra.file_reader import FileReader
from schemas.errors import FileReplaced, HomeLocked, StateTooNew, StorageFailed
from schemas.ports import Clock
from schemas.topics import CONTROL, INGRESS_FILE, dispatcher_file, engine_file
from sinks.projection.projector import Guard, Projector, ProjectorSettings, reads
from sinks.projection.query_socket import FILE, QueryServer
from sinks.projection.upkeep import Upkeep
from sinks.projection.views_file import ViewsFile

NOT_A_ROWS_FAULT: Final = (FileReplaced, HomeLocked, StateTooNew, StorageFailed)
CAREFUL_FILE: Final = "views.starts"
COMMIT_EVERY_US: Final = 100_000  # more often, the cost of commits shows; more seldom, the age of views
OPEN_WAIT_US: Final = 5_000_000  # a query without `up` holds the file for as long as it runs
LOOK_US: Final = 20_000


def build_projector(
    home: Path, file: ViewsFile, settings: ProjectorSettings, clock: Clock, guard: Guard | None = None
) -> Projector:
    """Read a home's files from the positions that the views have reached; views made anew show what retention has left."""
    progress = file.progress()
    files = (INGRESS_FILE, engine_file(0), dispatcher_file(0))
    readers = [FileReader(home / name, reads, progress.positions, from_first=True).expecting(progress.sources) for name in files]
    projector = Projector(file, readers, clock, settings, guard)
    control = FileReader(home / INGRESS_FILE, CONTROL.__eq__, {}).expecting(progress.sources)
    projector.learn_contracts(control)
    control.close()
    return projector


def run(options: RoleOptions) -> None:
    """Project a home until told to stop; leaves a snapshot behind."""
    process = begin("projector", options)
    clock = SystemClock()
    with ExitStack() as opened:
        file = _open(options.home / FILE, clock)
        opened.callback(file.close)
        opened.callback(QueryServer(options.home, file.cursor, lambda: file.as_of_us).close)
        upkeep = Upkeep(file, clock)
        opened.callback(upkeep.close)
        settings = ProjectorSettings(options.clock, options.default_tenant)
        careful = Careful(options.home / CAREFUL_FILE, file.progress().ord)
        projector = build_projector(options.home, file, settings, clock, careful)
        try:
            _work(process, projector, upkeep, Telling(options.home, clock), clock)
        except NOT_A_ROWS_FAULT:
            careful.close()
            raise
        careful.close()  # not behind other errors: they are deaths


def _work(process: RoleProcess, projector: Projector, upkeep: Upkeep, telling: Telling, clock: Clock) -> None:
    while not process.stopping:
        telling.tick(projector.positions)
        started_us, poison = clock.now_us(), projector.poison
        if projector.step():
            upkeep.changed()
        idle = projector.idle
        counts = {"rows": projector.rows, "poison": projector.poison}
        process.report(
            idle=idle, read=projector.places, counts=counts, lag_us=projector.lag_us, at_once=projector.poison > poison
        )
        upkeep.tick()
        if idle:
            clock.sleep_us(started_us + COMMIT_EVERY_US - clock.now_us())
    upkeep.finish()


def _open(path: Path, clock: Clock) -> ViewsFile:
    """Open the views; a query that has the file open is waited for."""
    give_up_us = clock.now_us() + OPEN_WAIT_US
    while True:
        try:
            return ViewsFile(path)
        except HomeLocked:
            if clock.now_us() >= give_up_us:
                raise
            clock.sleep_us(LOOK_US)
