"""Is it the file that is damaged? What DuckDB says when it is, and when it is something else.

DuckDB writes a merge's metadata over blocks that the file's last header points at, so a process that is killed within such a
write leaves a block torn (duckdb 1.5.6, `MetadataManager::Flush`; see also its pull requests 24260 and 25106). Nothing but a
copy of the whole file at each merge would keep that away, so it is mended: flows/roles/mending.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from schemas.errors import StorageFailed

_SAID: Final = (
    "Corrupt database file",
    "Corrupt WAL file",
    "Failure while replaying WAL",
    "Could not read enough bytes",
    "Could not read all required bytes",
    "MetadataReader",
    "Failed to load metadata pointer",
    "Failed to deserialize",
)
LOCKED: Final = "lock on file"  # "lock" alone is in every block
INVALIDATED: Final = "has been invalidated"  # repeats what went before, whatever that was
_NOT_THE_FILE: Final = ("No space left", "Out of Memory", "Permission denied", LOCKED, INVALIDATED)
_OF_FILES: Final = (duckdb.IOException, duckdb.SerializationException, duckdb.InternalException, duckdb.FatalException)
_DUCK: Final = slice(8, 12)  # where every DuckDB file says that it is one, behind a checksum


class ViewsDamaged(StorageFailed):
    """A views.duckdb that the projector wrote cannot be read any more: what it shows can be had from the logs."""


def is_damage(error: duckdb.Error) -> bool:
    """Tell whether an error says that what was written is not there any more as it was written; for statements of ours."""
    said = str(error)
    ours = not isinstance(error, (duckdb.OutOfMemoryException, duckdb.InvalidInputException))
    return ours and any(words in said for words in _SAID) and not any(words in said for words in _NOT_THE_FILE)


def may_be_damage(error: duckdb.Error) -> bool:
    """Tell whether what a query met may be damage, and not its own words: then the views are to be read (read_whole.py)."""
    return isinstance(error, _OF_FILES) and is_damage(error)


def must_be_duckdb(path: Path) -> None:
    """Raises StorageFailed for a file that somebody else made: it is not ours to set aside."""
    if path.is_file() and not is_duckdb(path):
        raise StorageFailed(f"{path}: this is not a DuckDB file; move it away and start the projector again: it makes its own")


def is_duckdb(path: Path) -> bool:
    """Tell whether a file says that it is DuckDB's. Raises StorageFailed where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_DUCK.stop)
    except OSError as error:
        raise StorageFailed(f"{path}: {error.strerror}; it must be readable and writable") from error
    return head[_DUCK] == b"DUCK"
