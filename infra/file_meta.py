"""What a file of a home says about itself: its kind, its format, its incarnation, and settings that never change.

The incarnation is new whenever a file is made or rebuilt, so that positions of one life are not used in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from infra.sqlite import Connection, has_table
from schemas.errors import StateTooNew, StorageFailed

FORMATS: Final[Mapping[str, int]] = {"log": 1, "engine": 4, "dispatcher": 2}  # the newest format of each kind of file
OLDEST: Final[Mapping[str, int]] = {"engine": 4, "dispatcher": 2}  # the oldest that is still read, where it is not the first


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file and the newest format of it that this version reads and writes."""

    kind: str
    format: int


def make(connection: Connection, layout: Layout, settings: Mapping[str, str], incarnation: str | None = None) -> None:
    """Write the meta of a new file, inside the caller's transaction."""
    connection.execute("create table meta(key text primary key, value text not null) without rowid")
    fixed = {"kind": layout.kind, "format": str(layout.format), "incarnation": incarnation or uuid4().hex}
    connection.executemany("insert into meta values (?, ?)", [*fixed.items(), *settings.items()])


def is_made(connection: Connection) -> bool:
    """Tell whether the file has been made; a crash while it was leaves an empty file."""
    return has_table(connection, "meta")


def incarnation(connection: Connection) -> str:
    """Give which life of its file this is. Raises StateTooNew for a file that this version cannot read, whatever its kind."""
    meta: dict[str, str] = dict(connection.execute("select key, value from meta"))
    _check_format(connection, meta, FORMATS.get(meta["kind"], 0))
    return meta["incarnation"]


def read(connection: Connection, layout: Layout) -> dict[str, str]:
    """Give the meta of a file. Raises StateTooNew for a newer format, StorageFailed for another kind of file."""
    meta: dict[str, str] = dict(connection.execute("select key, value from meta"))
    if meta["kind"] != layout.kind:
        raise StorageFailed(
            f"{connection.filename}: this is a file of kind {meta['kind']!r}, wanted {layout.kind!r}; move it back to its place"
        )
    _check_format(connection, meta, layout.format)
    return meta


def _check_format(connection: Connection, meta: Mapping[str, str], newest: int) -> None:
    if int(meta["format"]) > newest:
        raise StateTooNew(
            f"{connection.filename}: written in format {meta['format']}, this version of Millrace reads up to {newest}; "
            "start the version that wrote it, or upgrade"
        )
    oldest = OLDEST.get(meta["kind"], 1)
    if int(meta["format"]) < oldest:
        raise StorageFailed(
            f"{connection.filename}: written in format {meta['format']}, this version of Millrace reads from {oldest} on; "
            "start in a fresh home (`--home`), or start the version that wrote it"
        )
