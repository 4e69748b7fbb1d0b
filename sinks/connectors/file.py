"""Appends commands as JSON lines to <home>/actions/<tenant>/<type>.jsonl: what serves an action type without a rule.

Promise: an outcome means that the line is on the disk (one fsync a file and call). A command is written once: ids in the tail of
the file are known, so a call that is repeated, or resolved after a crash, does not show. A line cut by a crash is taken away.
State: the ids of the last TAIL_BYTES of each open file. Cost: one write and one fsync a file, whatever the number of commands.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from schemas.dispatch import Command, Outcome
from sinks.connectors.batches import batch_outcome
from sinks.connectors.safe_names import safe_name

TAIL_BYTES: Final = 8 << 20
TAIL_IDS: Final = 65_536
OPEN_FILES: Final = 128
RETRY_US: Final = 1_000_000
DELIVERED: Final = Outcome("delivered")
NOT_WRITTEN: Final = Outcome("failed", retry=True, code="unavailable", error="was not written before the stop")


class _Line(msgspec.Struct, frozen=True):
    """The part of a line that identifies it."""

    id: str


_lines = msgspec.json.Decoder(_Line)


class FileConnector:
    """Writes below `<home>/actions`; one instance a home."""

    name = "file"
    at_once = 1024

    def __init__(self, home: Path) -> None:
        self._folder = home / "actions"
        self._files: OrderedDict[Path, _JsonLines] = OrderedDict()

    def call(self, commands: Sequence[Command]) -> list[Outcome]:
        """Append the commands, in order; those of a file share its fate, and a batch is a line a member."""
        by_path: dict[Path, list[Command]] = {}
        for command in commands:
            by_path.setdefault(self._path(command), []).extend(command.members or (command,))
        ends = {path: self._write(path, ours) for path, ours in by_path.items()}
        return [ends[self._path(command)] for command in commands]

    def resolve(self, command: Command) -> Outcome | None:
        """Look the command up in its file; where it is not, it was not written and may be. Of a batch, each member."""
        if command.members:
            return batch_outcome([self._find(member) for member in command.members])
        return self._find(command)

    def _find(self, command: Command) -> Outcome:
        path = self._path(command)
        try:
            written = command.id in self._open(path)
        except OSError as error:
            return _failed(path, error)
        return DELIVERED if written else NOT_WRITTEN

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.popitem()[1].close()

    def _path(self, command: Command) -> Path:
        return self._folder / safe_name(command.tenant) / f"{safe_name(command.type)}.jsonl"

    def _write(self, path: Path, commands: Sequence[Command]) -> Outcome:
        try:
            self._open(path).append({command.id: command.raw for command in commands})
        except OSError as error:
            gone = self._files.pop(path, None)
            if gone is not None:
                gone.close()
            return _failed(path, error)
        return DELIVERED

    def _open(self, path: Path) -> _JsonLines:
        """Give the open file, the least used one closed to make room."""
        if path not in self._files:
            while len(self._files) >= OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            self._files[path] = _JsonLines(path)
        self._files.move_to_end(path)
        return self._files[path]


class _JsonLines:
    """One file that is appended to, and the ids of the commands at its end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if new:
            _sync_folders(path.parent)
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._read_tail()

    def __contains__(self, command: str) -> bool:
        return command in self._ids

    def append(self, lines: dict[str, bytes]) -> None:
        """Write the lines whose ids are not there; all of them and on the disk, or none. Raises OSError."""
        fresh = {name: line for name, line in lines.items() if name not in self._ids}
        if not fresh:
            return
        data = b"".join(line.replace(b"\n", b" ") + b"\n" for line in fresh.values())
        size = os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, data)
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        self._remember(fresh)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _read_tail(self) -> None:
        """Learn the ids at the end; cut off a line that a crash left without its end."""
        size = os.fstat(self._fd).st_size
        start = max(0, size - TAIL_BYTES)
        data = os.pread(self._fd, size - start, start)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._fd, start + whole)
            os.fsync(self._fd)
        self._remember(_ids(data[:whole]))

    def _remember(self, ids: Iterator[str] | dict[str, bytes]) -> None:
        for name in ids:
            self._ids[name] = None
        while len(self._ids) > TAIL_IDS:
            self._ids.popitem(last=False)


def _ids(data: bytes) -> Iterator[str]:
    """Give the ids of lines; lines that somebody else wrote are passed over, as is the first where it is cut."""
    for line in data.splitlines():
        try:
            yield _lines.decode(line).id
        except msgspec.DecodeError:
            continue


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _sync_folders(folder: Path) -> None:
    """Make new names durable, up to `actions`."""
    for place in (folder, folder.parent, folder.parent.parent):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _failed(path: Path, error: OSError) -> Outcome:
    message = f"{path}: {error.strerror}; the folder must be writable and the disk must have room"
    return Outcome("failed", retry=True, after_us=RETRY_US, code="unavailable", error=message)
