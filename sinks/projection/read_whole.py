"""Reads every value of views, for DuckDB checks a block only when it is asked for: nothing else can tell that all is there.

Cost: the file once from the disk, on one thread; its blocks are let go again where memory is short.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from schemas.errors import HomeLocked, StateTooNew, StorageFailed
from schemas.ports import Slot
from sinks.projection.damage import LOCKED, ViewsDamaged, is_damage, is_duckdb
from sinks.projection.file_format import check_format
from sinks.projection.tables import HALVES, TABLES
from sinks.projection.views_file import last_positions

MEMORY: Final = "768MB"
READ: Final = (*(f"{half}.{name}" for half in HALVES for name in TABLES), "log.progress", "log.sources")
_OTHERS: Final = (duckdb.CatalogException, duckdb.BinderException)  # the tables are not ours


def read_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Read all that is stored. Raises duckdb.Error."""
    for table in READ:
        connection.execute(f"select bit_xor(hash(one)) from {table} one").fetchone()


def is_confirmed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether views that something was said of are damaged indeed: a query may name any words, and what is no fault of
    the file passes.
    """
    try:
        read_tables(connection)
    except duckdb.Error as error:
        return is_damage(error)
    return False


def read_whole(path: Path) -> dict[Slot, int]:
    """Read every value of a copy that nobody writes; give its positions.

    Raises ViewsDamaged where these are not whole views of this version's format, HomeLocked while a process has it open, and
    StorageFailed where it cannot be known: it could not be read.
    """
    if not is_duckdb(path):
        raise ViewsDamaged(f"{path}: damaged (not a DuckDB file)")
    try:
        with duckdb.connect(str(path), read_only=True, config={"memory_limit": MEMORY, "threads": 1}) as copy:
            _must_be_of_this_format(copy, path)
            read_tables(copy)
            return last_positions(copy)
    except duckdb.Error as error:
        raise _failed(path, error) from error


def _must_be_of_this_format(copy: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        check_format(copy, path)
    except (StateTooNew, StorageFailed) as error:
        raise ViewsDamaged(str(error)) from error


def _failed(path: Path, error: duckdb.Error) -> StorageFailed | HomeLocked:
    said = str(error).splitlines()[0]
    if LOCKED in str(error):
        return HomeLocked(f"{path}: another process has it open; stop it and start again ({said})")
    if is_damage(error) or isinstance(error, _OTHERS):
        return ViewsDamaged(f"{path}: damaged ({said})")
    return StorageFailed(
        f"{path}: could not be read to tell whether it is whole ({said}); it must be readable, and {MEMORY} of memory be there: "
        "nothing is lost, start again"
    )
