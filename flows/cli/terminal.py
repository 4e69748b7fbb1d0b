"""What a command says: results on stdout (text, or JSON with `--json`), everything else on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

WIDE: Final = 100_000  # columns; a table takes what it needs
COMMANDING: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")  # not tab and line feed


def counted(count: int, what: str) -> str:
    """Give a number of things in words: 1 row, 2 rows, 0 policies."""
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count:,} {what if count == 1 else many}"


@dataclass(frozen=True)
class Terminal:
    """Where a command writes. `json`: one machine-readable value on stdout."""

    json: bool = False
    out: Console = field(default_factory=lambda: _console())  # noqa: PLW0108  defined below
    err: Console = field(default_factory=lambda: Console(stderr=True, soft_wrap=True))
    told: set[str] = field(default_factory=set)

    def say_once(self, what: str, text: str) -> None:
        """Tell the person something on stderr that one command need not say again, however often it asks."""
        if what not in self.told:
            self.told.add(what)
            self.say(text)

    def say(self, text: str) -> None:
        """Tell the person something on stderr."""
        self.err.print(Text(printable(text)))

    def print(self, text: str) -> None:
        """Write plain text on stdout."""
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()

    def value(self, value: object) -> None:
        """Write one JSON value on stdout."""
        sys.stdout.buffer.write(_encoder.encode(value) + b"\n")
        sys.stdout.flush()

    def rows(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
        """Write rows: one array of objects with `--json`, else a table."""
        if self.json:
            self.value(list(rows))
            return
        names = list(columns or (rows[0] if rows else ()))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(escape(printable(name)), overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(shown(row.get(name)))) for name in names))
        if names:
            self.out.print(table)
        self.say(counted(len(rows), "row"))

    def progress(self) -> Progress:
        """Give a progress display on stderr; it draws nothing where stderr is no terminal."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        return Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal)


def printable(text: str) -> str:
    """Write characters that a terminal would obey as escapes: records come from anywhere, and may hold any."""
    return COMMANDING.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _console() -> Console:
    """Write to a terminal in its width, to a file or pipe as wide as the text is."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def shown(value: object) -> str:
    """Print a value of a cell: missing as nothing, times in UTC, records as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case datetime():
            return _encodable(value)
        case dict() | list():
            return _encoder.encode(value).decode()
        case _:
            return str(value)


def _encodable(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes | Decimal):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


_encoder = msgspec.json.Encoder(enc_hook=_encodable, decimal_format="number")
