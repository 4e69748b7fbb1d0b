"""The good rows of one event type in a turn: as columns, or where they are few as the records that were read.

Reads: a frame, or records. Emits: values by environment key; the frame, made where somebody asks for columns.
State: none. Cost: a frame costs half a millisecond until all its values are looked at, as much as thirty records do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.contracts import EventContract
from schemas.frames import ENVELOPE, ROW, data_path, frame_schema, key_lists

Places = Sequence[int] | NDArray[np.int64]
Record = Mapping[str, Any]  # `row`, the attributes, and `data` as a dict


class EventFrame:
    """The good rows of one event type in a turn, by rising `row`: row, the envelope's columns, and data as a struct.

    An `any` is JSON text in a column of bytes, so that nobody takes it for a string; records have none.
    """

    __slots__ = ("_frame", "_records", "contract", "type")

    def __init__(self, event: str, found: pl.DataFrame | Sequence[Record], contract: EventContract) -> None:
        self.type = event
        self.contract = contract
        self._frame = found if isinstance(found, pl.DataFrame) else None
        self._records = None if isinstance(found, pl.DataFrame) else found

    @property
    def height(self) -> int:
        """Tell how many rows there are."""
        return len(self._records) if self._records is not None else self.frame.height

    @property
    def frame(self) -> pl.DataFrame:
        """Give the rows as columns."""
        if self._frame is None:
            self._frame = pl.DataFrame(self._records, schema=frame_schema(self.contract), orient="row", strict=True)
        return self._frame

    def rows(self) -> NDArray[np.int64]:
        """Give the number of each row in the turn's order."""
        if self._records is None:
            return self.frame.get_column(ROW).to_numpy().astype(np.int64)
        return np.array([record[ROW] for record in self._records], np.int64)

    def first_row(self) -> int:
        """Give the number of the first row."""
        return int(self.frame.item(0, ROW) if self._records is None else self._records[0][ROW])

    def columns(self, names: Iterable[str]) -> list[list[Any]]:
        """Give some of `row` and the attributes as lists."""
        if self._records is None:
            return [self.frame.get_column(name).to_list() for name in names]
        return [[record[name] for record in self._records] for name in names]

    def lists(self, keys: Iterable[str]) -> list[list[Any]]:
        """Give the values of each environment key as a list, with `any` values read from their JSON text."""
        if self._records is None:
            return key_lists(self.frame, keys, self.contract.data)
        return [_values(self._records, key) for key in keys]

    def at(self, places: Places) -> EventFrame:
        """Give the rows at some places, in that order; a row may come several times."""
        if isinstance(places, range) and places == range(self.height):
            return self
        if self._records is None:
            return EventFrame(self.type, self.frame[places], self.contract)
        return EventFrame(self.type, [self._records[place] for place in places], self.contract)


def _values(records: Sequence[Record], key: str) -> list[Any]:
    path = data_path(key)
    if path is None:
        name = key.partition(".")[2]
        return [record[name] if name in ENVELOPE else None for record in records]
    found: list[Any] = [record["data"] for record in records]
    for part in path:
        found = [value.get(part) if isinstance(value, dict) else None for value in found]
    return [_own(value) if isinstance(value, dict | list) else value for value in found]


def _own(value: Any) -> Any:
    """Copy what could be changed: each who asks has values of its own, as those of columns are."""
    if isinstance(value, dict):
        return {name: _own(part) for name, part in value.items()}
    return [_own(part) for part in value] if isinstance(value, list) else value
