"""The projector role: shows in DuckDB what happened, and answers queries beside it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows.engine.careful import Careful
from flows.roles.mending import Mending
from flows.roles.process import RoleOptions, RoleProcess, begin
from flows.roles.retention import Telling
from infra.clock import SystemClock
from infra.file_reader import FileReader
from schemas.errors import Fatal, FileReplaced, HomeLocked, StateTooNew, StorageFailed
from schemas.ports import Clock
from schemas.topics import CONTROL, INGRESS_FILE, dispatcher_file, engine_file
from sinks.projection.damage import ViewsDamaged
from sinks.projection.projector import Guard, Projector, ProjectorSettings, reads
from sinks.projection.query_socket import FILE, QueryServer
from sinks.projection.upkeep import Upkeep
from sinks.projection.views_file import ViewsFile

NOT_A_ROWS_FAULT: Final = (FileReplaced, HomeLocked, StateTooNew, StorageFailed)
CAREFUL_FILE: Final = "views.starts"
COMMIT_EVERY_US: Final = 100_000  # more often, the cost of commits shows; more seldom, the age of views
OPEN_WAIT_US: Final = 5_000_000  # a query without `up` holds the file for as long as it runs
LOOK_US: Final = 20_000
REPORT_S: Final = 0.25


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
    """Project a home until told to stop; leaves a snapshot behind. What is damaged is set aside and made again."""
    process = begin("projector", options)
    clock = SystemClock()
    mending = Mending(options.home, clock)
    with ExitStack() as opened:
        file = _open(options.home / FILE, clock, mending, process)
        opened.callback(file.close)
        questions = QueryServer(options.home, file.cursor, lambda: file.as_of_us)
        opened.callback(questions.close)
        upkeep = Upkeep(file, clock)
        opened.callback(upkeep.close)
        settings = ProjectorSettings(options.clock, options.default_tenant)
        careful = Careful(options.home / CAREFUL_FILE, file.progress().ord)
        projector = build_projector(options.home, file, settings, clock, careful)
        beside = _Beside(upkeep, Telling(options.home, clock), questions, mending)
        try:
            _work(process, projector, beside, clock)
        except NOT_A_ROWS_FAULT as error:
            careful.close()
            if (damage := _damage(error, upkeep)) is not None:
                mending.want(str(damage))
            raise
        careful.close()  # not behind other errors: they are deaths


def _damage(error: Fatal, upkeep: Upkeep) -> ViewsDamaged | None:
    """Give the damage that a failure came from: after a merge that found it, a commit says only that DuckDB has stopped."""
    if isinstance(error, ViewsDamaged):
        return error
    upkeep.close()
    return upkeep.damage


@dataclass(frozen=True, slots=True)
class _Beside:
    """What goes on beside the projector's own work."""

    upkeep: Upkeep
    telling: Telling
    questions: QueryServer
    mending: Mending


def _work(process: RoleProcess, projector: Projector, beside: _Beside, clock: Clock) -> None:
    while not process.stopping:
        beside.telling.tick(projector.positions)
        started_us, poison = clock.now_us(), projector.poison
        if projector.step():
            beside.upkeep.changed()
        idle = projector.idle
        counts = {"rows": projector.rows, "poison": projector.poison}
        process.report(
            idle=idle, read=projector.places, counts=counts, lag_us=projector.lag_us, at_once=projector.poison > poison
        )
        beside.upkeep.tick()
        if beside.questions.damage:
            raise ViewsDamaged(beside.questions.damage)
        if idle:
            beside.mending.caught_up()
            clock.sleep_us(started_us + COMMIT_EVERY_US - clock.now_us())
    beside.upkeep.finish()


def _open(path: Path, clock: Clock, mending: Mending, process: RoleProcess) -> ViewsFile:
    """Open the views; a query that has the file open is waited for, and damage is mended."""
    give_up_us = clock.now_us() + OPEN_WAIT_US
    while True:
        try:
            if mending.wanted:
                _beside_reports(mending.mend, process)
            return _opened(path, mending)
        except HomeLocked:
            if clock.now_us() >= give_up_us:
                raise
            clock.sleep_us(LOOK_US)
        except ViewsDamaged as damage:
            mending.want(str(damage))  # raises where it comes too often: this ends


def _opened(path: Path, mending: Mending) -> ViewsFile:
    file = ViewsFile(path)
    try:
        mending.opened(anew=not file.progress().positions)
    except BaseException:
        file.close()
        raise
    return file


def _beside_reports(work: Callable[[], None], process: RoleProcess) -> None:
    """Do what may take minutes, and go on telling that this process lives: a silent one is killed."""
    with ThreadPoolExecutor(1) as beside:
        done = beside.submit(work)
        while not done.done():
            process.report(idle=False, read={}, counts={})
            wait((done,), REPORT_S)
        done.result()
