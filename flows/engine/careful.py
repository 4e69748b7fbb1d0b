"""Survive a record that kills the process: after two deaths without a new turn, take few rows, then one, and note them first.

Promise: the note is durable before the rows are touched; the single row on which the process dies becomes a dead letter `poison`.
Four deaths find it among any number of rows, so the supervisor does not give up before.
State: one small file beside the engine's; the engine is its only writer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from flows.engine.letters import poison
from schemas.errors import StorageFailed
from schemas.ports import Chunk, Slot
from schemas.records import DeadLetter

DEATHS: Final = 2  # without a turn in between; then it is careful
FEW_ROWS: Final = 128
CALM_TURNS: Final = 128  # after so many careful turns the danger is past: as many rows as the largest usual turn has


class _Note(msgspec.Struct):
    """How often the engine started since its last turn, and what it was about to take when it was careful."""

    starts: int = 0
    turn: int = -1
    rows: int = 0  # of a careful turn; 0: not careful
    taking: list[tuple[str, str, int, int]] = []  # source, topic, partition, position behind the row


class Careful:
    """The engine's memory of its own deaths."""

    def __init__(self, path: Path, turn: int) -> None:
        self._path = path
        note = self._read()
        last = note if note.turn == turn else _Note()
        killers = last.taking if last.rows == 1 else []
        self._poison = {Slot(source, topic, part): end - 1 for source, topic, part, end in killers}
        self._rows = (1 if last.rows else FEW_ROWS) if last.starts >= DEATHS else 0
        self._left = CALM_TURNS if self._rows else 0
        self._dirty = True
        self._write(_Note(last.starts + 1, turn, last.rows, last.taking))

    @property
    def rows(self) -> int:
        """Give how many rows the next turn may take; 0: as many as usual."""
        return self._rows if self._left else 0

    def note(self, turn: int, positions: Mapping[Slot, int]) -> None:
        """Write down, durably, which rows are taken next; only while careful."""
        if self.rows:
            taking = [(slot.source, slot.topic, slot.partition, end) for slot, end in positions.items()]
            self._write(_Note(DEATHS + 1, turn, self._rows, taking if self._rows == 1 else []))
            self._dirty = True

    def done(self) -> None:
        """Hear that a turn was committed."""
        if self._left:
            self._left -= 1
        if self._dirty and not self._left:
            self._write(_Note())
            self._dirty = False

    def close(self) -> None:
        """Hear that the engine stops in order. A disk that is full keeps the note: a death too many blames no row."""
        with suppress(StorageFailed):
            self._write(_Note())

    def sift(self, chunks: Sequence[Chunk], now_us: int) -> tuple[Sequence[Chunk], Sequence[DeadLetter]]:
        """Take out the row that was noted when the process died."""
        if not self._poison:
            return chunks, ()
        kept: list[Chunk] = []
        letters: list[DeadLetter] = []
        for chunk in chunks:
            position = self._poison.get(chunk.slot)
            if position is None or not chunk.base <= position < chunk.end:
                kept.append(chunk)
                continue
            at = position - chunk.base
            letters.append(poison(chunk, at, now_us))
            before = replace(chunk, records=chunk.records[:at])
            behind = replace(chunk, base=position + 1, records=chunk.records[at + 1 :])
            kept.extend(part for part in (before, behind) if part.records)
            del self._poison[chunk.slot]
        return kept, letters

    def _read(self) -> _Note:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Note)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Note()

    def _write(self, note: _Note) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise StorageFailed(f"{self._path}: {error.strerror}; the home must be writable and its disk have room") from error
