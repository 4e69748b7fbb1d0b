"""Commands that will never have an outcome: their engine waits for one, and nobody holds them any more.

A command is on its way while its dispatcher has not read it, holds it, or has told its outcome to an engine that has not read
that. What is missing beyond these was damaged or unreadable where the dispatcher met it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from infra import file_meta, positions
from infra.file_meta import FORMATS, Layout
from infra.lock import FileLock
from infra.log_ends import log_ends
from infra.sqlite import close, has_table, open_reader, open_writer, snapshot, transaction, value
from schemas.ports import Slot
from schemas.topics import ACTIONS_PREFIX, RESULTS


class _Dispatched(NamedTuple):
    """What a dispatcher's file says: how far it read, and how many commands it holds."""

    positions: Mapping[Slot, int]
    open: int


def unanswered(engine: Path, dispatcher: Path) -> int:
    """Count them. Right beside running roles too: the files are read in the order in which a command leaves them, so none is
    missed on its way (some may count twice)."""
    opened = _engine_side(engine)
    if not opened.open:
        return 0
    dispatched = _dispatcher_side(dispatcher)
    untold = _behind(dispatcher, opened.positions, RESULTS)
    unread = _behind(engine, dispatched.positions, ACTIONS_PREFIX)
    return max(0, opened.open - dispatched.open - untold - unread)


def settle(engine: Path, dispatcher: Path) -> int:
    """Count the commands that will never have an outcome as ended, for good; give their number.

    Holds the locks of both files: raises HomeLocked where their roles run. Executions that await such a command go on waiting
    until a person skips the step or cancels them; the dispatcher answers the cancel, and knows that it is counted already.
    """
    with ExitStack() as locks:
        for path in (engine, dispatcher):
            locks.callback(FileLock(path).release)
        lost = unanswered(engine, dispatcher)
        if lost:
            _note_settled(dispatcher)
            _subtract(engine, lost)
        return lost


def _subtract(engine: Path, lost: int) -> None:
    connection = open_writer(engine)
    try:
        file_meta.read(connection, Layout("engine", FORMATS["engine"]))
        with transaction(connection):
            connection.execute("update engine set open_actions = open_actions - ?", (lost,))
    finally:
        close(connection)


def _note_settled(dispatcher: Path) -> None:
    if not dispatcher.exists():
        return
    connection = open_writer(dispatcher)
    try:
        if has_table(connection, "lost"):
            with transaction(connection):
                connection.execute("update lost set settled = 1")
    finally:
        close(connection)


def _engine_side(path: Path) -> _Dispatched:
    return _read(path, "engine", "select open_actions from engine")


def _dispatcher_side(path: Path) -> _Dispatched:
    return _read(path, "actions", "select count(*) from actions where not carries")


def _read(path: Path, table: str, query: str) -> _Dispatched:
    if not path.exists():
        return _Dispatched({}, 0)
    connection = open_reader(path)
    try:
        if not has_table(connection, table):
            return _Dispatched({}, 0)
        with snapshot(connection):
            return _Dispatched(positions.read(connection), int(value(connection, query)))
    finally:
        close(connection)


def _behind(path: Path, read: Mapping[Slot, int], topics: str) -> int:
    """Count the records of topics that a reader has not read yet."""
    ends = [end for end in log_ends(path) if end.topic.startswith(topics)]
    return sum(max(0, end.next - read.get(Slot(path.name, end.topic, end.partition), 0)) for end in ends)
